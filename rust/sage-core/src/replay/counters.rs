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

/// Admissions one by one are counted without an atomic addition, which would cost a fortieth of all
/// an admission costs. Callers that hold a lock of their own, as an interpreter's, are counted
/// exactly; of others who add at the same instant one may be missed. Nothing is decided by counts.
#[derive(Default)]
pub(crate) struct Counters {
    admitted: AtomicU64,
    admitted_singly: AtomicU64,
    replayed: AtomicU64,
    given_up: AtomicU64,
    full: AtomicU64,
    other: AtomicU64,
}

impl Counters {
    #[inline]
    pub(crate) fn count(&self, verdict: &Result<(), AdmitError>) {
        if verdict.is_ok() {
            self.admitted_singly.store(self.admitted_singly.load(Relaxed) + 1, Relaxed);
        } else {
            self.counter(verdict).fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn count_admitted(&self, count: u64) {
        self.admitted.fetch_add(count, Relaxed);
    }

    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        Counts {
            admitted: read(&self.admitted) + read(&self.admitted_singly),
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
