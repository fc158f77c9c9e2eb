//! Replay windows over sequence numbers: one, and a table of them for all workers of a machine.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use sage_core::json::session_id_from_text;
use sage_core::random::SystemRandom;
use sage_core::record::Direction;
use sage_core::replay::{self, AdmitError, WindowName};
use sage_core::window;

use crate::buffers::Input;
use crate::clock;
use crate::errors;
use crate::events;
use crate::numbers::Whole;
use crate::replay_statistics;
use crate::secrecy::refuse_copies;

/// Accepts each sequence number of one sender once, in any order within reach of the highest.
///
/// A session keeps such windows by itself. This one is for protocols of your own. Ask it only about
/// numbers that were authenticated: a forged one would move it.
///
/// Source: docs/protocol.md, "Records"; RFC 6479.
#[pyclass(frozen, module = "sage_native._native")]
pub struct ReplayWindow {
    inner: Mutex<window::ReplayWindow>,
}

refuse_copies!(ReplayWindow);

#[pymethods]
impl ReplayWindow {
    #[new]
    fn new() -> Self {
        Self { inner: Mutex::new(window::ReplayWindow::new()) }
    }

    /// Accept a sequence number once.
    ///
    /// Args:
    ///     seq: 0 to 2^64 - 1.
    ///
    /// Raises:
    ///     ReplayDetectedError: Accepted before, or 1,024 or more behind the highest.
    ///
    /// Cost: about 50 ns.
    fn admit(&self, py: Python<'_>, seq: u64) -> PyResult<()> {
        if self.with(|window| window.admit(seq)) {
            return Ok(());
        }
        Err(errors::admit(py, AdmitError::Replayed, "this sequence number", 0))
    }

    /// Say whether ``admit`` would accept a sequence number, and remember nothing.
    fn is_fresh(&self, seq: u64) -> bool {
        self.with(|window| window.is_fresh(seq))
    }

    /// The highest number accepted so far, or None.
    #[getter]
    fn highest(&self) -> Option<u64> {
        self.with(|window| window.highest())
    }

    fn __repr__(&self) -> String {
        match self.highest() {
            Some(highest) => format!("ReplayWindow(highest={highest})"),
            None => "ReplayWindow()".into(),
        }
    }
}

