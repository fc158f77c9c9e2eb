//! Finding the session of a record and opening it, in one crossing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{PoisonError, RwLock};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sage_core::json::{session_id_from_text, session_id_text};
use sage_core::record::{Header, SessionId};

use crate::buffers::{Input, or_empty};
use crate::clock;
use crate::counters::OPEN;
use crate::errors;
use crate::numbers::Whole;
use crate::secrecy::refuse_copies;
use crate::session::{Session, check_len};

/// The sessions that one process serves, by id.
///
/// A record names its session in its header, so a table can do the look-up and the opening in one
/// call. It also says which ids are taken (``session_id in table``), as ``Attempt.finish`` asks.
/// Servers choose ids and two may choose the same: keep one table for each role and peer group.
///
/// Args:
///     capacity: The most sessions served at once. Ended ones count until ``sweep``.
#[pyclass(frozen, module = "sage_native._native")]
pub struct SessionTable {
    capacity: usize,
    sessions: RwLock<HashMap<SessionId, Py<Session>>>,
}

refuse_copies!(SessionTable);

impl SessionTable {
    fn find(&self, py: Python<'_>, id: &SessionId) -> Option<Py<Session>> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.get(id).map(|session| session.clone_ref(py))
    }

    /// All sessions, to be looked at outside the lock, since one in a batch is waited for.
    fn served(&self, py: Python<'_>) -> Vec<Py<Session>> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.values().map(|session| session.clone_ref(py)).collect()
    }

    fn is_full(&self, py: Python<'_>) -> PyErr {
        errors::capacity(py, &format!("all {} places for sessions are taken", self.capacity))
    }

    fn find_text(&self, py: Python<'_>, id: &str) -> Option<Py<Session>> {
        self.find(py, &session_id_from_text(id)?)
    }
}

#[pymethods]
impl SessionTable {
    #[new]
    #[pyo3(signature = (capacity=1_000_000))]
    fn new(capacity: usize) -> Self {
        Self { capacity, sessions: RwLock::default() }
    }

    /// Serve a session from now on.
    ///
    /// Args:
    ///     session: Half-open or open.
    ///
    /// Raises:
    ///     UsageError: A session of that id is in the table.
    ///     CapacityError: The table is full. Nothing was evicted and the session is not served.
    fn add(&self, py: Python<'_>, session: Py<Session>) -> PyResult<()> {
        let id = session.get().id();
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= self.capacity {
            return Err(self.is_full(py));
        }
        match sessions.entry(id) {
            Entry::Occupied(_) => Err(errors::usage(py, "a session of this id is in the table")),
            Entry::Vacant(place) => {
                place.insert(session);
                Ok(())
            }
        }
    }

    /// Stop serving a session. It is not closed.
    ///
    /// Args:
    ///     session_id: As ``Session.session_id`` spells it.
    ///
    /// Returns:
    ///     The session, or None if it was not in the table.
    fn remove(&self, session_id: &str) -> Option<Py<Session>> {
        let id = session_id_from_text(session_id)?;
        self.sessions.write().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    /// Serve a session in place of the one of its id, if there is one.
    ///
    /// Args:
    ///     session: As it came out of a store again.
    ///
    /// Returns:
    ///     The session that was served before, which is not closed, or None.
    ///
    /// Raises:
    ///     CapacityError: The table is full, and none of this id is in it.
    fn replace(&self, py: Python<'_>, session: Py<Session>) -> PyResult<Option<Py<Session>>> {
        let id = session.get().id();
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= self.capacity && !sessions.contains_key(&id) {
            return Err(self.is_full(py));
        }
        Ok(sessions.insert(id, session))
    }

    /// Stop serving the sessions of a DID, be it their client or their server. They are not closed.
    ///
    /// Returns:
    ///     The sessions.
    ///
    /// Cost: about 50 ns a session of the table.
    fn remove_of_did(&self, did: &str) -> Vec<Py<Session>> {
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        sessions.extract_if(|_, session| session.get().concerns(did)).map(|(_, session)| session).collect()
    }

    /// Tell which sessions were used since the last call, to write it behind.
    ///
    /// Returns:
    ///     A list of session id, time of the last use in ms since the epoch, and how many records were
    ///     sealed and opened since the last call. Sessions that have ended are told of until ``sweep``: a
    ///     message budget must not be forgotten with the session that it ended.
    ///
    /// Cost: about 50 ns a session of the table.
    fn take_activity(&self, py: Python<'_>) -> PyResult<Vec<(String, u64, u64)>> {
        let mut used = Vec::new();
        for session in self.served(py) {
            let session = session.get();
            if let Some((at_ms, messages)) = session.take_activity(py)? {
                used.push((session_id_text(&session.id()), at_ms, messages));
            }
        }
        Ok(used)
    }

    /// Return the ids of the sessions, in no order.
    fn session_ids(&self) -> Vec<String> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.keys().map(session_id_text).collect()
    }

