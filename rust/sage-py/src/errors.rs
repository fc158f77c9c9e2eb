//! One conversion from the core's errors to the exceptions of `sage_native.exceptions`.
//!
//! No match has a catch-all arm: a new variant does not compile until somebody has decided what
//! Python users see.

use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyType};
use sage_core::error::{HandshakeError, InputError, SessionError};
use sage_core::random::RandomError;
use sage_core::replay::{AdmitError, OpenError};
use sage_core::wrap::UnwrapError;

use crate::events;

const MODULE: &str = "sage_native.exceptions";

macro_rules! exceptions {
    ($($function:ident => $class:literal),+ $(,)?) => {
        $(
            pub fn $function(py: Python<'_>, message: &str) -> PyErr {
                static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
                match CLASS.import(py, MODULE, $class) {
                    Ok(class) => PyErr::from_type(class.clone(), message.to_owned()),
                    Err(error) => error,
                }
            }
        )+
    };
}

exceptions! {
    usage => "UsageError",
    authentication => "AuthenticationError",
    replay => "ReplayDetectedError",
    expired => "ExpiredError",
    state => "SessionStateError",
    rekey_required => "RekeyRequiredError",
    key_unavailable => "KeyUnavailableError",
    capacity => "CapacityError",
    storage => "StorageError",
    configuration => "ConfigurationError",
}

pub fn input(py: Python<'_>, error: &InputError) -> PyErr {
    usage(py, &error.to_string())
}

/// Only a broken operating system ends here.
pub fn random(_: RandomError) -> PyErr {
    PyRuntimeError::new_err("the system's random source failed")
}

pub fn handshake(py: Python<'_>, error: HandshakeError) -> PyErr {
    let coded = |code, message: &str| refusal(py, message, code, None, None);
    match error {
        HandshakeError::Malformed(why) => coded("malformed_request", why),
        HandshakeError::InvalidDid(why) => coded("invalid_did", &format!("DID {why}")),
        HandshakeError::InvalidKey(why) => coded("invalid_key", why),
        HandshakeError::UnsupportedVersion(version) => {
            coded("unsupported_version", &format!("version {version} is not supported, only 1 is"))
        }
        HandshakeError::UnsupportedSuite => {
            coded("unsupported_suite", "none of the offered suites is supported, only 1 is")
        }
        HandshakeError::Misdirected => {
            coded("misdirected", "server_did or server_public_key is not of this responder")
        }
        HandshakeError::StaleTimestamp { server_time_ms } => refusal(
            py,
            "timestamp is more than 60 s away from this side's clock",
            "stale_timestamp",
            Some(server_time_ms),
            None,
        ),
        HandshakeError::ChallengeRequired { challenge } => refusal(
            py,
            "a fresh challenge of this server must be in the message",
            "challenge_required",
            None,
            Some(&challenge),
        ),
        HandshakeError::TooLarge(len) => coded(
            "payload_too_large",
            &format!("a handshake message may be at most 16384 bytes long, not {len}"),
        ),
        HandshakeError::AuthenticationFailed => authentication(py, "authentication failed"),
        HandshakeError::OutOfOrder(why) => state(py, why),
        HandshakeError::Input(error) => input(py, &error),
        HandshakeError::Random => random(RandomError),
    }
}

