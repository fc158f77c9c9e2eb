//! Looking at a record's header without opening it.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};
use sage_core::json::session_id_text;
use sage_core::record::{Direction, Flags, Header};

use crate::buffers::Input;
use crate::errors;

#[pyclass(frozen, module = "sage_native._native")]
pub struct RecordHeader {
    header: Header,
}

#[pymethods]
impl RecordHeader {
    #[classmethod]
    fn parse(class: &Bound<'_, PyType>, record: Input<'_>) -> PyResult<Self> {
        Header::parse(record.as_slice())
            .map(|header| Self { header })
            .map_err(|error| errors::session(class.py(), error))
    }

    #[getter]
    fn session_id(&self) -> String {
        session_id_text(&self.header.session_id)
    }

    #[getter]
    fn suite(&self) -> u8 {
        self.header.suite
    }

    #[getter]
    fn direction(&self) -> &'static str {
        match self.header.direction {
            Direction::ClientToServer => "c2s",
            Direction::ServerToClient => "s2c",
        }
    }

    #[getter]
    fn incarnation<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.header.incarnation)
    }

    #[getter]
    fn epoch(&self) -> u32 {
        self.header.epoch
    }

    #[getter]
    fn seq(&self) -> u64 {
        self.header.seq
    }

    #[getter]
    fn close(&self) -> bool {
        self.header.flags.contains(Flags::CLOSE)
    }

    #[getter]
    fn rekey_wanted(&self) -> bool {
        self.header.flags.contains(Flags::REKEY_WANTED)
    }

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
