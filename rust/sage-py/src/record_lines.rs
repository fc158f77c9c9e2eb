//! Lines of a log about many records at once.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use sage_core::record_lines::{Answered, RecordLines};

use crate::errors;
use crate::numbers::Whole;

const NAME_LEN: usize = 16;

/// Session id, length of the answer, begin and end, name of the request, ids of its trace and span.
type Record<'py> = (
    Bound<'py, PyAny>,
    Whole,
    f64,
    f64,
    Option<Bound<'py, PyString>>,
    Option<(Bound<'py, PyString>, Bound<'py, PyString>)>,
);

/// Spell a line in JSON for each record that was answered.
///
/// Args:
///     records: Tuples, as ``observability.answered`` has them.
///     names: 16 characters for each record, for those without a name.
///     sessions: What stands for a session id, by the id.
///     since_epoch_s: What makes an end a time in s since the Unix epoch, when it is added.
///     first: Members of a JSON object, those before the name of the request.
///     then: Those between that name and how long the request took.
///
/// Returns:
///     The lines, with a newline between two of them.
///
/// Raises:
///     UsageError: Another number of names.
///     TypeError, ValueError: What is no such record.
///
/// Cost: about 0.15 µs each. Holds the interpreter lock.
#[pyfunction]
#[pyo3(name = "_record_lines", signature = (records, names, sessions, /, *, since_epoch_s, first, then))]
pub fn record_lines<'py>(
    py: Python<'py>,
    records: &Bound<'py, PyList>,
    names: &str,
    sessions: &Bound<'py, PyAny>,
    since_epoch_s: f64,
    first: &str,
    then: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut lines = RecordLines::new(first, then, records.len());
    for (at, item) in records.iter().enumerate() {
        let (session_id, Whole(sent_len), begun_s, ended_s, name, span): Record<'py> = item.extract()?;
        let session = sessions.get_item(session_id)?.cast_into::<PyString>()?;
        let drawn = || {
            names
                .get(at * NAME_LEN..(at + 1) * NAME_LEN)
                .ok_or_else(|| errors::usage(py, "there must be 16 characters of names for each record"))
        };
        lines.add(&Answered {
            at_s: ended_s + since_epoch_s,
            took_s: ended_s - begun_s,
            sent_len,
            name: name.as_ref().map_or_else(drawn, |given| given.to_str())?,
            session: session.to_str()?,
            span: match &span {
                Some((trace, own)) => Some((trace.to_str()?, own.to_str()?)),
                None => None,
            },
        });
    }
    Ok(PyBytes::new(py, lines.as_bytes()))
}
