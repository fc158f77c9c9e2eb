//! Looking at a record's header without opening it.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};
use sage_core::json::session_id_text;
use sage_core::record::{Direction, Flags, Header};

use crate::buffers::Input;
use crate::errors;

/// The header of a record, 48 bytes in clear. Only a claim until the record was opened.
///
/// A receiver looks the session up by role, peer and ``session_id``: servers choose the ids, and two
/// may choose the same.
///
/// Source: docs/protocol.md, "Records".
#[pyclass(frozen, module = "sage_native._native")]
pub struct RecordHeader {
    header: Header,
}

#[pymethods]
impl RecordHeader {
    /// Parse the header at the beginning of a record.
    ///
    /// Args:
    ///     record: At least 48 bytes; what follows is not looked at.
    ///
    /// Raises:
    ///     HandshakeError: Too short, or an unknown version, direction or flag (``malformed_request``).
    ///
    /// Cost: about 0.1 µs.
    #[classmethod]
    fn parse(class: &Bound<'_, PyType>, record: Input<'_>) -> PyResult<Self> {
        Header::parse(record.as_slice())
            .map(|header| Self { header })
            .map_err(|error| errors::session(class.py(), error))
    }

    /// The session it names, lower-case hex, 8-4-4-4-12.
    #[getter]
    fn session_id(&self) -> String {
        session_id_text(&self.header.session_id)
    }

    /// The low byte of the negotiated suite.
    #[getter]
    fn suite(&self) -> u8 {
        self.header.suite
    }

    /// Which way the record travels: ``c2s`` or ``s2c``.
    #[getter]
    fn direction(&self) -> &'static str {
        match self.header.direction {
            Direction::ClientToServer => "c2s",
            Direction::ServerToClient => "s2c",
        }
    }

    /// The sending process, 16 random bytes.
    #[getter]
    fn incarnation<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.header.incarnation)
    }

    /// The epoch of the secret that the record's key comes from.
    #[getter]
    fn epoch(&self) -> u32 {
        self.header.epoch
    }

    /// The record's place in its incarnation's sequence, from 0.
    #[getter]
    fn seq(&self) -> u64 {
        self.header.seq
    }

    /// True if the record ends both directions. Its plaintext is empty.
    #[getter]
    fn close(&self) -> bool {
        self.header.flags.contains(Flags::CLOSE)
    }

    /// True if the sender's record key has passed its soft budget.
    #[getter]
    fn rekey_wanted(&self) -> bool {
        self.header.flags.contains(Flags::REKEY_WANTED)
    }

    /// True if the plaintext is a binary HTTP message (RFC 9292).
    #[getter]
    fn binary_http(&self) -> bool {
        self.header.flags.contains(Flags::BINARY_HTTP)
    }

    fn __repr__(&self) -> String {
        format!(
            "RecordHeader(session_id='{}', direction='{}', epoch={}, seq={}, flags={})",
            self.session_id(),
            self.direction(),
            self.header.epoch,
            self.header.seq,
            self.header.flags.bits()
        )
    }
}
