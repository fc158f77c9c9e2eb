//! Records that were answered, kept until whoever watches is told of them.

use pyo3::prelude::*;
use sage_core::answered::{AnsweredRecord, AnsweredRecords as Records};

use crate::numbers::Whole;

/// Session id, length of the answer, begin and end, name of the request, ids of its trace and span.
type Row<'a> = (&'a str, u64, f64, f64, Option<&'a str>, Option<(&'a str, &'a str)>);

/// Records that were answered, in the order in which they were added.
#[pyclass(module = "sage_native._native", name = "_AnsweredRecords")]
#[derive(Default)]
pub struct AnsweredRecords {
    pub records: Records,
}

#[pymethods]
impl AnsweredRecords {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Add one.
    ///
    /// Args:
    ///     session_id: Of its session.
    ///     sent_len: The length of its answer, in bytes.
    ///     begun_s: When it began, in s on any clock.
    ///     ended_s: When it was over.
    ///     name: The name of the request, if it has one.
    ///     span: The ids of its trace and its span, if it has one.
    ///
    /// Cost: about 0.1 µs.
    #[pyo3(signature = (session_id, sent_len, begun_s, ended_s, name=None, span=None, /))]
    fn add(
        &mut self,
        session_id: &str,
        sent_len: Whole,
        begun_s: f64,
        ended_s: f64,
        name: Option<&str>,
        span: Option<(String, String)>,
    ) {
        self.records.add(&AnsweredRecord {
            session_id,
            sent_len: sent_len.0,
            begun_s,
            ended_s,
            name,
            span: span.as_ref().map(|(trace, own)| (trace.as_str(), own.as_str())),
        });
    }

    /// Take all of them out of here, into another such object.
    fn take(&mut self) -> Self {
        Self { records: self.records.take() }
    }

    /// Return all of them, a tuple of what ``add`` took for each.
    fn rows(&self) -> Vec<Row<'_>> {
        self.records
            .iter()
            .map(|one| (one.session_id, one.sent_len, one.begun_s, one.ended_s, one.name, one.span))
            .collect()
    }

    /// Tell how long they took.
    ///
    /// Args:
    ///     bounds_s: The upper bounds of the buckets, in s, the smallest first.
    ///
    /// Returns:
    ///     How many belong into each bucket, and into one without a bound behind the last; and the
    ///     sum, in s. What is as long as a bound is within it.
    ///
    /// Cost: about 10 ns each.
    fn durations(&self, bounds_s: Vec<f64>) -> (Vec<u64>, f64) {
        self.records.durations(&bounds_s)
    }

    fn __len__(&self) -> usize {
        self.records.len()
    }

    fn __repr__(&self) -> String {
        format!("<{} answered records>", self.records.len())
    }
}
