//! Rows of a session store.

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
use crate::session::Session;

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

    #[getter]
    fn session_id(&self) -> String {
        session_id_text(&self.inner.session_id)
    }

    #[getter]
    fn client_did(&self) -> &str {
        self.inner.client_did.as_str()
    }

    #[getter]
    fn server_did(&self) -> &str {
        self.inner.server_did.as_str()
    }

    #[getter]
    fn created_ms(&self) -> u64 {
        self.inner.created_ms
    }

    #[getter]
    fn expires_ms(&self) -> u64 {
        self.inner.expires_ms
    }

    #[getter]
    fn epoch(&self) -> u32 {
        self.inner.epoch
    }

    #[getter]
    fn kek_id(&self) -> &str {
        &self.inner.kek_id
    }

    #[getter]
    fn wrapped_secret<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.wrapped_secret)
    }

    #[pyo3(signature = (kek, *, store, now_ms=None))]
    fn unwrap(
        &self,
        py: Python<'_>,
        kek: &KeyEncryptionKey,
        store: &str,
        now_ms: Option<u64>,
    ) -> PyResult<Session> {
        let now_ms = clock::or_now(now_ms);
        let session = kek.inner.with(py, |kek| self.inner.unwrap(kek, store, now_ms))?;
        session.map(Session::new).map_err(|error| errors::unwrap(py, error))
    }

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
