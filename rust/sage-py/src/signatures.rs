//! Ed25519 keys and batches of signatures.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};
use sage_core::did::Did;
use sage_core::ed25519;
use sage_core::random::SystemRandom;

use crate::buffers::{Batch, Input, same_count};
use crate::closable::Closable;
use crate::detach;
use crate::errors;
use crate::secrecy::guard_secret;

#[pyclass(frozen, subclass, module = "sage_native._native")]
pub struct SigningKey {
    pub inner: Closable<ed25519::SigningKey>,
    verifying: ed25519::VerifyingKey,
}

guard_secret!(SigningKey);

#[pymethods]
impl SigningKey {
    #[new]
    #[pyo3(signature = (seed=None, /))]
    fn new(py: Python<'_>, seed: Option<Input<'_>>) -> PyResult<Self> {
        let key = match seed {
            Some(seed) => ed25519::SigningKey::from_seed(seed.exactly(py, "Ed25519 seed")?),
            None => ed25519::SigningKey::generate(&mut SystemRandom).map_err(errors::random)?,
        };
        let verifying = key.verifying_key().clone();
        Ok(Self { inner: Closable::new("SigningKey", key), verifying })
    }

    #[classmethod]
    fn generate<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        class.call0()
    }

    #[classmethod]
    fn from_bytes<'py>(class: &Bound<'py, PyType>, seed: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        class.call1((seed,))
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.inner.with(py, |key| PyBytes::new(py, key.seed().expose()))
    }

    #[getter]
    fn verifying_key_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.verifying.as_bytes())
    }

    #[getter]
    fn did(&self) -> String {
        self.verifying.did().to_string()
    }

    fn sign<'py>(&self, py: Python<'py>, message: Input<'_>) -> PyResult<Bound<'py, PyBytes>> {
        let message = message.as_slice();
        let expected_ns = detach::signature_ns(message.len());
        let signature = detach::run(py, expected_ns, || self.inner.try_with(|key| key.sign(message)))
            .ok_or_else(|| self.inner.closed(py))?
            .map_err(|error| errors::input(py, &error))?;
        Ok(PyBytes::new(py, &signature))
    }

    /// One `bytes` of `64 * len(messages)`.
    fn _sign_many<'py>(&self, py: Python<'py>, messages: Batch<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let messages = messages.slices();
        let expected_ns = messages.iter().map(|message| detach::signature_ns(message.len())).sum();
        let signatures =
            detach::run(py, expected_ns, || self.inner.try_with(|key| ed25519::sign_many(key, &messages)))
                .ok_or_else(|| self.inner.closed(py))?
                .map_err(|error| errors::input(py, &error))?;
        Ok(PyBytes::new(py, signatures.as_flattened()))
    }

    fn __repr__(&self) -> String {
        format!("SigningKey({})", self.verifying.did())
    }
}

#[pyclass(frozen, subclass, eq, hash, module = "sage_native._native")]
#[derive(PartialEq, Eq, Hash)]
pub struct VerifyingKey {
    pub inner: ed25519::VerifyingKey,
}

#[pymethods]
impl VerifyingKey {
    #[new]
    #[pyo3(signature = (key, /))]
    fn new(py: Python<'_>, key: Input<'_>) -> PyResult<Self> {
        ed25519::VerifyingKey::from_bytes(key.as_slice())
            .map(|inner| Self { inner })
            .map_err(|error| errors::input(py, &error))
    }

    #[classmethod]
    fn from_bytes<'py>(class: &Bound<'py, PyType>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        class.call1((key,))
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.as_bytes())
    }

    #[getter]
    fn did(&self) -> String {
        self.inner.did().to_string()
    }

    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.inner.check().map_err(|error| errors::input(py, &error))
    }

    fn verify(&self, py: Python<'_>, signature: Input<'_>, message: Input<'_>) -> PyResult<()> {
        if self.verdict(py, &signature, &message) {
            Ok(())
        } else {
            Err(errors::authentication(py, "signature does not verify"))
        }
    }

    fn is_valid(&self, py: Python<'_>, signature: Input<'_>, message: Input<'_>) -> bool {
        self.verdict(py, &signature, &message)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (Bound<'py, PyBytes>,)) {
        (slf.get_type(), (slf.get().to_bytes(slf.py()),))
    }

    fn __repr__(&self) -> String {
        format!("VerifyingKey({})", self.inner.did())
    }
}

impl VerifyingKey {
    fn verdict(&self, py: Python<'_>, signature: &Input<'_>, message: &Input<'_>) -> bool {
        let Ok(signature) = signature.as_slice().try_into() else { return false };
        let message = message.as_slice();
        let expected_ns = detach::signature_ns(message.len());
        detach::run(py, expected_ns, || self.inner.verify(message, signature))
    }
}

/// One `bytes` of one verdict (0 or 1) a signature. `keys` is a VerifyingKey for all, or a batch of
/// raw keys.
#[pyfunction]
#[pyo3(name = "_verify_many")]
pub fn verify_many<'py>(
    py: Python<'py>,
    keys: Keys<'py>,
    signatures: Batch<'py>,
    messages: Batch<'py>,
) -> PyResult<Bound<'py, PyBytes>> {
    let (signatures, messages) = (signatures.slices(), messages.slices());
    same_count(py, &[("signatures", signatures.len()), ("messages", messages.len())])?;
    let keys = match &keys {
        Keys::One(key) => vec![&key.get().inner.as_bytes()[..]; signatures.len()],
        Keys::Many(batch) => batch.slices(),
        Keys::Objects(objects) => objects.iter().map(|key| &key.get().inner.as_bytes()[..]).collect(),
    };
    same_count(py, &[("signatures", signatures.len()), ("keys", keys.len())])?;
    let expected_ns = messages.iter().map(|message| detach::signature_ns(message.len())).sum();
    let verdicts = detach::run(py, expected_ns, || ed25519::verify_many(&keys, &signatures, &messages));
    Ok(PyBytes::new(py, &verdicts.into_iter().map(u8::from).collect::<Vec<_>>()))
}

/// One key for all signatures, or one for each.
pub enum Keys<'py> {
    One(Bound<'py, VerifyingKey>),
    Objects(Vec<Bound<'py, VerifyingKey>>),
    Many(Batch<'py>),
}

impl<'py> FromPyObject<'_, 'py> for Keys<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(key) = object.cast::<VerifyingKey>() {
            return Ok(Self::One(key.to_owned()));
        }
        if let Ok(keys) = object.extract::<Vec<Bound<'py, VerifyingKey>>>() {
            return Ok(Self::Objects(keys));
        }
        object.extract().map(Self::Many)
    }
}

/// The 32-byte Ed25519 key that a `did:key` spells out, or `None` for every other DID.
#[pyfunction]
#[pyo3(name = "_ed25519_key_of_did")]
pub fn ed25519_key_of_did<'py>(py: Python<'py>, did: &str) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let did = Did::parse(did).map_err(|error| errors::input(py, &error))?;
    Ok(did.ed25519_key().map(|key| PyBytes::new(py, &key)))
}
