//! What can be said of an admission.

use core::fmt;

/// Why something was not admitted. Nothing was evicted for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmitError {
    /// Admitted before.
    Replayed,
    /// Of a time that is over, or that was given up when a clock ran ahead.
    GivenUp,
    /// No place is free.
    Full,
    /// To be remembered longer than the table looks ahead.
    TooFarAhead {
        /// How far ahead of the clock it lies.
        ahead_ms: u64,
        /// How far it may.
        horizon_ms: u64,
    },
    /// A sequence number that no sender may use: 2^24 records are the most under one key.
    BeyondBudget(u64),
    /// A window was first used with another end.
    OtherEnd,
    /// The file behind the table was removed or replaced, so others may be using a new one.
    Orphaned,
}

impl fmt::Display for AdmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replayed => f.write_str("it was admitted before"),
            Self::GivenUp => f.write_str("its time is over, or was given up"),
            Self::Full => f.write_str("no place is free"),
            Self::TooFarAhead { ahead_ms, horizon_ms } => {
                write!(
                    f,
                    "it is to be remembered for {ahead_ms} ms, but at most {horizon_ms} are looked ahead"
                )
            }
            Self::BeyondBudget(seq) => {
                write!(f, "sequence number {seq} is beyond the budget of a record key")
            }
            Self::OtherEnd => f.write_str("this window was first used with another end"),
            Self::Orphaned => f.write_str("the file behind the table was removed or replaced: open it again"),
        }
    }
}

impl core::error::Error for AdmitError {}
