//! Which kernels run on this processor.

use std::env;

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
