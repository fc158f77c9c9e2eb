//! What tests and benchmarks ask of the boundary itself.

use core::mem::MaybeUninit;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sage_core::shares::{self, SHARE_MIN_NS, Shares};

use crate::buffers::{Input, or_empty};
use crate::detach;
use crate::output;
use crate::threads::Threads;

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

/// Panic on every thread of a batch, as only a bug does: Python must see one exception, and the process must
/// go on.
#[pyfunction]
#[pyo3(name = "_panic_probe", signature = (*, threads=Threads::ONE))]
pub fn panic_probe(py: Python<'_>, threads: Threads) {
    let shares = Shares::new(threads.0, core::iter::repeat_n(SHARE_MIN_NS, shares::Threads::MAX));
    detach::run(py, shares.expected_ns(), || shares.run::<()>(|_| panic!("asked for")));
}
