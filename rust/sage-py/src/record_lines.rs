//! Lines of a log about many records at once.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use sage_core::record_lines::{Answered, RecordLines as Lines};

use crate::answered::AnsweredRecords;
use crate::errors;

const NAME_LEN: usize = 16;
/// Lines of one piece: as many as are still in the fastest cache when they are copied.
const PIECE_LEN: usize = 64;

/// Spells a line in JSON for each record that was answered.
///
/// Args:
///     first: Members of a JSON object, those before the name of the request.
///     then: Those between that name and how long the request took.
///     pseudonym_of: Returns what stands for a session id.
///     max_known: How many of those are remembered; they are forgotten all at once.
#[pyclass(module = "sage_native._native", name = "_RecordLines")]
pub struct RecordLines {
    lines: Lines,
    sessions: Sessions,
}

/// What stands for sessions, by their ids; learnt when it is asked for.
struct Sessions {
    pseudonym_of: Py<PyAny>,
    /// The places of those that are known, so that each is looked for once.
    places: HashMap<Box<str>, usize>,
    pseudonyms: Vec<Box<str>>,
    max_known: usize,
}

#[pymethods]
impl RecordLines {
    #[new]
    #[pyo3(signature = (*, first, then, pseudonym_of, max_known))]
    fn new(first: &str, then: &str, pseudonym_of: Py<PyAny>, max_known: usize) -> Self {
        Self {
            lines: Lines::new(first, then),
            sessions: Sessions { pseudonym_of, places: HashMap::new(), pseudonyms: Vec::new(), max_known },
        }
    }

    /// Spell lines.
    ///
    /// Args:
    ///     records: Those that were answered.
    ///     names: 16 characters for each of them, for those without a name.
    ///     since_epoch_s: What makes an end a time in s since the Unix epoch, when it is added.
    ///
    /// Returns:
    ///     Pieces of some lines, with a newline between two of them, and how many each has.
    ///
    /// Raises:
    ///     UsageError: Another number of names.
    ///
    /// Cost: about 0.1 µs each. Holds the interpreter lock.
    #[pyo3(signature = (records, names, /, *, since_epoch_s))]
    fn spell<'py>(
        &mut self,
        py: Python<'py>,
        records: &AnsweredRecords,
        names: &str,
        since_epoch_s: f64,
    ) -> PyResult<Vec<(Bound<'py, PyBytes>, usize)>> {
        let records = &records.records;
        if names.len() != records.len() * NAME_LEN || !names.is_ascii() {
            return Err(errors::usage(py, "there must be 16 characters of names for each record"));
        }
        let mut pieces = Vec::with_capacity(records.len().div_ceil(PIECE_LEN));
        let mut piece_len = 0;
        for (at, record) in records.iter().enumerate() {
            if piece_len == 0 {
                self.lines.begin(PIECE_LEN.min(records.len() - at));
            }
            self.lines.add(&Answered {
                at_s: record.ended_s + since_epoch_s,
                took_s: record.took_s(),
                sent_len: record.sent_len,
                name: record.name.unwrap_or(&names[at * NAME_LEN..(at + 1) * NAME_LEN]),
                session: self.sessions.of(py, record.session_id)?,
                span: record.span,
            });
            piece_len += 1;
            if piece_len == PIECE_LEN || at + 1 == records.len() {
                pieces.push((PyBytes::new(py, self.lines.as_bytes()), piece_len));
                piece_len = 0;
            }
        }
        Ok(pieces)
    }

    /// How many pseudonyms are remembered.
    #[getter]
    fn known_count(&self) -> usize {
        self.sessions.pseudonyms.len()
    }
}

impl Sessions {
    fn of(&mut self, py: Python<'_>, session_id: &str) -> PyResult<&str> {
        let place = match self.places.get(session_id) {
            Some(&place) => place,
            None => self.learn(py, session_id)?,
        };
        Ok(&self.pseudonyms[place])
    }

    #[cold]
    fn learn(&mut self, py: Python<'_>, session_id: &str) -> PyResult<usize> {
        let pseudonym = self.pseudonym_of.bind(py).call1((session_id,))?.cast_into::<PyString>()?;
        if self.pseudonyms.len() >= self.max_known {
            self.places.clear();
            self.pseudonyms.clear();
        }
        let place = self.pseudonyms.len();
        self.pseudonyms.push(pseudonym.to_str()?.into());
        self.places.insert(session_id.into(), place);
        Ok(place)
    }
}
