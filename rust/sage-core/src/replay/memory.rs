//! A table's memory, and whether it is still the one that others use.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::admission::AdmitError;
use super::file::{self, OpenError};
use super::generation::MAX_HORIZON_MS;
use super::header::{Geometry, Header, MAX_CAPACITY};
use super::mapping::Mapping;
use super::table::{Layout, Table};
use crate::error::InputError;
use crate::random::RandomSource;

/// Mapped memory with a table in it.
pub(crate) struct Memory {
    mapping: Mapping,
    pub(crate) layout: Layout,
    pub(crate) geometry: Geometry,
    /// The file, to ask whether it still has a name.
    file: Option<File>,
    /// The generation in which that was asked last.
    asked: AtomicU64,
}

impl Memory {
    /// Memory of this process and the children it forks, or of every process that opens `path`.
    pub(crate) fn new(
        path: Option<&Path>,
        geometry: Geometry,
        now_ms: u64,
        random: &mut dyn RandomSource,
    ) -> Result<Self, OpenError> {
        check(&geometry)?;
        let (mapping, file) = match path {
            None => (file::without_file(&geometry, now_ms, random)?, None),
            Some(path) => {
                let opened = file::open(path, &geometry, now_ms, random)?;
                (opened.mapping, Some(opened.file))
            }
        };
        Ok(Self { mapping, layout: geometry.layout(), geometry, file, asked: AtomicU64::new(0) })
    }

    #[inline]
    pub(crate) fn table(&self) -> Table<'_, [AtomicU64]> {
        Table { words: self.mapping.words(), layout: self.layout }
    }

    pub(crate) fn header(&self) -> Header<'_> {
        Header(self.mapping.words())
    }

    pub(crate) fn is_shared_by_file(&self) -> bool {
        self.file.is_some()
    }

    /// Checks an end against the clock, and moves the table up to the present. Returns the
    /// generation in which the entry may be forgotten.
    ///
    /// To a table time never runs back: behind the floor, the floor is the time.
    ///
    /// The floor follows only a clock that agrees with what is to be admitted, and a handshake is
    /// signed with a time: a clock that runs ahead for a moment gives nothing up until somebody
    /// presents a request of that time.
    #[inline]
    pub(crate) fn enter(&self, remember_until_ms: u64, now_ms: u64) -> Result<u64, AdmitError> {
        let generations = self.layout.generations;
        let now_ms = now_ms.max(generations.start_ms(self.table().floor()));
        let ahead_ms = remember_until_ms.saturating_sub(now_ms);
        if ahead_ms == 0 {
            return Err(AdmitError::GivenUp);
        }
        if ahead_ms > generations.limit_ms() {
            return Err(AdmitError::TooFarAhead { ahead_ms, horizon_ms: generations.horizon_ms() });
        }
        let present = generations.of(now_ms);
        if self.asked.load(Relaxed) != present {
            self.ask(present)?;
        }
        self.table().advance(now_ms);
        Ok(generations.of(remember_until_ms))
    }

    #[cold]
    fn ask(&self, present: u64) -> Result<(), AdmitError> {
        if let Some(file) = &self.file {
            // What cannot be looked at is not relied on.
            let has_a_name = file.metadata().is_ok_and(|metadata| metadata.nlink() > 0);
            if !has_a_name {
                return Err(AdmitError::Orphaned);
            }
        }
        self.asked.store(present, Relaxed);
        Ok(())
    }
}

fn check(geometry: &Geometry) -> Result<(), OpenError> {
    let refuse = |what, why| Err(OpenError::Input(InputError::Value { what, why }));
    if !(1..=MAX_CAPACITY).contains(&geometry.capacity) {
        return refuse("capacity", "must be 1 to 2^32");
    }
    if !(1..=MAX_HORIZON_MS).contains(&geometry.horizon_ms) {
        return refuse("horizon_ms", "must be 1 to 2,678,400,000 (31 days)");
    }
    Ok(())
}