    /// Look a session up.
    ///
    /// Args:
    ///     session_id: As ``Session.session_id`` spells it.
    ///
    /// Returns:
    ///     The session, or None if it is not in the table.
    fn get(&self, py: Python<'_>, session_id: &str) -> Option<Py<Session>> {
        self.find_text(py, session_id)
    }

    /// Open a record in the session that its header names, exactly once.
    ///
    /// Args:
    ///     record: ``header(48) || ciphertext || tag(16)``.
    ///     aad: The associated data that it was sealed with.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     The pair of session and plaintext.
    ///
    /// Raises:
    ///     AuthenticationError: Unknown session, or a wrong tag; nothing tells which.
    ///     HandshakeError: Not a record; its ``code`` is ``malformed_request`` or
    ///         ``payload_too_large``.
    ///     ReplayDetectedError, RekeyRequiredError, ExpiredError, SessionStateError: As
    ///         ``Session.open``.
    ///
    /// Cost: as ``Session.open`` and about 30 ns. Holds the interpreter lock.
    /// Source: docs/protocol.md, "Records".
    #[pyo3(signature = (record, *, aad=None, now_ms=None))]
    fn open<'py>(
        &self,
        py: Python<'py>,
        record: Input<'_>,
        aad: Option<Input<'_>>,
        now_ms: Option<Whole>,
    ) -> PyResult<(Py<Session>, Bound<'py, PyBytes>)> {
        check_len(py, record.as_slice())?;
        let (record, aad) = (record.stable(), or_empty(aad.as_ref()));
        let session = Header::of_record(&record)
            .map_err(|error| errors::session(py, error))
            .and_then(|header| {
                self.find(py, &header.session_id)
                    .ok_or_else(|| errors::authentication(py, "authentication failed"))
            })
            .inspect_err(|_| OPEN.count(py, false))?;
        let plaintext = session.get().open_record(py, &record, aad, clock::or_now(now_ms))?;
        Ok((session, plaintext))
    }

    /// Drop the sessions that have ended, and what has passed its deadline in the others.
    ///
    /// Args:
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     How many sessions were dropped.
    ///
    /// Cost: about 50 ns a session; call it every few seconds.
    #[pyo3(signature = (*, now_ms=None))]
    fn sweep(&self, py: Python<'_>, now_ms: Option<Whole>) -> PyResult<usize> {
        let now_ms = clock::or_now(now_ms);
        let mut dropped = 0;
        for session in self.served(py) {
            if !session.get().is_live_at(py, now_ms)? {
                let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
                dropped += usize::from(sessions.remove(&session.get().id()).is_some());
            }
        }
        Ok(dropped)
    }

    fn __contains__(&self, py: Python<'_>, session_id: &str) -> bool {
        self.find_text(py, session_id).is_some()
    }

    fn __len__(&self) -> usize {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn __repr__(&self) -> String {
        format!("SessionTable({} sessions)", self.__len__())
    }
}
