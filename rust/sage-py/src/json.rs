//! JSON carriers of handshake and rekey messages.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sage_core::json::{self, Kind};

use crate::buffers::Input;
use crate::errors;

/// Write a message's binary carrier as JSON.
///
/// Args:
///     kind: ``initiate``, ``accept``, ``confirm``, ``rekey_request`` or ``rekey_reply``.
///     message: The binary carrier.
///
/// Returns:
///     The JSON object in UTF-8, without white space.
///
/// Raises:
///     HandshakeError: The message is not of its binary form, or has an integer of 2^53 or more.
///     UsageError: Another kind.
///
/// Cost: about 1 µs.
/// Source: docs/protocol.md, "JSON carriers".
#[pyfunction]
pub fn encode_json<'py>(py: Python<'py>, kind: &str, message: Input<'_>) -> PyResult<Bound<'py, PyBytes>> {
    json::encode(kind_of(py, kind)?, message.as_slice())
        .map(|text| PyBytes::new(py, text.as_bytes()))
        .map_err(|error| errors::handshake(py, error))
}

/// Read a message's JSON carrier into its binary one. Nothing is verified yet.
///
/// Args:
///     kind: ``initiate``, ``accept``, ``confirm``, ``rekey_request`` or ``rekey_reply``.
///     text: One JSON object in UTF-8, at most 16 KiB.
///
/// Returns:
///     The binary carrier.
///
/// Raises:
///     HandshakeError: Not the strict form; ``code`` is what to answer.
///     UsageError: Another kind.
///
/// Cost: about 1 µs.
/// Source: docs/protocol.md, "JSON carriers".
#[pyfunction]
pub fn decode_json<'py>(py: Python<'py>, kind: &str, text: Input<'_>) -> PyResult<Bound<'py, PyBytes>> {
    json::decode(kind_of(py, kind)?, text.as_slice())
        .map(|message| PyBytes::new(py, &message))
        .map_err(|error| errors::handshake(py, error))
}

fn kind_of(py: Python<'_>, kind: &str) -> PyResult<Kind> {
    Ok(match kind {
        "initiate" => Kind::Initiate,
        "accept" => Kind::Accept,
        "confirm" => Kind::Confirm,
        "rekey_request" => Kind::RekeyRequest,
        "rekey_reply" => Kind::RekeyReply,
        other => {
            return Err(errors::usage(
                py,
                &format!(
                    "kind must be 'initiate', 'accept', 'confirm', 'rekey_request' or 'rekey_reply', \
                     not {other:?}"
                ),
            ));
        }
    })
}
