//! Both sides of the handshake.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sage_core::did::Did;
use sage_core::ed25519;
use sage_core::handshake::{self, ChallengeKey};
use sage_core::json::session_id_text;
use sage_core::random::SystemRandom;
use sage_core::secret::Secret;

use crate::buffers::{Input, or_empty};
use crate::clock;
use crate::closable::Closable;
use crate::counters::{SIGN, VERIFY};
use crate::errors;
use crate::numbers::Whole;
use crate::secrecy::{guard_secret, refuse_copies};
use crate::session::Session;
use crate::signatures::{SigningKey, VerifyingKey};

fn did(py: Python<'_>, text: &str) -> PyResult<Did> {
    Did::parse(text).map_err(|error| errors::input(py, &error))
}

fn own_verifying_key(py: Python<'_>, key: &SigningKey) -> PyResult<ed25519::VerifyingKey> {
    key.inner.with(py, |key| key.verifying_key().clone())
}

/// The client's side of handshakes: who it is, and whom it expects to find.
///
/// Args:
///     signing_key: The identity; keep it open while the initiator is used.
///     server_key: The server's key, resolved or pinned before the first message.
///     did: This side's DID; the ``did:key`` of the signing key if left out.
///     server_did: The DID that is meant; the ``did:key`` of ``server_key`` if left out.
///     suites: One to four suites in the order of preference, none twice; 1 must be among them.
///     max_lifetime_s: The longest session life that this client accepts, in seconds.
///     sign_confirmation: Sign M3, for servers whose policy is ``signature``.
///
/// Raises:
///     UsageError: A DID is not of the protocol's form.
///     SessionStateError: The signing key is closed.
///
/// Source: docs/protocol.md, "Messages".
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
        signing_key, server_key, *, did=None, server_did=None, suites=None,
        max_lifetime_s=86_400, sign_confirmation=false,
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        signing_key: Bound<'_, SigningKey>,
        server_key: &VerifyingKey,
        did: Option<&str>,
        server_did: Option<&str>,
        suites: Option<Vec<u16>>,
        max_lifetime_s: u64,
        sign_confirmation: bool,
    ) -> PyResult<Self> {
        let own = own_verifying_key(py, signing_key.get())?;
        let config = handshake::Initiator {
            client_did: did.map_or_else(|| Ok(own.did()), |text| self::did(py, text))?,
            server_did: server_did.map_or_else(|| Ok(server_key.inner.did()), |text| self::did(py, text))?,
            server_key: server_key.inner.clone(),
            suites: suites.unwrap_or_else(|| vec![handshake::SUITE_1]),
            max_lifetime_ms: max_lifetime_s.saturating_mul(1000),
            sign_confirmation,
        };
        Ok(Self { signing_key: signing_key.unbind(), config })
    }

    /// This side's DID.
    #[getter]
    fn did(&self) -> &str {
        self.config.client_did.as_str()
    }

    /// The DID of the server that is meant.
    #[getter]
    fn server_did(&self) -> &str {
        self.config.server_did.as_str()
    }

    /// Begin a handshake: draw an ephemeral secret and a request nonce, write M1 and sign it.
    ///
    /// Every attempt is fresh. An M1 is never sent twice: to try again, initiate again.
    ///
    /// Args:
    ///     challenge: The bytes of a ``challenge_required`` answer, at most 8 KiB together with the
    ///         binding.
    ///     channel_binding: What the transport says, if both sides bind to one.
    ///     now_ms: The time in ms since the epoch; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     The attempt. Send its ``message`` and ``finish`` it within 10 s.
    ///
    /// Raises:
    ///     UsageError: The suites are not one to four with 1 among them, or the challenge is too long.
    ///     SessionStateError: The signing key is closed.
    ///
    /// Cost: 10 to 20 µs, by processor: one key share and one signature. Holds the interpreter lock.
    /// Source: docs/protocol.md, "Messages" and "Freshness".
    #[pyo3(signature = (*, challenge=None, channel_binding=None, now_ms=None))]
    fn initiate(
        &self,
        py: Python<'_>,
        challenge: Option<Input<'_>>,
        channel_binding: Option<Input<'_>>,
        now_ms: Option<Whole>,
    ) -> PyResult<Attempt> {
        let (challenge, binding) = (or_empty(challenge.as_ref()), or_empty(channel_binding.as_ref()));
        let now_ms = clock::or_now(now_ms);
        let (attempt, message) = self
            .signing_key
            .get()
            .inner
            .with(py, |key| self.config.initiate(key, challenge, binding, now_ms, &mut SystemRandom))?
            .inspect(|_| SIGN.count(py, true))
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

/// One handshake under way, with its ephemeral secret. Made by ``Initiator.initiate``.
///
/// ``finish`` spends it. Close it when the server does not answer: the secret must not outlive the
/// attempt. It refuses to be pickled or copied.
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
    /// M1 in its binary carrier: ``M1 || signature(64)``. Stays readable after ``finish``.
    #[getter]
    fn message(&self, py: Python<'_>) -> Py<PyBytes> {
        self.message.clone_ref(py)
    }

    /// Take the server's M2 and make the session. The ephemeral secret is erased in any case.
    ///
    /// Args:
    ///     message: M2 in its binary carrier, at most 16 KiB.
    ///     known: The ids of the sessions that this client already has with this server. One of them in
    ///         M2 is refused.
    ///     now_ms: The time in ms since the epoch; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     M3 in its binary carrier, ``session_id(16) || confirmation(32) [|| signature(64)]``, and the
    ///     session, open at once: the server has proved itself. Send M3, or let the first record
    ///     confirm, unless the server's policy is ``signature``.
    ///
    /// Raises:
    ///     AuthenticationError: Whatever is wrong with M2: form, names, suite, expiry, signature,
    ///         confirmation, a known id, or more than 10 s gone by.
    ///     SessionStateError: The attempt is spent or closed, or the signing key is.
    ///
    /// Cost: 30 to 75 µs, by processor: one verification and one agreement. Holds the interpreter lock.
    /// Source: docs/protocol.md, "Order of work on M2".
    #[pyo3(signature = (message, *, known=None, now_ms=None))]
    fn finish<'py>(
        &self,
        py: Python<'py>,
        message: Input<'_>,
        known: Option<Bound<'py, PyAny>>,
        now_ms: Option<Whole>,
    ) -> PyResult<(Bound<'py, PyBytes>, Session)> {
        let attempt = self.inner.take(py)?;
        let (message, now_ms) = (message.as_slice(), clock::or_now(now_ms));
        let finished = if self.sign_confirmation {
            let key = &self.signing_key.get().inner;
            key.with(py, |key| attempt.finish(message, Some(key), |_| false, now_ms))?
        } else {
            attempt.finish(message, None, |_| false, now_ms)
        };
        VERIFY.count(py, finished.is_ok());
        if self.sign_confirmation && finished.is_ok() {
            SIGN.count(py, true);
        }
        let finished = finished.map_err(|error| errors::handshake(py, error))?;
        // Asked only now: `known` may be Python code, which must not run under the key's guard.
        let id = session_id_text(&finished.session.terms().session_id);
        if known.map_or(Ok(false), |known| known.contains(id))? {
            return Err(errors::authentication(py, "authentication failed"));
        }
        Ok((PyBytes::new(py, &finished.confirmation), Session::new(finished.session)))
    }

    fn __repr__(&self) -> &'static str {
        "Attempt(..)"
    }
}

