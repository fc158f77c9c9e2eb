//! A table's memory, and whether it is still the one that others use.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::admission::AdmitError;
use super::file::{self, OpenError};
use super::generation::MAX_HORIZON_MS;
use super::header::{Geometry, Header, Kind, MAX_CAPACITY};
use super::mapping::Mapping;
use super::moment::Moment;
use super::table::{Layout, Table};
use crate::error::InputError;
use crate::random::RandomSource;

/// Mapped memory with a table in it.
pub(crate) struct Memory {
    mapping: Mapping,
    pub(crate) layout: Layout,
    pub(crate) geometry: Geometry,
    place: Option<Place>,
    /// The second, of 1,024 ms, in which was asked last whether the file is still there.
    asked: AtomicU64,
}

/// A file, held open for its lock, and where others find it.
struct Place {
    path: PathBuf,
    file: File,
}

impl Place {
    fn new(path: &Path, file: File) -> Result<Self, OpenError> {
        let absolute = std::path::absolute(path);
        let what = || format!("cannot tell where {} lies", path.display());
        let path = absolute.map_err(|source| OpenError::Io { what: what(), source })?;
        Ok(Self { path, file })
    }

    /// True if whoever opens the path gets this file. What cannot be looked at is not relied on.
    fn is_still_there(&self) -> bool {
        match (self.file.metadata(), fs::symlink_metadata(&self.path)) {
            (Ok(ours), Ok(theirs)) => (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()),
            _ => false,
        }
    }
}

impl Memory {
    /// Memory of this process and the children it forks, or of every process that opens `path`.
    pub(crate) fn new(
        path: Option<&Path>,
        geometry: Geometry,
        now: Moment,
        random: &mut dyn RandomSource,
    ) -> Result<Self, OpenError> {
        check(&geometry)?;
        let (mapping, place) = match path {
            None => (file::without_file(&geometry, now, random)?, None),
            Some(path) => {
                let opened = file::open(path, &geometry, now, random)?;
                (opened.mapping, Some(Place::new(path, opened.file)?))
            }
        };
        // Nonces go anywhere, so nearly all pages of a set are taken soon. Few windows take few pages.
        if geometry.kind == Kind::Set {
            mapping.gather();
        }
        Ok(Self { mapping, layout: geometry.layout(), geometry, place, asked: AtomicU64::new(0) })
    }

    #[inline]
    pub(crate) fn table(&self) -> Table<'_, [AtomicU64]> {
        Table { words: self.mapping.words(), layout: self.layout }
    }

    pub(crate) fn header(&self) -> Header<'_> {
        Header(self.mapping.words())
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
        let second = now_ms >> 10;
        if self.asked.load(Relaxed) != second {
            self.ask(second)?;
        }
        self.check_ahead(remember_until_ms, now_ms)?;
        let (table, generations) = (self.table(), self.layout.generations);
        if remember_until_ms <= now_ms.max(generations.start_ms(table.floor())) {
            return Err(AdmitError::GivenUp);
        }
        table.advance(now_ms);
        Ok(generations.of(remember_until_ms))
    }

    /// Checks that an end lies no farther ahead of the time than the table looks.
    #[inline]
    pub(crate) fn check_ahead(&self, remember_until_ms: u64, now_ms: u64) -> Result<(), AdmitError> {
        let generations = self.layout.generations;
        let now_ms = now_ms.max(generations.start_ms(self.table().floor()));
        let ahead_ms = remember_until_ms.saturating_sub(now_ms);
        if ahead_ms > generations.limit_ms() {
            return Err(AdmitError::TooFarAhead { ahead_ms, horizon_ms: generations.horizon_ms() });
        }
        Ok(())
    }

    #[cold]
    fn ask(&self, second: u64) -> Result<(), AdmitError> {
        if self.place.as_ref().is_some_and(|place| !place.is_still_there()) {
            return Err(AdmitError::Orphaned);
        }
        self.asked.store(second, Relaxed);
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
