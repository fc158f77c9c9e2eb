//! Both sides of the handshake.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sage_core::did::Did;
use sage_core::ed25519;
use sage_core::handshake::{self, ChallengeKey};
use sage_core::json::session_id_text;
use sage_core::random::{RandomSource, SystemRandom};
use sage_core::secret::Secret;

use crate::buffers::{Input, or_empty};
use crate::clock;
use crate::closable::Closable;
use crate::errors;
use crate::secrecy::{guard_secret, refuse_copies};
use crate::session::Session;
use crate::signatures::{SigningKey, VerifyingKey};

fn did(py: Python<'_>, text: &str) -> PyResult<Did> {
    Did::parse(text).map_err(|error| errors::input(py, &error))
}

fn own_verifying_key(py: Python<'_>, key: &SigningKey) -> PyResult<ed25519::VerifyingKey> {
    key.inner.with(py, |key| key.verifying_key().clone())
}

#[pyclass(frozen, module = "sage_native._native")]
pub struct Initiator {
    signing_key: Py<SigningKey>,
    config: handshake::Initiator,
}

refuse_copies!(Initiator);

#[pymethods]
impl Initiator {
    #[new]
    #[pyo3(signature = (
        signing_key, server_key, *, did=None, server_did=None, suites=vec![handshake::SUITE_1],
        max_lifetime_s=86_400, sign_confirmation=false,
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        signing_key: Bound<'_, SigningKey>,
        server_key: &VerifyingKey,
        did: Option<&str>,
        server_did: Option<&str>,
        suites: Vec<u16>,
        max_lifetime_s: u64,
        sign_confirmation: bool,
    ) -> PyResult<Self> {
        let own = own_verifying_key(py, signing_key.get())?;
        let config = handshake::Initiator {
            client_did: did.map_or_else(|| Ok(own.did()), |text| self::did(py, text))?,
            server_did: server_did.map_or_else(|| Ok(server_key.inner.did()), |text| self::did(py, text))?,
            server_key: server_key.inner.clone(),
            suites,
            max_lifetime_ms: max_lifetime_s.saturating_mul(1000),
            sign_confirmation,
        };
        Ok(Self { signing_key: signing_key.unbind(), config })
    }

    #[getter]
    fn did(&self) -> &str {
        self.config.client_did.as_str()
    }

    #[getter]
    fn server_did(&self) -> &str {
        self.config.server_did.as_str()
    }

    #[pyo3(signature = (*, challenge=None, channel_binding=None, now_ms=None))]
    fn initiate(
        &self,
        py: Python<'_>,
        challenge: Option<Input<'_>>,
        channel_binding: Option<Input<'_>>,
        now_ms: Option<u64>,
    ) -> PyResult<Attempt> {
        let (challenge, binding) = (or_empty(challenge.as_ref()), or_empty(channel_binding.as_ref()));
        let now_ms = clock::or_now(now_ms);
        let (attempt, message) = self
            .signing_key
            .get()
            .inner
            .with(py, |key| self.config.initiate(key, challenge, binding, now_ms, &mut SystemRandom))?
            .map_err(|error| errors::handshake(py, error))?;
        Ok(Attempt {
            inner: Closable::new("Attempt", attempt),
            signing_key: self.signing_key.clone_ref(py),
            sign_confirmation: self.config.sign_confirmation,
            message: PyBytes::new(py, &message).unbind(),
        })
    }

    fn __repr__(&self) -> String {
        format!("Initiator(did='{}', server_did='{}')", self.did(), self.server_did())
    }
}

#[pyclass(frozen, module = "sage_native._native")]
pub struct Attempt {
    inner: Closable<handshake::Attempt>,
    signing_key: Py<SigningKey>,
    sign_confirmation: bool,
    message: Py<PyBytes>,
}

guard_secret!(Attempt);

#[pymethods]
impl Attempt {
    #[getter]
    fn message(&self, py: Python<'_>) -> Py<PyBytes> {
        self.message.clone_ref(py)
    }

    #[pyo3(signature = (message, *, known=None, now_ms=None))]
    fn finish<'py>(
        &self,
        py: Python<'py>,
        message: Input<'_>,
        known: Option<Bound<'py, PyAny>>,
        now_ms: Option<u64>,
    ) -> PyResult<(Bound<'py, PyBytes>, Session)> {
        let attempt = self.inner.take(py)?;
        let mut asked = Ok(false);
        let mut is_known = |id: &[u8; 16]| {
            if let Some(known) = &known {
                asked = known.contains(session_id_text(id));
            }
            // An answer that is an error refuses as well; it is raised below.
            *asked.as_ref().unwrap_or(&true)
        };
        let (message, now_ms) = (message.as_slice(), clock::or_now(now_ms));
        let finished = if self.sign_confirmation {
            self.signing_key
                .get()
                .inner
                .with(py, |key| attempt.finish(message, Some(key), &mut is_known, now_ms))?
        } else {
            attempt.finish(message, None, &mut is_known, now_ms)
        };
        asked?;
        let finished = finished.map_err(|error| errors::handshake(py, error))?;
        Ok((PyBytes::new(py, &finished.confirmation), Session::new(finished.session)))
    }

    fn __repr__(&self) -> &'static str {
        "Attempt(..)"
    }
}