/// The server's side of handshakes, step by step.
///
/// Args:
///     signing_key: The identity; keep it open while the responder is used.
///     dids: DIDs that list the key, beside its ``did:key``.
///     require_challenge: Answer an M1 without a challenge by asking for one.
///     require_signed_confirmation: Policy ``signature``: only a signed M3 opens a session.
///     challenge_key: 32 bytes shared by the workers of one gateway; random if left out.
///
/// Raises:
///     UsageError: A DID or the challenge key is not of its form.
///     SessionStateError: The signing key is closed.
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
                let key = Secret::draw(&mut SystemRandom).map_err(errors::random)?;
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

    /// The DIDs that this responder answers to; the ``did:key`` of its key stands first.
    #[getter]
    fn dids(&self) -> Vec<&str> {
        self.config.dids.iter().map(Did::as_str).collect()
    }

    /// Read an M1 up to the last check that needs neither a directory nor a signature.
    ///
    /// Args:
    ///     message: M1 in its binary carrier, at most 16 KiB.
    ///     channel_binding: What the transport says, if this side binds to one; M1 must say the same.
    ///     now_ms: The time in ms since the epoch; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     The request: well-formed, current and meant for this responder. Whose it is shows next.
    ///
    /// Raises:
    ///     HandshakeError: Refused; ``code`` is what to answer. With ``stale_timestamp`` comes
    ///         ``server_time_ms``, with ``challenge_required`` comes ``challenge``.
    ///
    /// Cost: about 2 µs.
    /// Source: docs/protocol.md, "Order of work on M1".
    #[pyo3(signature = (message, *, channel_binding=None, now_ms=None))]
    fn read(
        &self,
        py: Python<'_>,
        message: Input<'_>,
        channel_binding: Option<Input<'_>>,
        now_ms: Option<Whole>,
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

/// An M1 under examination. Made by ``Responder.read``; every field is a claim until ``authenticate``.
///
/// The order: ``authenticate``, then admit ``nonce`` once for ``client_did``, then ``accept``.
#[pyclass(frozen, module = "sage_native._native")]
pub struct Request {
    pub inner: Mutex<handshake::Request>,
    pub signing_key: Py<SigningKey>,
}

refuse_copies!(Request);

#[pymethods]
impl Request {
    /// Who claims to call.
    #[getter]
    fn client_did(&self) -> String {
        self.with(|request| request.client_did().to_string())
    }

    /// Which of this responder's DIDs is meant.
    #[getter]
    fn server_did(&self) -> String {
        self.with(|request| request.server_did().to_string())
    }

    /// The verifying key that the caller names, 32 bytes.
    #[getter]
    fn client_key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.with(|request| PyBytes::new(py, request.client_key().as_bytes()))
    }

    /// This responder's own verifying key, 32 bytes: the one that the caller means.
    #[getter]
    fn server_key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.with(|request| PyBytes::new(py, request.server_key().as_bytes()))
    }

    /// The request nonce, 32 bytes, to be admitted once for each client DID.
    #[getter]
    fn nonce<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.with(|request| PyBytes::new(py, request.nonce()))
    }

    /// The client's signed time, in ms since the epoch.
    #[getter]
    fn timestamp_ms(&self) -> u64 {
        self.with(|request| request.timestamp_ms())
    }

    /// Until when the nonce must be remembered, in ms since the epoch: signed time + skew + margin.
    #[getter]
    fn remember_until_ms(&self) -> u64 {
        self.with(|request| request.remember_until_ms())
    }

    /// Check that the client's DID lists the key it named, and the signature.
    ///
    /// Args:
    ///     listed_keys: The keys that the DID resolved to, checked as ``VerifyingKey.check`` does; empty
    ///         for a DID that is unknown, revoked or not admitted by policy.
    ///
    /// Raises:
    ///     AuthenticationError: The key is not listed or the signature is wrong; not said which.
    ///     SessionStateError: Authenticated before.
    ///
    /// Cost: one verification, 15 to 40 µs by processor. Holds the interpreter lock.
    /// Source: docs/protocol.md, "Order of work on M1".
    fn authenticate(&self, py: Python<'_>, listed_keys: Vec<Bound<'_, VerifyingKey>>) -> PyResult<()> {
        let listed: Vec<_> = listed_keys.iter().map(|key| key.get().inner.clone()).collect();
        let watch = VERIFY.begin();
        let verdict = self.with(|request| request.authenticate(Some(&listed)));
        VERIFY.end(py, watch, verdict.is_ok(), 0);
        verdict.map_err(|error| errors::handshake(py, error))
    }

    /// Agree on keys and answer. Call it only after the request nonce was admitted.
    ///
    /// Args:
    ///     lifetime_s: How long the session may live, in seconds, at least 1.
    ///     idle_timeout_s: How long it may stay silent, in seconds, at least 1.
    ///     now_ms: The time in ms since the epoch; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     M2 in its binary carrier, and the session, half-open for 10 s until M3 or the first record.
    ///
    /// Raises:
    ///     HandshakeError: The client's key share has small order (``invalid_key``).
    ///     UsageError: A time is zero.
    ///     SessionStateError: Not authenticated, accepted before, or the signing key is closed.
    ///
    /// Cost: 25 to 50 µs, by processor: one key share, one agreement, one signature. Holds the
    /// interpreter lock.
    /// Source: docs/protocol.md, "Messages" and "Key schedule".
    #[pyo3(signature = (*, lifetime_s=3600, idle_timeout_s=600, now_ms=None))]
    fn accept<'py>(
        &self,
        py: Python<'py>,
        lifetime_s: u64,
        idle_timeout_s: u32,
        now_ms: Option<Whole>,
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
            .inspect(|_| SIGN.count(py, true))
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
