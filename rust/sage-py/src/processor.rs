//! Which kernels run on this processor.

use std::env;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use sage_core::processor;

/// Set to `1` before the import, it sends all work to the portable references.
const PORTABLE: &str = "SAGE_NATIVE_PORTABLE";

/// Reads the environment, once, when the module is imported.
pub fn choose() {
    if env::var_os(PORTABLE).is_some_and(|value| value == "1") {
        processor::stay_portable();
    }
}

/// Name the kernels that this process takes, beside what the library chooses by itself.
///
/// Returns:
///     Names such as ``curve25519-ifma``; empty on a processor without special instructions, or
///     with ``SAGE_NATIVE_PORTABLE=1`` in the environment at import.
#[pyfunction]
#[pyo3(name = "_kernels")]
pub fn kernels() -> Vec<&'static str> {
    processor::kernels()
}

/// Name the paths that Curve25519 can take on this processor.
///
/// Returns:
///     Some of ``ifma``, ``avx512``, ``avx2`` and ``scalar``, the fastest first. All give the same answers.
#[pyfunction]
#[pyo3(name = "_curve25519_paths")]
pub fn curve25519_paths() -> Vec<&'static str> {
    processor::curve25519_paths()
}

/// Take a path of Curve25519 from now on, in the whole process: for tests of each, and measurements.
///
/// The processor then counts as one that has no faster path. ``SAGE_NATIVE_PORTABLE`` has precedence.
///
/// Args:
///     name: One of ``_curve25519_paths()``, or ``None`` for the fastest.
///
/// Raises:
///     ValueError: This processor has no such path. Nothing has changed.
#[pyfunction]
#[pyo3(name = "_take_curve25519_path", signature = (name, /))]
pub fn take_curve25519_path(name: Option<&str>) -> PyResult<()> {
    match processor::take_curve25519_path(name) {
        true => Ok(()),
        false => Err(PyValueError::new_err("this processor has no such path")),
    }
}
