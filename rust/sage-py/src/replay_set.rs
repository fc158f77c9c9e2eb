//! The replay set over request nonces.

use std::path::PathBuf;

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};
use sage_core::random::SystemRandom;
use sage_core::replay::{self, AdmitError, LookedUp, Nonce};

use crate::buffers::{Batch, Input, same_count};
use crate::clock;
use crate::detach;
use crate::errors;
use crate::events;
use crate::numbers::Whole;
use crate::replay_statistics;
use crate::secrecy::refuse_copies;

/// Remembers (scope, nonce) pairs until their time has passed, and admits each exactly once.
///
/// Args:
///     capacity: How many nonces there is room for, at least; about 13 bytes each, taken at once. Of
///         more than five million, without a path, they are taken when they are first touched.
///     horizon_ms: How far ahead of the clock ``remember_until_ms`` may lie, in ms, up to 31 days.
///         180,000 is what handshakes need. Time is cut into generations of a 512th to a 256th of it,
///         of 1,024 ms at the least: entries may live one longer than asked, and one more ahead is
///         still taken.
///     path: A file that all processes share which open it; see ``open``.
///     now_ms: The time; the clock is asked if it is left out.
///
/// Raises:
///     UsageError: ``capacity`` or ``horizon_ms`` is out of its range.
///     ConfigurationError, StorageError: As ``open``.
///
/// Without a path the memory belongs to this process and the children that it forks: they all share
/// it. It never blocks, so asynchronous code calls it directly, and any number of threads at once.
///
/// A fresh nonce is refused in error with a probability below 1e-13 with a million live ones. A replay
/// is never admitted: not over ``fork``, not when a process is killed, not when a clock steps. To the
/// set time never runs back: what was given up when a clock ran ahead stays refused until the clock
/// gets there. ``statistics().given_up_before_ms`` shows it.
///
/// Source: docs/concepts.md, "Replay"; docs/adr/0011-a-lock-free-replay-table.md.
#[pyclass(frozen, subclass, module = "sage_native._native")]
pub struct ReplaySet {
    inner: replay::ReplaySet,
    path: Option<PathBuf>,
}

refuse_copies!(ReplaySet);

/// What `quick_admit` needs of a set.
impl ReplaySet {
    #[inline]
    pub fn look_up(&self, scope: &[u8], nonce: &[u8]) -> LookedUp {
        self.inner.look_up(b"", scope, nonce)
    }

    #[inline]
    pub fn admit_known(&self, known: LookedUp, remember_until_ms: u64) -> Result<(), AdmitError> {
        self.inner.admit_known(known, remember_until_ms, clock::or_now(None))
    }

    pub fn refusal(&self, py: Python<'_>, error: AdmitError) -> PyErr {
        errors::admit(py, error, "this request nonce", self.inner.capacity())
    }
}