#[pyclass(frozen, subclass, module = "sage_native._native")]
pub struct Responder {
    signing_key: Py<SigningKey>,
    config: Arc<handshake::Responder>,
}

refuse_copies!(Responder);

#[pymethods]
impl Responder {
    #[new]
    #[pyo3(signature = (
        signing_key, *, dids=None, require_challenge=false, require_signed_confirmation=false,
        challenge_key=None,
    ))]
    fn new(
        py: Python<'_>,
        signing_key: Bound<'_, SigningKey>,
        dids: Option<Vec<String>>,
        require_challenge: bool,
        require_signed_confirmation: bool,
        challenge_key: Option<Input<'_>>,
    ) -> PyResult<Self> {
        let own = own_verifying_key(py, signing_key.get())?;
        let mut names = vec![own.did()];
        for text in dids.unwrap_or_default() {
            names.push(did(py, &text)?);
        }
        let challenge_key = match challenge_key {
            Some(key) => ChallengeKey::new(key.exactly(py, "challenge key")?),
            None => {
                let mut drawn = Ok(());
                let key = Secret::new_with(|key| drawn = SystemRandom.fill(key));
                drawn.map_err(errors::random)?;
                ChallengeKey::new(key.expose())
            }
        };
        let config = Arc::new(handshake::Responder {
            dids: names,
            verifying_key: own,
            challenge_key,
            require_challenge,
            require_signed_confirmation,
        });
        Ok(Self { signing_key: signing_key.unbind(), config })
    }

    #[getter]
    fn dids(&self) -> Vec<&str> {
        self.config.dids.iter().map(Did::as_str).collect()
    }

    #[pyo3(signature = (message, *, channel_binding=None, now_ms=None))]
    fn read(
        &self,
        py: Python<'_>,
        message: Input<'_>,
        channel_binding: Option<Input<'_>>,
        now_ms: Option<u64>,
    ) -> PyResult<Request> {
        let binding = channel_binding.as_ref().map(Input::as_slice);
        let request = self
            .config
            .read(message.as_slice(), binding, clock::or_now(now_ms))
            .map_err(|error| errors::handshake(py, error))?;
        Ok(Request { inner: Mutex::new(request), signing_key: self.signing_key.clone_ref(py) })
    }

    fn __repr__(&self) -> String {
        format!("{}({})", "Responder", self.dids().join(", "))
    }
}

#[pyclass(frozen, module = "sage_native._native")]
pub struct Request {
    inner: Mutex<handshake::Request>,
    signing_key: Py<SigningKey>,
}

refuse_copies!(Request);

#[pymethods]
impl Request {
    #[getter]
    fn client_did(&self) -> String {
        self.with(|request| request.client_did().to_string())
    }

    #[getter]
    fn server_did(&self) -> String {
        self.with(|request| request.server_did().to_string())
    }

    #[getter]
    fn client_key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.with(|request| PyBytes::new(py, request.client_key().as_bytes()))
    }

    #[getter]
    fn nonce<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.with(|request| PyBytes::new(py, request.nonce()))
    }

    #[getter]
    fn timestamp_ms(&self) -> u64 {
        self.with(|request| request.timestamp_ms())
    }

    #[getter]
    fn remember_until_ms(&self) -> u64 {
        self.with(|request| request.remember_until_ms())
    }

    #[pyo3(signature = (listed_keys=None))]
    fn authenticate(
        &self,
        py: Python<'_>,
        listed_keys: Option<Vec<Bound<'_, VerifyingKey>>>,
    ) -> PyResult<()> {
        let listed: Option<Vec<_>> =
            listed_keys.map(|keys| keys.iter().map(|key| key.get().inner.clone()).collect());
        self.with(|request| request.authenticate(listed.as_deref()))
            .map_err(|error| errors::handshake(py, error))
    }

    #[pyo3(signature = (*, lifetime_s=3600, idle_timeout_s=600, now_ms=None))]
    fn accept<'py>(
        &self,
        py: Python<'py>,
        lifetime_s: u64,
        idle_timeout_s: u32,
        now_ms: Option<u64>,
    ) -> PyResult<(Bound<'py, PyBytes>, Session)> {
        let lifetime_ms = lifetime_s.saturating_mul(1000);
        let now_ms = clock::or_now(now_ms);
        let accepted = self
            .signing_key
            .get()
            .inner
            .with(py, |key| {
                self.with(|request| {
                    request.accept(key, lifetime_ms, idle_timeout_s, now_ms, &mut SystemRandom)
                })
            })?
            .map_err(|error| errors::handshake(py, error))?;
        Ok((PyBytes::new(py, &accepted.message), Session::new(accepted.session)))
    }

    fn __repr__(&self) -> String {
        format!("Request(client_did='{}')", self.client_did())
    }
}

impl Request {
    fn with<R>(&self, with: impl FnOnce(&mut handshake::Request) -> R) -> R {
        with(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
