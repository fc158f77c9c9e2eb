//! What can go wrong, by whose fault it is.
//!
//! One enum a concern. The binding turns each variant into one Python exception without a
//! catch-all arm, so a new variant does not compile until somebody has decided how users see it.

use core::fmt;

use crate::random::RandomError;
use crate::replay::AdmitError;

/// The caller handed in something of the wrong shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputError {
    /// A length that must be exact.
    Length {
        /// What was measured.
        what: &'static str,
        /// Bytes demanded.
        expected: usize,
        /// Bytes found.
        actual: usize,
    },
    /// A length with an upper limit.
    TooLong {
        /// What was measured.
        what: &'static str,
        /// The most that is allowed.
        limit: usize,
        /// What was found.
        actual: usize,
    },
    /// A value that is not allowed, and why.
    Value {
        /// What was looked at.
        what: &'static str,
        /// Why it is refused and what would be accepted.
        why: &'static str,
    },
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { what, expected, actual } => {
                write!(f, "{what} must be {expected} bytes long, not {actual}")
            }
            Self::TooLong { what, limit, actual } => {
                write!(f, "{what} may be at most {limit} bytes long, not {actual}")
            }
            Self::Value { what, why } => write!(f, "{what} {why}"),
        }
    }
}

impl core::error::Error for InputError {}

/// Takes exactly `N` bytes, or says what was expected.
pub(crate) fn exactly<'a, const N: usize>(
    what: &'static str,
    bytes: &'a [u8],
) -> Result<&'a [u8; N], InputError> {
    bytes.try_into().map_err(|_| InputError::Length { what, expected: N, actual: bytes.len() })
}

/// Why a handshake message was refused. The variants up to `AuthenticationFailed` are the wire
/// codes of "Errors on the wire"; what follows is the caller's own doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeError {
    /// `malformed_request`: not the strict form. The text is for this side's operator.
    Malformed(&'static str),
    /// `invalid_did`.
    InvalidDid(&'static str),
    /// `invalid_key`: a key or key share of wrong length, order or encoding.
    InvalidKey(&'static str),
    /// `unsupported_version`.
    UnsupportedVersion(u8),
    /// `unsupported_suite`: none of the client's suites is known here.
    UnsupportedSuite,
    /// `misdirected`: meant for another server identity.
    Misdirected,
    /// `stale_timestamp`: outside the accepted skew.
    StaleTimestamp {
        /// This side's clock, unauthenticated, for the human at the other end.
        server_time_ms: u64,
    },
    /// `challenge_required`: send a new M1 that carries this challenge.
    ChallengeRequired {
        /// Freshly minted, bound to both DIDs, good for 60 s.
        challenge: [u8; crate::handshake::CHALLENGE_LEN],
    },
    /// `payload_too_large`.
    TooLarge(usize),
    /// `authentication_failed`: says nothing more, on purpose.
    AuthenticationFailed,
    /// A step was taken out of order, or twice.
    OutOfOrder(&'static str),
    /// The caller's argument is wrong.
    Input(InputError),
    /// The random source failed.
    Random,
}

impl From<InputError> for HandshakeError {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

impl From<RandomError> for HandshakeError {
    fn from(_: RandomError) -> Self {
        Self::Random
    }
}

/// Why a session refused to seal, open, rekey or be wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionError {
    /// `malformed_request`: the record or rekey message is not of the strict form.
    Malformed(&'static str),
    /// `payload_too_large`: plaintext beyond 1 MiB.
    TooLarge(usize),
    /// `authentication_failed`: wrong tag, MAC, session, direction or suite.
    AuthenticationFailed,
    /// `replay_detected`: this record was delivered before, or is older than the window.
    Replayed,
    /// `rekey_required`: valid, but this epoch may not be used any more, or its windows are lost.
    RekeyRequired,
    /// The key's hard budget is spent: rekey before sealing again.
    BudgetSpent,
    /// Age or idleness ended the session.
    Expired,
    /// Closed by either side.
    Closed,
    /// Not confirmed by the client yet.
    HalfOpen,
    /// Restored from a store: rekey before anything else.
    Restored,
    /// A responder's session that was carried over a `fork`: only a store can decide a rekey.
    Forked,
    /// The table of shared windows has no place for another sending process.
    WindowsFull,
    /// The file behind the shared windows is gone: what was delivered cannot be told.
    WindowsLost,
    /// The exporter does not survive a restore.
    NoExporter,
    /// A step that this role or state does not have.
    OutOfOrder(&'static str),
    /// The caller's argument is wrong.
    Input(InputError),
    /// The random source failed.
    Random,
}

impl From<InputError> for SessionError {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

/// What a table of shared windows says of a record whose tag has verified.
impl From<AdmitError> for SessionError {
    fn from(error: AdmitError) -> Self {
        match error {
            // Another session under the same fingerprint: it may only be refused.
            AdmitError::Replayed | AdmitError::OtherEnd => Self::Replayed,
            AdmitError::GivenUp => Self::Expired,
            AdmitError::Full => Self::WindowsFull,
            // No sender seals that far.
            AdmitError::BeyondBudget(_) => Self::RekeyRequired,
            AdmitError::TooFarAhead { .. } => Self::Input(InputError::Value {
                what: "session lifetime",
                why: "is longer than the table of shared windows looks ahead",
            }),
            AdmitError::Orphaned => Self::WindowsLost,
        }
    }
}

impl From<RandomError> for SessionError {
    fn from(_: RandomError) -> Self {
        Self::Random
    }
}
