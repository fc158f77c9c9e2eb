//! X25519 secrets and shares.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};
use sage_core::random::SystemRandom;
use sage_core::x25519;

use crate::buffers::{Input, Raw};
use crate::closable::Closable;
use crate::errors;
use crate::kdf::Prk;
use crate::secrecy::guard_secret;

/// An X25519 share.
///
/// Args:
///     key: Any 32 bytes; the top bit is masked at use (RFC 7748 §5).
///
/// Raises:
///     UsageError: Another length.
///
/// Equal shares compare and hash equal. A share of small order is refused by ``exchange``.
#[pyclass(frozen, subclass, eq, hash, module = "sage_native._native")]
#[derive(PartialEq, Eq, Hash)]
pub struct X25519PublicKey {
    pub inner: x25519::PublicKey,
}

#[pymethods]
impl X25519PublicKey {
    #[new]
    #[pyo3(signature = (key, /))]
    fn new(py: Python<'_>, key: Input<'_>) -> PyResult<Self> {
        x25519::PublicKey::from_bytes(key.as_slice())
            .map(|inner| Self { inner })
            .map_err(|error| errors::input(py, &error))
    }

    /// Take a raw share. The same as the constructor.
    ///
    /// Args:
    ///     key: 32 bytes.
    ///
    /// Raises:
    ///     UsageError: Another length.
    #[classmethod]
    fn from_bytes<'py>(class: &Bound<'py, PyType>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        class.call1((key,))
    }

    /// Return the raw share, 32 bytes.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.0)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (Bound<'py, PyBytes>,)) {
        (slf.get_type(), (slf.get().to_bytes(slf.py()),))
    }

    fn __repr__(&self) -> String {
        let hex: String = self.inner.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("X25519PublicKey({hex})")
    }
}

/// An X25519 secret that may agree many times.
///
/// Args:
///     secret: 32 secret bytes, clamped at use; drawn if left out.
///
/// Raises:
///     UsageError: The secret is not 32 bytes long.
///
/// It can be closed, is a context manager, and refuses to be pickled or copied.
///
/// Cost: 4 to 10 µs, by processor.
#[pyclass(frozen, subclass, module = "sage_native._native")]
pub struct StaticSecret {
    inner: Closable<x25519::StaticSecret>,
    public: x25519::PublicKey,
}

guard_secret!(StaticSecret);

#[pymethods]
impl StaticSecret {
    #[new]
    #[pyo3(signature = (secret=Raw::LeftOut, /))]
    fn new(py: Python<'_>, secret: Raw<'_>) -> PyResult<Self> {
        let secret = match secret {
            Raw::Given(secret) => x25519::StaticSecret::from_bytes(secret.exactly(py, "X25519 secret")?),
            Raw::LeftOut => x25519::StaticSecret::generate(&mut SystemRandom).map_err(errors::random)?,
        };
        let public = secret.public_key();
        Ok(Self { inner: Closable::new("StaticSecret", secret), public })
    }

    /// Draw a new secret from the system's random source.
    ///
    /// Cost: 4 to 10 µs, by processor.
    #[classmethod]
    fn generate<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        class.call0()
    }

    /// Take a raw secret.
    ///
    /// Args:
    ///     secret: 32 secret bytes; they round-trip unchanged, clamping happens at use.
    ///
    /// Raises:
    ///     UsageError: Another length.
    ///
    /// Cost: 4 to 10 µs, by processor, for the share.
    /// Source: RFC 7748 §5.
    #[classmethod]
    fn from_bytes<'py>(
        class: &Bound<'py, PyType>,
        secret: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        class.call1((secret,))
    }

    /// Export the secret. The copy is the caller's to protect; Python cannot erase it.
    ///
    /// Returns:
    ///     32 secret bytes.
    ///
    /// Raises:
    ///     SessionStateError: The secret is closed.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.inner.with(py, |secret| PyBytes::new(py, secret.secret().expose()))
    }

    /// The share to send, 32 bytes. Stays readable after ``close``.
    #[getter]
    fn public_key_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.public.0)
    }

    /// Agree with the owner of a share.
    ///
    /// Args:
    ///     peer: The other side's share.
    ///
    /// Returns:
    ///     The shared secret. It is not uniform bits: ``extract`` a PRK from it.
    ///
    /// Raises:
    ///     AuthenticationError: The share has small order; the result would be all zero.
    ///     SessionStateError: The secret is closed.
    ///
    /// Cost: 13 to 28 µs, by processor; constant time. Holds the interpreter lock.
    /// Source: RFC 7748 §6.1.
    fn exchange(&self, py: Python<'_>, peer: &X25519PublicKey) -> PyResult<SharedSecret> {
        self.inner
            .with(py, |secret| secret.exchange(&peer.inner))?
            .map_or_else(|_| Err(small_order(py)), |shared| Ok(SharedSecret::new(shared)))
    }

    fn __repr__(&self) -> &'static str {
        "StaticSecret(..)"
    }
}

