//! Which code does Curve25519 here: decided at run time, and decidable by tests.
//!
//! All paths give the same answers. The fastest that the processor has is taken, unless
//! [`Path::take`] has named another, which then is taken as if the processor had no faster one. It may be
//! changed at any time, also while others verify: each call reads it for itself.

use core::sync::atomic::{AtomicU8, Ordering};

#[cfg(target_arch = "x86_64")]
use super::ifma::Ifma;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512, Unit};
use crate::processor;

/// From the fastest to the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// AVX-512 IFMA: vector kernels for everything.
    Ifma,
    /// AVX-512 F: batches in lanes of doubles.
    Avx512,
    /// AVX2 and FMA: likewise.
    Avx2,
    /// Ordinary registers and AWS-LC: the reference.
    Scalar,
}

/// The place in [`Path::ALL`] of the one that was named, or this.
const NONE_NAMED: u8 = u8::MAX;
static NAMED: AtomicU8 = AtomicU8::new(NONE_NAMED);

impl Path {
    const ALL: [Self; 4] = [Self::Ifma, Self::Avx512, Self::Avx2, Self::Scalar];

    /// Those that this processor has, the fastest first.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|path| path.is_available()).collect()
    }

    /// The one that is taken.
    pub fn taken() -> Self {
        if processor::is_portable() {
            return Self::Scalar;
        }
        let named = Self::ALL.get(usize::from(NAMED.load(Ordering::Relaxed)));
        let fastest = || Self::ALL.into_iter().find(|path| path.is_available());
        named.copied().or_else(fastest).unwrap_or(Self::Scalar)
    }

    /// Takes a path from now on, or the fastest again. False, and nothing is changed, if the processor lacks it.
    #[must_use]
    pub fn take(path: Option<Self>) -> bool {
        let is_available = path.is_none_or(Self::is_available);
        if is_available {
            let place = path.and_then(|path| Self::ALL.iter().position(|one| *one == path));
            NAMED.store(place.map_or(NONE_NAMED, |place| place as u8), Ordering::Relaxed);
        }
        is_available
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ifma => "ifma",
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Scalar => "scalar",
        }
    }

    /// The path of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|path| path.name() == name)
    }

    #[cfg(target_arch = "x86_64")]
    fn is_available(self) -> bool {
        self == Self::Scalar || self.unit().is_some()
    }

    /// The unit that its lanes are on, if it has any and the processor too.
    #[cfg(target_arch = "x86_64")]
    pub fn unit(self) -> Option<Unit> {
        match self {
            Self::Ifma => Ifma::detect().map(Unit::Ifma),
            Self::Avx512 => Avx512::detect().map(Unit::Avx512),
            Self::Avx2 => Avx2::detect().map(Unit::Avx2),
            Self::Scalar => None,
        }
    }

    /// The units of all paths that this processor has lanes for.
    #[cfg(all(test, target_arch = "x86_64"))]
    pub fn units() -> impl Iterator<Item = Unit> {
        Self::available().into_iter().filter_map(Self::unit)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_available(self) -> bool {
        self == Self::Scalar
    }
}
