//! HKDF-SHA256.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};
use sage_core::error::InputError;
use sage_core::hkdf;

use crate::buffers::{Input, or_empty};
use crate::closable::Closable;
use crate::errors;
use crate::secrecy::guard_secret;

#[pyclass(frozen, module = "sage_native._native")]
pub struct Prk {
    inner: Closable<hkdf::Prk>,
}

guard_secret!(Prk);

impl From<hkdf::Prk> for Prk {
    fn from(prk: hkdf::Prk) -> Self {
        Self { inner: Closable::new("Prk", prk) }
    }
}

#[pymethods]
impl Prk {
    #[classmethod]
    #[pyo3(signature = (ikm, *, salt=None))]
    fn extract(_class: &Bound<'_, PyType>, ikm: Input<'_>, salt: Option<Input<'_>>) -> Self {
        hkdf::Prk::extract(or_empty(salt.as_ref()), ikm.as_slice()).into()
    }

    #[classmethod]
    fn from_bytes(class: &Bound<'_, PyType>, prk: Input<'_>) -> PyResult<Self> {
        hkdf::Prk::from_bytes(prk.as_slice())
            .map(Self::from)
            .map_err(|error| errors::input(class.py(), &error))
    }

    #[pyo3(signature = (info, length))]
    fn expand<'py>(&self, py: Python<'py>, info: Input<'_>, length: usize) -> PyResult<Bound<'py, PyBytes>> {
        self.inner.with(py, |prk| expand(py, prk, info.as_slice(), length))?
    }

    fn __repr__(&self) -> &'static str {
        "Prk(..)"
    }
}

#[pyfunction]
#[pyo3(signature = (ikm, *, length, salt=None, info=None))]
pub fn hkdf_sha256<'py>(
    py: Python<'py>,
    ikm: Input<'_>,
    length: usize,
    salt: Option<Input<'_>>,
    info: Option<Input<'_>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let prk = hkdf::Prk::extract(or_empty(salt.as_ref()), ikm.as_slice());
    expand(py, &prk, or_empty(info.as_ref()), length)
}

fn expand<'py>(
    py: Python<'py>,
    prk: &hkdf::Prk,
    info: &[u8],
    length: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    if length > hkdf::MAX_OKM_LEN {
        let error = InputError::TooLong { what: "HKDF output", limit: hkdf::MAX_OKM_LEN, actual: length };
        return Err(errors::input(py, &error));
    }
    PyBytes::new_with(py, length, |okm| prk.expand(&[info], okm).map_err(|error| errors::input(py, &error)))
}
