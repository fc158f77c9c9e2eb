//! ed25519-dalek's batch verification, as a Python user would have it if somebody bound it: a peer of
//! `verify_many` in `benches/ratios/verification`, and nothing that ships.
//!
//! It borrows its arguments as our binding does, so that what is compared is the verification.

use pyo3::prelude::*;

/// The module `sage_peer_dalek`.
#[pymodule]
#[pyo3(gil_used = true)]
mod sage_peer_dalek {
    use ed25519_dalek::{Signature, VerifyingKey};
    use pyo3::exceptions::PyValueError;
    use pyo3::prelude::*;
    use pyo3::types::PyBytes;

    /// A verifying key, decoded.
    #[pyclass(frozen)]
    struct Key(VerifyingKey);

    #[pymethods]
    impl Key {
        #[new]
        fn new(bytes: [u8; 32]) -> PyResult<Self> {
            VerifyingKey::from_bytes(&bytes).map(Self).map_err(refused)
        }
    }

    /// Say whether all signatures of a batch verify, with all but a negligible probability.
    #[pyfunction]
    fn verify_batch(
        py: Python<'_>,
        keys: Vec<Bound<'_, Key>>,
        signatures: Vec<Bound<'_, PyBytes>>,
        messages: Vec<Bound<'_, PyBytes>>,
    ) -> PyResult<bool> {
        let keys: Vec<VerifyingKey> = keys.iter().map(|key| key.get().0).collect();
        let signatures: Vec<Signature> = signatures
            .iter()
            .map(|signature| Signature::from_slice(signature.as_bytes()).map_err(refused))
            .collect::<PyResult<_>>()?;
        let messages: Vec<&[u8]> = messages.iter().map(|message| message.as_bytes()).collect();
        Ok(py.detach(|| ed25519_dalek::verify_batch(&messages, &signatures, &keys).is_ok()))
    }

    fn refused(error: ed25519_dalek::SignatureError) -> PyErr {
        PyValueError::new_err(error.to_string())
    }
}
