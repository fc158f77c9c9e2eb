//! Records that were answered, kept until whoever watches is told of them.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use sage_core::answered::{AnsweredRecord, AnsweredRecords as Records};

use crate::clock;
use crate::numbers::Whole;

/// As `sage_native.observability.middleware` has them.
pub const SESSION_KEY: &str = "sage.session";
pub const REQUEST_ID_KEY: &str = "sage.request_id";
pub const RECORD_STATUS: u64 = 200;

/// Session id, length of the answer, begin and end, name of the request, ids of its trace and span.
type Row<'a> = (&'a str, u64, f64, f64, Option<&'a str>, Option<(&'a str, &'a str)>);

/// Records that were answered, in the order in which they were added.
///
/// Args:
///     is_kept: Keep what is added; else it is counted and forgotten.
#[pyclass(module = "sage_native._native", name = "_AnsweredRecords")]
pub struct AnsweredRecords {
    pub records: Records,
    is_kept: bool,
    forgotten_count: usize,
}

impl AnsweredRecords {
    /// Adds one without a name that is over now; None if it is the first that is kept.
    #[inline]
    pub fn take_in(&mut self, py: Python<'_>, session_id: &str, sent_len: u64, begun_s: f64) -> Option<()> {
        if !self.is_kept {
            self.forgotten_count += 1;
            return Some(());
        }
        if self.records.is_empty() {
            return None;
        }
        let ended_s = clock::counter_s(py).ok()?;
        self.records.add(&AnsweredRecord { session_id, sent_len, begun_s, ended_s, name: None, span: None });
        Some(())
    }
}

#[pymethods]
impl AnsweredRecords {
    #[new]
    #[pyo3(signature = (*, is_kept=true))]
    fn new(is_kept: bool) -> Self {
        Self { records: Records::default(), is_kept, forgotten_count: 0 }
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
        if !self.is_kept {
            self.forgotten_count += 1;
            return;
        }
        self.records.add(&AnsweredRecord {
            session_id,
            sent_len: sent_len.0,
            begun_s,
            ended_s,
            name,
            span: span.as_ref().map(|(trace, own)| (trace.as_str(), own.as_str())),
        });
    }

    /// Add one that was answered with 200 and has no name, if it is not the first that is kept.
    ///
    /// Args:
    ///     scope: The scope of its request. It is a record if its session stands there.
    ///     status: What was answered.
    ///     sent_len: The length of the answer.
    ///     begun_s: When it began, on the clock of ``time.perf_counter``; it is over now.
    ///     error: What was raised.
    ///
    /// Returns:
    ///     Whether it was added.
    ///
    /// Cost: about 0.1 µs.
    #[pyo3(signature = (scope, status, sent_len, begun_s, error, /))]
    fn takes(
        &mut self,
        scope: &Bound<'_, PyDict>,
        status: &Bound<'_, PyAny>,
        sent_len: &Bound<'_, PyAny>,
        begun_s: f64,
        error: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let py = scope.py();
        let (Ok(Whole(RECORD_STATUS)), Ok(Whole(sent_len)), None) =
            (status.extract::<Whole>(), sent_len.extract::<Whole>(), error)
        else {
            return Ok(false);
        };
        if scope.contains(intern!(py, REQUEST_ID_KEY))? {
            return Ok(false);
        }
        let Some(session_id) = scope.get_item(intern!(py, SESSION_KEY))? else {
            return Ok(false);
        };
        let Ok(session_id) = session_id.cast::<PyString>() else {
            return Ok(false);
        };
        let Ok(session_id) = session_id.to_str() else {
            return Ok(false);
        };
        Ok(self.take_in(py, session_id, sent_len, begun_s).is_some())
    }

    /// Take all of them out of here, into another such object.
    fn take(&mut self) -> Self {
        let forgotten_count = std::mem::take(&mut self.forgotten_count);
        Self { records: self.records.take(), is_kept: self.is_kept, forgotten_count }
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
        self.records.len() + self.forgotten_count
    }

    fn __repr__(&self) -> String {
        format!("<{} answered records>", self.__len__())
    }
}