/// An X25519 secret for one agreement, drawn by the system: ``exchange`` consumes it, nothing reads it.
///
/// It can be closed, is a context manager, and refuses to be pickled or copied.
///
/// Cost: 4 to 10 µs, by processor.
#[pyclass(frozen, subclass, module = "sage_native._native")]
pub struct EphemeralSecret {
    inner: Closable<x25519::EphemeralSecret>,
    public: x25519::PublicKey,
}

guard_secret!(EphemeralSecret);

#[pymethods]
impl EphemeralSecret {
    #[new]
    fn new() -> PyResult<Self> {
        let secret = x25519::EphemeralSecret::generate(&mut SystemRandom).map_err(errors::random)?;
        let public = secret.public_key();
        Ok(Self { inner: Closable::new("EphemeralSecret", secret), public })
    }

    /// Draw a new secret from the system's random source.
    ///
    /// Cost: 4 to 10 µs, by processor.
    #[classmethod]
    fn generate<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        class.call0()
    }

    /// The share to send, 32 bytes. Stays readable after the secret is spent.
    #[getter]
    fn public_key_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.public.0)
    }

    /// Agree once. The secret is erased, whether this succeeds or not.
    ///
    /// Args:
    ///     peer: The other side's share.
    ///
    /// Returns:
    ///     The shared secret. It is not uniform bits: ``extract`` a PRK from it.
    ///
    /// Raises:
    ///     AuthenticationError: The share has small order; the result would be all zero.
    ///     SessionStateError: The secret is spent or closed.
    ///
    /// Cost: 13 to 28 µs, by processor; constant time. Holds the interpreter lock.
    /// Source: RFC 7748 §6.1.
    fn exchange(&self, py: Python<'_>, peer: &X25519PublicKey) -> PyResult<SharedSecret> {
        let shared = self.inner.take(py)?.exchange(&peer.inner).map_err(|_| small_order(py))?;
        Ok(SharedSecret::new(shared))
    }

    fn __repr__(&self) -> &'static str {
        "EphemeralSecret(..)"
    }
}

/// The result of an agreement, 32 bytes that are not uniform. Made by ``exchange``.
///
/// It can be closed, is a context manager, and refuses to be pickled or copied.
#[pyclass(frozen, module = "sage_native._native")]
pub struct SharedSecret {
    inner: Closable<x25519::SharedSecret>,
}

guard_secret!(SharedSecret);

impl SharedSecret {
    fn new(shared: x25519::SharedSecret) -> Self {
        Self { inner: Closable::new("SharedSecret", shared) }
    }
}

#[pymethods]
impl SharedSecret {
    /// Extract a PRK: ``HKDF-Extract(salt, shared secret)``.
    ///
    /// Args:
    ///     salt: Any length; empty if left out, which means 32 zero bytes.
    ///
    /// Returns:
    ///     The PRK, ready to expand.
    ///
    /// Raises:
    ///     SessionStateError: The shared secret is closed.
    ///
    /// Cost: about 0.5 µs.
    /// Source: RFC 5869 §2.2.
    #[pyo3(signature = (salt=None))]
    fn extract(&self, py: Python<'_>, salt: Option<Input<'_>>) -> PyResult<Prk> {
        let salt = crate::buffers::or_empty(salt.as_ref());
        self.inner.with(py, |shared| Prk::from(shared.extract(salt)))
    }

    /// Export the raw bytes, for a key derivation that is not HKDF-SHA256.
    ///
    /// The copy is the caller's to protect; Python cannot erase it. Never use it as a key.
    ///
    /// Returns:
    ///     32 secret bytes.
    ///
    /// Raises:
    ///     SessionStateError: The shared secret is closed.
    fn danger_to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.inner.with(py, |shared| PyBytes::new(py, shared.expose()))
    }

    fn __repr__(&self) -> &'static str {
        "SharedSecret(..)"
    }
}

fn small_order(py: Python<'_>) -> PyErr {
    errors::authentication(py, "the peer's X25519 share has small order")
}