#[pymethods]
impl ReplaySet {
    #[new]
    #[pyo3(signature = (
        capacity=1_000_000, *, horizon_ms=replay::DEFAULT_HORIZON_MS, path=None, now_ms=None,
    ))]
    fn new(
        py: Python<'_>,
        capacity: u64,
        horizon_ms: u64,
        path: Option<PathBuf>,
        now_ms: Option<Whole>,
    ) -> PyResult<Self> {
        let (at, now) = (path.as_deref(), clock::moment(now_ms));
        // Reserving a large file takes its time.
        let inner = py.detach(|| replay::ReplaySet::open(at, capacity, horizon_ms, now, &mut SystemRandom));
        let inner = inner.map_err(|error| errors::open(py, error))?;
        if path.is_some() {
            events::memory_opened(py, path.as_ref(), inner.remembers_since_ms(), inner.is_complete(now));
        }
        Ok(Self { inner, path })
    }

    /// Admit a request nonce exactly once.
    ///
    /// Args:
    ///     scope: Whose nonce it is: the client's DID.
    ///     nonce: The random value of the request.
    ///     remember_until_ms: Signed time + skew + margin, in ms since the epoch.
    ///     purpose: What the nonce is for; the same nonce for another purpose is another.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Raises:
    ///     ReplayDetectedError: Admitted before, or of a time that is over or was given up.
    ///     CapacityError: Full. Nothing was evicted and the nonce was not admitted.
    ///     UsageError: ``remember_until_ms`` lies further ahead than ``horizon_ms``.
    ///     StorageError: The file was removed or replaced: open it again.
    ///
    /// Cost: 0.2 to 0.5 µs with a million live nonces, most of it one cache miss; 0.05 µs more with
    /// arguments by name, or a nonce that is not ``bytes``. Never waits for others, holds the interpreter
    /// lock.
    /// The first admission after minutes of silence sweeps up what is over: some ms a million places.
    /// Source: docs/protocol.md, "Order of work on M1".
    #[pyo3(signature = (scope, nonce, remember_until_ms, *, purpose="", now_ms=None))]
    fn admit(
        &self,
        py: Python<'_>,
        scope: &str,
        nonce: Input<'_>,
        remember_until_ms: &Bound<'_, PyAny>,
        purpose: &str,
        now_ms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        // While the memory is on its way the numbers are read.
        let known = self.inner.look_up(purpose.as_bytes(), scope.as_bytes(), nonce.as_slice());
        let Whole(remember_until_ms) = remember_until_ms.extract::<Whole>()?;
        let now_ms = now_ms.map(|now_ms| now_ms.extract::<Whole>()).transpose()?;
        self.inner
            .admit_known(known, remember_until_ms, clock::or_now(now_ms))
            .map_err(|error| self.refusal(py, error))
    }

    /// Two `bytes` of a byte a nonce, 1 or 0: whether it was admitted, and whether there was no room.
    #[pyo3(signature = (scopes, nonces, remember_until_ms, *, purpose="", now_ms=None))]
    fn _admit_many<'py>(
        &self,
        py: Python<'py>,
        scopes: Scopes<'py>,
        nonces: Batch<'py>,
        remember_until_ms: Ends,
        purpose: &str,
        now_ms: Option<Whole>,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        // Each byte is read once, so a buffer that somebody changes meanwhile does no harm.
        let nonces = nonces.slices();
        let scopes = scopes.each(py, nonces.len())?;
        let ends = remember_until_ms.each(py, nonces.len())?;
        let now_ms = clock::or_now(now_ms);
        self.inner.check_ends(&ends, now_ms).map_err(|error| {
            errors::admit(py, error, "a request nonce of the batch", self.inner.capacity())
        })?;
        let batch = nonces.iter().enumerate().map(|(at, nonce)| Nonce {
            scope: scopes.get(at).unwrap_or(&scopes[0]).as_bytes(),
            nonce,
            remember_until_ms: *ends.get(at).unwrap_or(&ends[0]),
        });
        let expected_ns = nonces.len() * detach::ADMIT_NS;
        let mut verdicts = Verdicts::for_count(nonces.len());
        detach::run(py, expected_ns, || {
            self.inner.admit_each(purpose.as_bytes(), batch, now_ms, |verdict| verdicts.add(verdict));
        });
        verdicts.told(py, self.inner.capacity())
    }

    /// How many nonces there is room for, at least.
    #[getter]
    fn capacity(&self) -> u64 {
        self.inner.capacity()
    }

    /// How far ahead of the clock ``remember_until_ms`` may lie, in ms.
    #[getter]
    fn horizon_ms(&self) -> u64 {
        self.inner.horizon_ms()
    }

    /// The file that is shared, or None.
    #[getter]
    fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    /// Since when nothing is missing, in ms since the epoch: when the set was made, or when its file
    /// was first opened after a start of the machine, or was found to be a copy.
    #[getter]
    fn remembers_since_ms(&self) -> u64 {
        self.inner.remembers_since_ms()
    }

    /// Say whether everything that was admitted before ``remembers_since_ms`` is over by now.
    ///
    /// While it is not, a nonce may be fresh to the set and yet have been admitted before: demand
    /// challenges. A clock that steps forward does not shorten that, unless ``now_ms`` is given.
    ///
    /// Args:
    ///     now_ms: The time; the clock is asked if it is left out.
    #[pyo3(signature = (*, now_ms=None))]
    fn is_complete(&self, now_ms: Option<Whole>) -> bool {
        self.inner.is_complete(clock::moment(now_ms))
    }

    /// What `statistics` is made of.
    fn _statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let statistics = py.detach(|| self.inner.statistics());
        replay_statistics::to_python(py, &statistics, self.inner.counts())
    }

    /// How many nonces are remembered, by all processes. Looks at every place: about 1 ms a million.
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(usize::try_from(py.detach(|| self.inner.statistics()).live)?)
    }

    // An empty set is as good as a full one, and counting takes its time.
    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self) -> String {
        let place = match &self.path {
            Some(path) => format!(", path='{}'", path.display()),
            None => String::new(),
        };
        format!("ReplaySet({}, horizon_ms={}{place})", self.inner.capacity(), self.inner.horizon_ms())
    }
}