pub fn session(py: Python<'_>, error: SessionError) -> PyErr {
    match error {
        SessionError::Malformed(why) => refusal(py, why, "malformed_request", None, None),
        SessionError::TooLarge(len) => refusal(
            py,
            &format!("the plaintext of a record may be at most 1048576 bytes long, not {len}"),
            "payload_too_large",
            None,
            None,
        ),
        SessionError::AuthenticationFailed => authentication(py, "authentication failed"),
        SessionError::Replayed => replay(py, "this record was delivered before or is too old"),
        SessionError::RekeyRequired => rekey_required(py, "this epoch is over: rekey first"),
        SessionError::BudgetSpent => {
            rekey_required(py, "the record key's budget (2^24 records, 64 GiB) is spent: rekey first")
        }
        SessionError::Expired => expired(py, "the session has expired"),
        SessionError::Closed => state(py, "the session is closed"),
        SessionError::HalfOpen => {
            state(py, "the session is half-open: the client's confirmation has not arrived")
        }
        SessionError::Restored => rekey_required(py, "the session was restored from a store: rekey first"),
        SessionError::Forked => {
            state(py, "the session came here by fork: open records and rekey in the process that made it")
        }
        SessionError::WindowsFull => {
            events::refused(py, "full", 1);
            capacity(py, "the table of replay windows has no place for another sending process")
        }
        SessionError::WindowsLost => storage(
            py,
            "the file behind the replay windows was removed or replaced, so what was delivered cannot \
             be told: open the table again, restore the session with it, and rekey",
        ),
        SessionError::NoExporter => state(py, "the exporter does not survive a restore"),
        SessionError::OutOfOrder(why) => state(py, why),
        SessionError::Input(error) => input(py, &error),
        SessionError::Random => random(RandomError),
    }
}

pub fn unwrap(py: Python<'_>, error: UnwrapError) -> PyErr {
    match error {
        UnwrapError::OtherKek => {
            key_unavailable(py, "the row names another key-encryption key than the one given")
        }
        UnwrapError::NotAuthentic => {
            key_unavailable(py, "the row does not open: edited, swapped, or wrapped under another key")
        }
        UnwrapError::Input(error) => input(py, &error),
        UnwrapError::Random => random(RandomError),
    }
}

/// `what` was refused by a table for `places`; whoever listens is told.
pub fn admit(py: Python<'_>, error: AdmitError, what: &str, places: u64) -> PyErr {
    match error {
        AdmitError::Replayed => {
            events::refused(py, "replayed", 1);
            replay(py, &format!("{what} was admitted before, or is too old"))
        }
        AdmitError::GivenUp => {
            events::refused(py, "given_up", 1);
            replay(py, &format!("{what} is of a time that is over or was given up"))
        }
        AdmitError::Full => {
            events::refused(py, "full", 1);
            capacity(py, &format!("no place is free for {what}: the table is made for {places}"))
        }
        AdmitError::TooFarAhead { ahead_ms, horizon_ms } => usage(
            py,
            &format!(
                "{what} is to be remembered for {ahead_ms} ms, but the table looks {horizon_ms} ms ahead: \
                 check the time, or make the table with a larger horizon_ms"
            ),
        ),
        AdmitError::BeyondBudget(seq) => {
            usage(py, &format!("{what}, {seq}, is beyond the budget of a record key (2^24 records)"))
        }
        AdmitError::OtherEnd => {
            usage(py, &format!("{what} is of a window that was first used with another expires_ms"))
        }
        AdmitError::Orphaned => storage(
            py,
            "the file behind the table was removed or replaced, and others may be using a new one: \
             open it again",
        ),
    }
}

pub fn open(py: Python<'_>, error: OpenError) -> PyErr {
    match error {
        OpenError::Io { what, source } => {
            let error = storage(py, &format!("{what}: {source}"));
            let cause = match source.raw_os_error() {
                // With its number Python makes it FileNotFoundError and the like.
                Some(code) => PyOSError::new_err((code, source.to_string())),
                None => source.into(),
            };
            error.set_cause(py, Some(cause));
            error
        }
        OpenError::Refused(why) => configuration(py, &why),
        OpenError::Input(error) => input(py, &error),
        OpenError::Random => random(RandomError),
    }
}

fn refusal(
    py: Python<'_>,
    message: &str,
    code: &str,
    server_time_ms: Option<u64>,
    challenge: Option<&[u8]>,
) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let challenge = challenge.map(|bytes| PyBytes::new(py, bytes).unbind());
    match CLASS.import(py, MODULE, "HandshakeError") {
        Ok(class) => {
            PyErr::from_type(class.clone(), (message.to_owned(), code.to_owned(), server_time_ms, challenge))
        }
        Err(error) => error,
    }
}
