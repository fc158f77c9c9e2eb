//! Rows of a session store.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sage_core::did::Did;
use sage_core::json::{session_id_from_text, session_id_text};
use sage_core::random::SystemRandom;
use sage_core::wrap;

use crate::aead::KeyEncryptionKey;
use crate::buffers::Input;
use crate::clock;
use crate::errors;
use crate::numbers::Whole;
use crate::replay_windows::ReplayWindowTable;
use crate::session::Session;

/// One row of a session store: the secrets sealed under a key-encryption key, the names in clear.
///
/// Args:
///     session_id: Lower-case hex, 8-4-4-4-12.
///     client_did: The initiator's DID.
///     server_did: The responder's DID.
///     created_ms: When the session was made, in ms since the epoch.
///     expires_ms: When it ends at the latest, in ms since the epoch.
///     epoch: The epoch whose secrets are wrapped.
///     kek_id: The id of the key-encryption key that opens it.
///     wrapped_secret: ``nonce(12) || ciphertext || tag(16)``.
///
/// Raises:
///     UsageError: The session id or a DID is not of its form.
///
/// Rows come from ``Session.wrap``; build one from the columns of a store. Every column is bound to
/// the secret: a row that was swapped, extended or edited does not open. Equal rows compare equal.
///
/// Source: docs/protocol.md, "Sessions at rest".
#[pyclass(frozen, eq, module = "sage_native._native")]
#[derive(PartialEq, Eq)]
pub struct WrappedSession {
    inner: wrap::WrappedSession,
}

impl From<wrap::WrappedSession> for WrappedSession {
    fn from(inner: wrap::WrappedSession) -> Self {
        Self { inner }
    }
}

#[pymethods]
impl WrappedSession {
    #[new]
    #[pyo3(signature = (
        *, session_id, client_did, server_did, created_ms, expires_ms, epoch, kek_id, wrapped_secret,
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        session_id: &str,
        client_did: &str,
        server_did: &str,
        created_ms: u64,
        expires_ms: u64,
        epoch: u32,
        kek_id: String,
        wrapped_secret: Input<'_>,
    ) -> PyResult<Self> {
        let did = |text| Did::parse(text).map_err(|error| errors::input(py, &error));
        let session_id = session_id_from_text(session_id)
            .ok_or_else(|| errors::usage(py, "session_id must be lower-case hex, 8-4-4-4-12"))?;
        Ok(Self {
            inner: wrap::WrappedSession {
                session_id,
                client_did: did(client_did)?,
                server_did: did(server_did)?,
                created_ms,
                expires_ms,
                epoch,
                kek_id,
                wrapped_secret: wrapped_secret.as_slice().to_vec(),
            },
        })
    }

    /// The session's id as text, lower-case hex, 8-4-4-4-12.
    #[getter]
    fn session_id(&self) -> String {
        session_id_text(&self.inner.session_id)
    }

    /// The initiator's DID.
    #[getter]
    fn client_did(&self) -> &str {
        self.inner.client_did.as_str()
    }

    /// The responder's DID.
    #[getter]
    fn server_did(&self) -> &str {
        self.inner.server_did.as_str()
    }

    /// When the session was made, in ms since the epoch.
    #[getter]
    fn created_ms(&self) -> u64 {
        self.inner.created_ms
    }

    /// When the session ends at the latest, in ms since the epoch.
    #[getter]
    fn expires_ms(&self) -> u64 {
        self.inner.expires_ms
    }

    /// The epoch whose secrets are wrapped. A store updates a row only from the epoch before.
    #[getter]
    fn epoch(&self) -> u32 {
        self.inner.epoch
    }

    /// The id of the key-encryption key that opens the row.
    #[getter]
    fn kek_id(&self) -> &str {
        &self.inner.kek_id
    }

    /// The sealed secrets, ``nonce(12) || ciphertext || tag(16)``, less than 1 KiB.
    #[getter]
    fn wrapped_secret<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.wrapped_secret)
    }

    /// Make the session of this row.
    ///
    /// It goes on at once if its replay windows lie in the table that is given. Otherwise they are lost,
    /// and it demands a rekey before anything else.
    ///
    /// Args:
    ///     kek: The key-encryption key of ``kek_id``.
    ///     store: The name of the store that the row was wrapped for.
    ///     windows: The table of all workers of this machine, to be used from now on.
    ///     now_ms: The time in ms since the epoch; the clock is asked if it is left out. Whether the
    ///         session has expired shows at its first use.
    ///
    /// Raises:
    ///     KeyUnavailableError: Another key-encryption key, or an edited, swapped or copied row.
    ///     UsageError: The store's name is longer than 255 bytes.
    ///     SessionStateError: The key-encryption key is closed.
    ///
    /// Cost: about 1 µs.
    /// Source: docs/protocol.md, "Sessions at rest".
    #[pyo3(signature = (kek, *, store, windows=None, now_ms=None))]
    fn unwrap(
        &self,
        py: Python<'_>,
        kek: &KeyEncryptionKey,
        store: &str,
        windows: Option<&ReplayWindowTable>,
        now_ms: Option<Whole>,
    ) -> PyResult<Session> {
        let now_ms = clock::or_now(now_ms);
        let windows = windows.map(|table| Arc::clone(&table.inner));
        let session = kek.inner.with(py, |kek| self.inner.unwrap(kek, store, windows, now_ms))?;
        session.map(Session::new).map_err(|error| errors::unwrap(py, error))
    }

    /// Seal the row anew under another key-encryption key, to rotate it.
    ///
    /// Args:
    ///     old: The key-encryption key of ``kek_id``.
    ///     new: The one to use from now on.
    ///     store: The name of the store that the row was wrapped for.
    ///
    /// Returns:
    ///     The new row. No session is made, and the epoch stays.
    ///
    /// Raises:
    ///     KeyUnavailableError: The row does not open under ``old``.
    ///     UsageError: The store's name is longer than 255 bytes.
    ///     SessionStateError: A key-encryption key is closed.
    ///
    /// Cost: about 1 µs.
    #[pyo3(signature = (old, new, *, store))]
    fn rewrap(
        &self,
        py: Python<'_>,
        old: &KeyEncryptionKey,
        new: &KeyEncryptionKey,
        store: &str,
    ) -> PyResult<Self> {
        let row = old.inner.with(py, |old| {
            new.inner.with(py, |new| self.inner.rewrap(old, new, store, &mut SystemRandom))
        })??;
        row.map(Self::from).map_err(|error| errors::unwrap(py, error))
    }

    fn __repr__(&self) -> String {
        format!(
            "WrappedSession(session_id='{}', epoch={}, kek_id='{}')",
            self.session_id(),
            self.inner.epoch,
            self.inner.kek_id
        )
    }
}