/// Verdicts as numpy takes them for arrays of bool, so that nothing is left to be done in Python.
struct Verdicts {
    admitted: Vec<u8>,
    full: Vec<u8>,
    full_count: usize,
    replayed: usize,
    given_up: usize,
    failure: Option<AdmitError>,
}

impl Verdicts {
    fn for_count(count: usize) -> Self {
        let (admitted, full) = (Vec::with_capacity(count), vec![0; count]);
        Self { admitted, full, full_count: 0, replayed: 0, given_up: 0, failure: None }
    }

    #[inline]
    fn add(&mut self, verdict: Result<(), AdmitError>) {
        if let Err(error) = verdict {
            self.refused(error);
        }
        self.admitted.push(u8::from(verdict.is_ok()));
    }

    #[cold]
    fn refused(&mut self, error: AdmitError) {
        match error {
            AdmitError::Replayed => self.replayed += 1,
            AdmitError::GivenUp => self.given_up += 1,
            AdmitError::Full => {
                self.full_count += 1;
                self.full[self.admitted.len()] = 1;
            }
            AdmitError::TooFarAhead { .. }
            | AdmitError::BeyondBudget(_)
            | AdmitError::OtherEnd
            | AdmitError::Orphaned => self.failure = self.failure.or(Some(error)),
        }
    }

    /// That the file is gone is raised: it holds for the whole batch.
    fn told(self, py: Python<'_>, capacity: u64) -> PyResult<(Bound<'_, PyBytes>, Bound<'_, PyBytes>)> {
        if let Some(error) = self.failure {
            return Err(errors::admit(py, error, "a request nonce of the batch", capacity));
        }
        let counts = [("replayed", self.replayed), ("given_up", self.given_up), ("full", self.full_count)];
        for (reason, count) in counts {
            if count > 0 {
                events::refused(py, reason, count);
            }
        }
        Ok((PyBytes::new(py, &self.admitted), PyBytes::new(py, &self.full)))
    }
}

/// One scope for all nonces of a batch, or one for each.
pub enum Scopes<'py> {
    One(Bound<'py, PyString>),
    Many(Vec<Bound<'py, PyString>>),
}

impl<'py> FromPyObject<'_, 'py> for Scopes<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match object.cast::<PyString>() {
            Ok(scope) => Ok(Self::One(scope.to_owned())),
            Err(_) => object.extract().map(Self::Many),
        }
    }
}

impl Scopes<'_> {
    /// One text for all, or as many as nonces.
    fn each(&self, py: Python<'_>, nonce_count: usize) -> PyResult<Vec<&str>> {
        match self {
            Self::One(scope) => Ok(vec![scope.to_str()?]),
            Self::Many(scopes) => {
                same_count(py, &[("nonces", nonce_count), ("scopes", scopes.len())])?;
                let texts = scopes.iter().map(|scope| scope.to_str()).collect::<PyResult<Vec<_>>>()?;
                // Nobody looks at it when there are no nonces.
                Ok(if texts.is_empty() { vec![""] } else { texts })
            }
        }
    }
}

/// One end for all nonces of a batch, or an array with one for each.
pub enum Ends {
    One(u64),
    Many(Vec<u64>),
}

impl<'py> FromPyObject<'_, 'py> for Ends {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyInt>() {
            return object.extract().map(Self::One);
        }
        PyBuffer::<u64>::get(&object)?.to_vec(object.py()).map(Self::Many)
    }
}

impl Ends {
    fn each(self, py: Python<'_>, nonce_count: usize) -> PyResult<Vec<u64>> {
        match self {
            Self::One(end) => Ok(vec![end]),
            Self::Many(ends) => {
                same_count(py, &[("nonces", nonce_count), ("remember_until_ms", ends.len())])?;
                Ok(if ends.is_empty() { vec![0] } else { ends })
            }
        }
    }
}
