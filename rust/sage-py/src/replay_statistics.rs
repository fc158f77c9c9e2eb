//! What a table holds, as `sage_native.replay` takes it.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sage_core::replay::{Counts, Statistics};

/// The fields of `sage_native.replay.ReplayStatistics`, in order.
pub fn to_python<'py>(py: Python<'py>, held: &Statistics, counts: Counts) -> PyResult<Bound<'py, PyTuple>> {
    let generations: Vec<_> = held.generations.iter().map(|one| (one.ends_ms, one.live)).collect();
    let held = (held.capacity, held.memory_len, held.live, held.spent, held.given_up_before_ms);
    let counts = (counts.admitted, counts.replayed, counts.given_up, counts.full);
    (held.0, held.1, held.2, held.3, held.4, generations, counts.0, counts.1, counts.2, counts.3)
        .into_pyobject(py)
}
