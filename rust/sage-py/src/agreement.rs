//! X25519 secrets and shares.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};
use sage_core::random::SystemRandom;
use sage_core::x25519;

use crate::buffers::Input;
use crate::closable::Closable;
use crate::errors;
use crate::kdf::Prk;
use crate::secrecy::guard_secret;

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

    #[classmethod]
    fn from_bytes<'py>(class: &Bound<'py, PyType>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        class.call1((key,))
    }

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

#[pyclass(frozen, subclass, module = "sage_native._native")]
pub struct StaticSecret {
    inner: Closable<x25519::StaticSecret>,
    public: x25519::PublicKey,
}

guard_secret!(StaticSecret);

#[pymethods]
impl StaticSecret {
    #[new]
    #[pyo3(signature = (secret=None, /))]
    fn new(py: Python<'_>, secret: Option<Input<'_>>) -> PyResult<Self> {
        let secret = match secret {
            Some(secret) => x25519::StaticSecret::from_bytes(secret.exactly(py, "X25519 secret")?),
            None => x25519::StaticSecret::generate(&mut SystemRandom).map_err(errors::random)?,
        };
        let public = secret.public_key();
        Ok(Self { inner: Closable::new("StaticSecret", secret), public })
    }

    #[classmethod]
    fn generate<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        class.call0()
    }

    #[classmethod]
    fn from_bytes<'py>(
        class: &Bound<'py, PyType>,
        secret: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        class.call1((secret,))
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.inner.with(py, |secret| PyBytes::new(py, secret.secret().expose()))
    }

    #[getter]
    fn public_key_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.public.0)
    }

    fn exchange(&self, py: Python<'_>, peer: &X25519PublicKey) -> PyResult<SharedSecret> {
        self.inner
            .with(py, |secret| secret.exchange(&peer.inner))?
            .map_or_else(|_| Err(small_order(py)), |shared| Ok(SharedSecret::new(shared)))
    }

    fn __repr__(&self) -> &'static str {
        "StaticSecret(..)"
    }
}

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

    #[classmethod]
    fn generate<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        class.call0()
    }

    #[getter]
    fn public_key_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.public.0)
    }

    fn exchange(&self, py: Python<'_>, peer: &X25519PublicKey) -> PyResult<SharedSecret> {
        let shared = self.inner.take(py)?.exchange(&peer.inner).map_err(|_| small_order(py))?;
        Ok(SharedSecret::new(shared))
    }

    fn __repr__(&self) -> &'static str {
        "EphemeralSecret(..)"
    }
}

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
    #[pyo3(signature = (salt=None))]
    fn extract(&self, py: Python<'_>, salt: Option<Input<'_>>) -> PyResult<Prk> {
        let salt = crate::buffers::or_empty(salt.as_ref());
        self.inner.with(py, |shared| Prk::from(shared.extract(salt)))
    }

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
