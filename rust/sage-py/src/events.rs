//! Telling `sage_native.events` what happened. Only refusals and openings are told one by one, so
//! that a nonce that is admitted pays nothing; how many were admitted is counted.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

const MODULE: &str = "sage_native.events";

/// Tells that nonces or sequence numbers were refused.
pub fn refused(py: Python<'_>, reason: &str, count: usize) {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    told(py, FUNCTION.import(py, MODULE, "replay_refused").and_then(|tell| tell.call1((reason, count))));
}

/// Tells that a shared table was opened.
pub fn memory_opened(py: Python<'_>, path: Option<&PathBuf>, remembers_since_ms: u64, is_complete: bool) {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let tell = FUNCTION.import(py, MODULE, "replay_memory_opened");
    told(py, tell.and_then(|tell| tell.call1((path, remembers_since_ms, is_complete))));
}

/// A listener's trouble is not the caller's: the verdict stands.
fn told(py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) {
    if let Err(error) = result {
        error.write_unraisable(py, None);
    }
}