impl ReplayWindow {
    fn with<R>(&self, with: impl FnOnce(&mut window::ReplayWindow) -> R) -> R {
        with(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Replay windows that all workers of a machine share.
///
/// Args:
///     capacity: How many windows there is room for, at least; about 440 bytes each, taken when they
///         are first touched (at once, with a path). A session takes one for each sending process and
///         epoch, until it ends.
///     horizon_ms: How long a session may live, in ms, up to 31 days.
///     path: A file that all processes share which open it; see ``open``.
///     now_ms: The time; the clock is asked if it is left out.
///
/// Raises:
///     UsageError: ``capacity`` or ``horizon_ms`` is out of its range.
///     ConfigurationError, StorageError: As ``open``.
///
/// Without a path the memory belongs to this process and the children that it forks.
///
/// Source: docs/protocol.md, "Records"; docs/adr/0011-a-lock-free-replay-table.md.
#[pyclass(frozen, subclass, module = "sage_native._native")]
pub struct ReplayWindowTable {
    pub inner: Arc<replay::WindowTable>,
    path: Option<PathBuf>,
}

refuse_copies!(ReplayWindowTable);

#[pymethods]
impl ReplayWindowTable {
    #[new]
    #[pyo3(signature = (capacity=65_536, *, horizon_ms=86_400_000, path=None, now_ms=None))]
    fn new(
        py: Python<'_>,
        capacity: u64,
        horizon_ms: u64,
        path: Option<PathBuf>,
        now_ms: Option<Whole>,
    ) -> PyResult<Self> {
        let (at, now) = (path.as_deref(), clock::moment(now_ms));
        let inner = py.detach(|| replay::WindowTable::open(at, capacity, horizon_ms, now, &mut SystemRandom));
        let inner = Arc::new(inner.map_err(|error| errors::open(py, error))?);
        if path.is_some() {
            // A table that was there before has every window that was ever in it.
            let since_ms = inner.remembers_since_ms();
            events::memory_opened(py, path.as_ref(), since_ms, since_ms < now.now_ms);
        }
        Ok(Self { inner, path })
    }

    /// 16 random bytes that name what the table remembers.
    ///
    /// Whoever has a table of the same id has the same windows. A table whose file was lost, or is of
    /// an earlier start of the machine, has another id.
    #[getter]
    fn table_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.id())
    }

    /// Accept a sequence number once, of all workers.
    ///
    /// Args:
    ///     session_id: Lower-case hex, 8-4-4-4-12.
    ///     peer_did: The other side: servers choose session ids, and two may choose the same.
    ///     epoch: The epoch of the record key.
    ///     incarnation: The sending process, 16 bytes.
    ///     seq: The sequence number, authenticated before; below 2^24, the budget of a record key.
    ///     expires_ms: When the session ends, in ms since the epoch; the same every time.
    ///     direction: ``c2s`` or ``s2c``, which way the record travels.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Raises:
    ///     ReplayDetectedError: Accepted before, 1,024 or more behind the highest, or the session is
    ///         over.
    ///     CapacityError: No place for another window. Nothing was evicted, nothing accepted.
    ///     UsageError: Beyond the budget or the horizon, an ``expires_ms`` that differs from the first by
    ///         a generation (minutes) or more, or an argument is not of its form.
    ///     StorageError: The file was removed or replaced: open it again.
    ///
    /// Cost: about 0.2 µs. Never blocks, holds the interpreter lock.
    /// Source: docs/protocol.md, "Records".
    #[pyo3(signature = (
        session_id, *, peer_did, epoch, incarnation, seq, expires_ms, direction="c2s", now_ms=None,
    ))]
    #[allow(clippy::too_many_arguments)]
    fn admit(
        &self,
        py: Python<'_>,
        session_id: &str,
        peer_did: &str,
        epoch: u32,
        incarnation: Input<'_>,
        seq: u64,
        expires_ms: u64,
        direction: &str,
        now_ms: Option<Whole>,
    ) -> PyResult<()> {
        let session_id = session_id_from_text(session_id)
            .ok_or_else(|| errors::usage(py, "session_id must be lower-case hex, 8-4-4-4-12"))?;
        let direction = match direction {
            "c2s" => Direction::ClientToServer,
            "s2c" => Direction::ServerToClient,
            other => return Err(errors::usage(py, &format!("direction must be c2s or s2c, not {other}"))),
        };
        let incarnation = *incarnation.exactly(py, "incarnation")?;
        let name = WindowName { peer_did, session_id, direction, epoch, incarnation };
        self.inner
            .admit(&name, seq, expires_ms, clock::or_now(now_ms))
            .map_err(|error| errors::admit(py, error, "this sequence number", self.inner.capacity()))
    }

    /// Since when the table has been there, in ms since the epoch.
    #[getter]
    fn remembers_since_ms(&self) -> u64 {
        self.inner.remembers_since_ms()
    }

    /// How many windows there is room for, at least.
    #[getter]
    fn capacity(&self) -> u64 {
        self.inner.capacity()
    }

    /// How long a session may live, in ms.
    #[getter]
    fn horizon_ms(&self) -> u64 {
        self.inner.horizon_ms()
    }

    /// The file that is shared, or None.
    #[getter]
    fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    /// What `statistics` is made of.
    fn _statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let statistics = py.detach(|| self.inner.statistics());
        replay_statistics::to_python(py, &statistics, self.inner.counts())
    }

    /// How many windows there are, of all processes. Looks at every place: about 1 ms a million.
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(usize::try_from(py.detach(|| self.inner.statistics()).live)?)
    }

    // An empty table is as good as a full one, and counting takes its time.
    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self) -> String {
        let place = match &self.path {
            Some(path) => format!(", path='{}'", path.display()),
            None => String::new(),
        };
        format!("ReplayWindowTable({}, horizon_ms={}{place})", self.inner.capacity(), self.inner.horizon_ms())
    }
}
