//! How often what was answered, by this object.
//!
//! Each process counts for itself: a counter that all of them wrote to would be the slowest part of
//! an admission.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use super::admission::AdmitError;

/// Verdicts so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Admitted.
    pub admitted: u64,
    /// Refused: admitted before.
    pub replayed: u64,
    /// Refused: of a time that is over or given up.
    pub given_up: u64,
    /// Refused: no place was free.
    pub full: u64,
    /// Refused for the caller's doing, or for a file that is gone.
    pub other: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    admitted: AtomicU64,
    replayed: AtomicU64,
    given_up: AtomicU64,
    full: AtomicU64,
    other: AtomicU64,
}

impl Counters {
    #[inline]
    pub(crate) fn count(&self, verdict: &Result<(), AdmitError>) {
        self.counter(verdict).fetch_add(1, Relaxed);
    }

    pub(crate) fn count_admitted(&self, count: u64) {
        self.admitted.fetch_add(count, Relaxed);
    }

    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        Counts {
            admitted: read(&self.admitted),
            replayed: read(&self.replayed),
            given_up: read(&self.given_up),
            full: read(&self.full),
            other: read(&self.other),
        }
    }

    fn counter(&self, verdict: &Result<(), AdmitError>) -> &AtomicU64 {
        match verdict {
            Ok(()) => &self.admitted,
            Err(AdmitError::Replayed) => &self.replayed,
            Err(AdmitError::GivenUp) => &self.given_up,
            Err(AdmitError::Full) => &self.full,
            Err(
                AdmitError::TooFarAhead { .. }
                | AdmitError::BeyondBudget(_)
                | AdmitError::OtherEnd
                | AdmitError::Orphaned,
            ) => &self.other,
        }
    }
}
