//! What tests and benchmarks ask of the boundary itself.

use core::mem::MaybeUninit;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::buffers::{Input, or_empty};
use crate::output;

/// Does what every three-argument call that returns bytes does, and nothing else: borrows three
/// arguments and returns `len(second) + 16` fresh bytes. `make bench` measures the boundary with it.
#[pyfunction]
#[pyo3(name = "_boundary_probe", signature = (first, second, third=None, /))]
pub fn boundary_probe<'py>(
    py: Python<'py>,
    first: Input<'_>,
    second: Input<'_>,
    third: Option<Input<'_>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let touched = first.as_slice().len() + or_empty(third.as_ref()).len();
    output::bytes(py, second.as_slice().len() + 16, |out| {
        out.fill(MaybeUninit::new(touched.to_le_bytes()[0]));
        Ok(())
    })
}

/// Panic, as only a bug does: Python must see an exception, and the process must go on.
#[pyfunction]
#[pyo3(name = "_panic_probe")]
pub fn panic_probe() {
    panic!("asked for");
}
