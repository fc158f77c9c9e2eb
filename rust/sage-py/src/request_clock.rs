//! When requests begin, and which of them somebody wants to look at.

use pyo3::prelude::*;

use crate::clock;
use crate::numbers::Whole;

/// Counts requests and says when each begins.
///
/// Args:
///     looks_at: The number of the first request that somebody wants to look at.
#[pyclass(module = "sage_native._native", name = "_RequestClock")]
pub struct RequestClock {
    count: u64,
    looks_at: u64,
}

#[pymethods]
impl RequestClock {
    #[new]
    #[pyo3(signature = (*, looks_at))]
    fn new(looks_at: Whole) -> Self {
        Self { count: 0, looks_at: looks_at.0 }
    }

    /// Begin a request.
    ///
    /// Returns:
    ///     What ``time.perf_counter`` would, in s; negative if the request is to be looked at.
    ///
    /// Cost: 0.05 µs.
    fn begin(&mut self, py: Python<'_>) -> PyResult<f64> {
        self.count += 1;
        let now_s = clock::counter_s(py)?;
        Ok(if self.count < self.looks_at { now_s } else { -now_s })
    }

    /// How many have begun.
    #[getter]
    fn count(&self) -> u64 {
        self.count
    }

    /// The number of the next one that somebody wants to look at.
    #[getter]
    fn looks_at(&self) -> u64 {
        self.looks_at
    }

    #[setter]
    fn set_looks_at(&mut self, number: Whole) {
        self.looks_at = number.0;
    }
}
