//! The cache of verifying keys.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use sage_core::ed25519;

use crate::buffers::{Batch, Input};
use crate::counters::VERIFY;
use crate::detach;
use crate::errors;
use crate::secrecy::refuse_copies;
use crate::signatures::{Keys, VerifyingKey, verdicts_of};
use crate::threads::Threads;

/// Keeps verifying keys that come again and again, and their tables, in bounded memory.
///
/// Args:
///     budget_bytes: What registered keys and tables may take: about 0.4 KiB a key and 24 KiB a table.
///         The default is 64 MiB.
///
/// A key that was registered gets its table (see ``VerifyingKey.expand``) after three signatures that
/// verified; where another table must go for it, after 32. Keys that are not registered are verified as
/// they come and leave nothing behind, so a flood of made-up keys takes no memory and evicts nothing. Whatever
/// the cache holds, verdicts are those of ``VerifyingKey.verify``; it only makes them cheaper. What was
/// not used for longest goes first.
///
/// It may be used from any number of threads at once.
///
/// Source: docs/adr/0004-own-curve25519-kernels.md.
#[pyclass(frozen, subclass, module = "sage_native._native")]
pub struct VerifyingKeyCache {
    inner: ed25519::VerifyingKeyCache,
}

refuse_copies!(VerifyingKeyCache);

#[pymethods]
impl VerifyingKeyCache {
    #[new]
    #[pyo3(signature = (*, budget_bytes=67_108_864))]
    fn new(budget_bytes: usize) -> Self {
        Self { inner: ed25519::VerifyingKeyCache::new(budget_bytes) }
    }

    /// The bytes that registered keys and tables may take.
    #[getter]
    fn budget_bytes(&self) -> usize {
        self.inner.budget_len()
    }

    /// Hold a key that is known to be somebody's. Registering it again is a use of it.
    ///
    /// Ask ``VerifyingKey.check`` first where the key is new: this does not.
    ///
    /// Args:
    ///     key: The key.
    ///
    /// Returns:
    ///     True if it was not registered before.
    ///
    /// Raises:
    ///     UsageError: The key is not a point of the curve, or the budget is less than one key.
    ///
    /// Cost: about 10 µs, or 0.1 µs if it was registered before.
    fn register(&self, py: Python<'_>, key: &Bound<'_, VerifyingKey>) -> PyResult<bool> {
        self.inner.register(&key.get().inner).map_err(|error| errors::input(py, &error))
    }

    /// Forget a key and its table, at once. Whether its signatures still count is the registry's to say:
    /// they are now checked as those of any key that is not registered.
    ///
    /// Args:
    ///     key: The key.
    ///
    /// Returns:
    ///     True if it was registered.
    fn revoke(&self, key: &Bound<'_, VerifyingKey>) -> bool {
        self.inner.revoke(&key.get().inner)
    }

    /// Verify a signature and raise if it is wrong. The same verdict as ``key.verify``.
    ///
    /// Args:
    ///     key: Whose signature it is to be, registered or not.
    ///     signature: 64 bytes, ``R || S``. Another length does not verify.
    ///     message: Any length.
    ///
    /// Raises:
    ///     AuthenticationError: The signature does not verify. Says nothing more.
    ///
    /// Cost: 5 to 12 µs, by processor, for a key with a table; otherwise as ``VerifyingKey.verify``. Once a
    /// key, about 100 µs more for its table.
    fn verify(
        &self,
        py: Python<'_>,
        key: &Bound<'_, VerifyingKey>,
        signature: Input<'_>,
        message: Input<'_>,
    ) -> PyResult<()> {
        if self.is_valid(py, key, signature, message) {
            Ok(())
        } else {
            Err(errors::authentication(py, "signature does not verify"))
        }
    }

    /// Verify a signature and return the verdict. Where ignoring it would be a bug, use ``verify``.
    ///
    /// Args:
    ///     key: Whose signature it is to be, registered or not.
    ///     signature: 64 bytes, ``R || S``. Another length is not valid.
    ///     message: Any length.
    ///
    /// Returns:
    ///     True if ``verify`` would not raise.
    ///
    /// Cost: as ``verify``.
    fn is_valid(
        &self,
        py: Python<'_>,
        key: &Bound<'_, VerifyingKey>,
        signature: Input<'_>,
        message: Input<'_>,
    ) -> bool {
        let signature = signature.stable();
        let message = message.as_slice();
        let expected_ns = detach::signature_ns(message.len());
        let key = &key.get().inner;
        let watch = VERIFY.begin();
        let verdict = (&*signature).try_into().is_ok_and(|signature| {
            detach::run(py, expected_ns, || self.inner.verify(key, message, signature))
        });
        VERIFY.end(py, watch, verdict, 0);
        verdict
    }

    /// One `bytes` of one verdict (0 or 1) a signature.
    #[pyo3(signature = (keys, signatures, messages, *, threads=Threads::ONE))]
    fn _verify_many<'py>(
        &self,
        py: Python<'py>,
        keys: Keys<'py>,
        signatures: Batch<'py>,
        messages: Batch<'py>,
        threads: Threads,
    ) -> PyResult<Bound<'py, PyBytes>> {
        verdicts_of(py, &keys, signatures, &messages, &threads, |keys, signatures, messages| {
            self.inner.verify_many(keys, signatures, messages)
        })
    }

    /// What `statistics` is made of: the fields of `sage_native.keys.KeyCacheStatistics`, in order.
    fn _statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let held = self.inner.statistics();
        let amounts = (held.registered, held.expanded, held.used_len, self.inner.budget_len());
        let counts = (held.hits, held.decoded_hits, held.misses, held.promotions, held.evictions);
        (amounts.0, amounts.1, amounts.2, amounts.3, counts.0, counts.1, counts.2, counts.3, counts.4)
            .into_pyobject(py)
    }

    fn __repr__(&self) -> String {
        format!("VerifyingKeyCache(budget_bytes={})", self.inner.budget_len())
    }
}
