//! Ed25519 keys and batches of signatures.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple, PyType};
use sage_core::did::Did;
use sage_core::ed25519::{self, KeyRef};
use sage_core::random::SystemRandom;
use sage_core::shares::Shares;

use crate::buffers::{Batch, Input, Raw, same_count};
use crate::closable::Closable;
use crate::counters::{SIGN, VERIFY};
use crate::detach;
use crate::errors;
use crate::residue;
use crate::secrecy::guard_secret;
use crate::threads::Threads;

/// An Ed25519 signing key, expanded once: who an agent is.
///
/// Args:
///     seed: 32 secret bytes (RFC 8032 §5.1.5); a new key is drawn if it is left out.
///
/// Raises:
///     UsageError: The seed is not 32 bytes long.
///
/// It can be closed, is a context manager, and refuses to be pickled or copied.
///
/// Cost: about 10 µs.
#[pyclass(frozen, subclass, module = "sage_native._native")]
pub struct SigningKey {
    pub inner: Closable<ed25519::SigningKey>,
    verifying: ed25519::VerifyingKey,
}

guard_secret!(SigningKey);

#[pymethods]
impl SigningKey {
    #[new]
    #[pyo3(signature = (seed=Raw::LeftOut, /))]
    fn new(py: Python<'_>, seed: Raw<'_>) -> PyResult<Self> {
        let key = match seed {
            Raw::Given(seed) => ed25519::SigningKey::from_seed(seed.exactly(py, "Ed25519 seed")?),
            Raw::LeftOut => ed25519::SigningKey::generate(&mut SystemRandom).map_err(errors::random)?,
        };
        let verifying = key.verifying_key().clone();
        Ok(Self { inner: Closable::new("SigningKey", key), verifying })
    }

    /// Draw a new key from the system's random source.
    ///
    /// Cost: about 10 µs.
    #[classmethod]
    fn generate<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        class.call0()
    }

    /// Expand a seed.
    ///
    /// Args:
    ///     seed: 32 secret bytes.
    ///
    /// Raises:
    ///     UsageError: The seed is not 32 bytes long.
    ///
    /// Cost: about 10 µs.
    /// Source: RFC 8032 §5.1.5.
    #[classmethod]
    fn from_bytes<'py>(class: &Bound<'py, PyType>, seed: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        class.call1((seed,))
    }

    /// Export the seed. The copy is the caller's to protect; Python cannot erase it.
    ///
    /// Returns:
    ///     32 secret bytes.
    ///
    /// Raises:
    ///     SessionStateError: The key is closed.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.inner.with(py, |key| PyBytes::new(py, key.seed().expose()))
    }

    /// The public half, 32 bytes. Stays readable after ``close``.
    #[getter]
    fn verifying_key_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.verifying.as_bytes())
    }

    /// The ``did:key`` that the public half spells, 56 characters. Stays readable after ``close``.
    ///
    /// Cost: about 1.5 µs, for base58.
    #[getter]
    fn did(&self) -> String {
        self.verifying.did().to_string()
    }

    /// Sign a message.
    ///
    /// Args:
    ///     message: Any length. It must not begin with 64 spaces (0x20): that is the mark of handshake
    ///         signatures, and whoever chooses the message must not get one.
    ///
    /// Returns:
    ///     The signature ``R || S``, 64 bytes. The same key and message give the same signature.
    ///
    /// Raises:
    ///     UsageError: The message begins with 64 spaces.
    ///     SessionStateError: The key is closed.
    ///
    /// Cost: 6 to 10 µs, by processor, and 2 ns a byte; constant time in the key. Holds the interpreter
    /// lock, except for messages of about 450 KiB or more.
    /// Source: RFC 8032 §5.1.6; docs/protocol.md, "Notation".
    fn sign<'py>(&self, py: Python<'py>, message: Input<'_>) -> PyResult<Bound<'py, PyBytes>> {
        let message = message.stable();
        let expected_ns = detach::signature_ns(message.len());
        let watch = SIGN.begin();
        let signature = detach::run(py, expected_ns, || self.inner.try_with(|key| key.sign(&message)));
        SIGN.end(py, watch, matches!(signature, Some(Ok(_))), 0);
        let signature =
            signature.ok_or_else(|| self.inner.closed(py))?.map_err(|error| errors::input(py, &error))?;
        Ok(PyBytes::new(py, &signature))
    }

    /// One `bytes` of `64 * len(messages)`.
    #[pyo3(signature = (messages, *, threads=Threads::ONE))]
    fn _sign_many<'py>(
        &self,
        py: Python<'py>,
        messages: Batch<'py>,
        threads: Threads,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let messages = messages.into_stable();
        let messages = messages.slices();
        let shares = signature_shares(&threads, &messages);
        // Batches reach deeper than any later call, and on threads that end, so they clean up behind themselves.
        let leave = || {
            residue::wipe_registers();
            residue::wipe_stack();
        };
        let watch = SIGN.begin_many(messages.len());
        let (signatures, took) = detach::run(py, shares.expected_ns(), || {
            let sign = |key: &_| ed25519::sign_shares(key, &messages, &shares, leave);
            (self.inner.try_with(sign), watch.stop())
        });
        let is_done = matches!(signatures, Some(Ok(_)));
        SIGN.end_many(py, took, messages.len(), if is_done { 0 } else { messages.len() }, 0);
        let signatures =
            signatures.ok_or_else(|| self.inner.closed(py))?.map_err(|error| errors::input(py, &error))?;
        Ok(PyBytes::new(py, signatures.as_flattened()))
    }

    fn __repr__(&self) -> String {
        format!("SigningKey({})", self.verifying.did())
    }
}

/// An Ed25519 public key, 32 bytes, strictly checked.
///
/// Args:
///     key: 32 bytes, canonically encoded, not of small order; or another VerifyingKey.
///
/// Raises:
///     UsageError: Another length or encoding, or small order; says which.
///
/// Equal keys compare and hash equal. Whether the bytes are a point of the curve shows at the first
/// verification, which then fails; ``check`` answers at once.
///
/// Cost: about 0.1 µs.
#[pyclass(frozen, subclass, eq, hash, module = "sage_native._native")]
#[derive(PartialEq, Eq, Hash)]
pub struct VerifyingKey {
    pub inner: ed25519::VerifyingKey,
}

#[pymethods]
impl VerifyingKey {
    #[new]
    #[pyo3(signature = (key, /))]
    fn new(py: Python<'_>, key: Source<'_, '_>) -> PyResult<Self> {
        let inner = match key {
            Source::Key(key) => Ok(key.get().inner.clone()),
            Source::Raw(bytes) => ed25519::VerifyingKey::from_bytes(bytes.as_slice()),
        };
        inner.map(|inner| Self { inner }).map_err(|error| errors::input(py, &error))
    }

    /// Take a raw key. The same as the constructor.
    ///
    /// Args:
    ///     key: 32 bytes.
    ///
    /// Raises:
    ///     UsageError: Another length, an encoding that is not canonical, or small order.
    ///
    /// Source: RFC 8032 §5.1.3.
    #[classmethod]
    fn from_bytes<'py>(class: &Bound<'py, PyType>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        class.call1((key,))
    }

    /// Return the raw key, 32 bytes.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.as_bytes())
    }

    /// The ``did:key`` that this key spells, 56 characters.
    ///
    /// Cost: about 1.5 µs, for base58.
    #[getter]
    fn did(&self) -> String {
        self.inner.did().to_string()
    }

    /// Check that the key is a point of the curve in the prime-order subgroup.
    ///
    /// Ask this once, when a key is registered or a DID is resolved, not for every signature.
    ///
    /// Raises:
    ///     UsageError: Not a point of the curve, or it has a small-order component; says which.
    ///
    /// Cost: about 30 µs.
    /// Source: docs/protocol.md, "Notation".
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.inner.check().map_err(|error| errors::input(py, &error))
    }

    /// Return this key with a table of 24 KiB that makes each verification several times cheaper.
    ///
    /// It is the same key: equal to this one, with the same verdicts, and taken wherever a VerifyingKey is.
    /// The table is freed with the last key that was made from it. Expand keys that you know and that come
    /// again and again; a ``VerifyingKeyCache`` does it by itself. A copy by pickle has no table.
    ///
    /// Returns:
    ///     A key of the same class; this key's own table, if it is expanded.
    ///
    /// Raises:
    ///     UsageError: The key is not a point of the curve.
    ///
    /// Cost: about 100 µs, so it pays from the tenth signature on. Verification then takes 5 to 12 µs, by
    /// processor; in a batch 3 to 10 µs a signature.
    /// Source: docs/adr/0004-own-curve25519-kernels.md.
    fn expand<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let inner = slf.get().inner.expand().map_err(|error| errors::input(py, &error))?;
        slf.get_type().call1((Self { inner },))
    }

    /// True if the key has a table, as ``expand`` makes it.
    #[getter]
    fn is_expanded(&self) -> bool {
        self.inner.is_expanded()
    }

    /// Verify a signature and raise if it is wrong.
    ///
    /// The verdict is strict: canonical ``S``, canonical ``A`` and ``R``, neither of small order, and
    /// the equation without cofactor. Single and batch verification give the same verdict.
    ///
    /// Args:
    ///     signature: 64 bytes, ``R || S``. Another length does not verify.
    ///     message: Any length.
    ///
    /// Raises:
    ///     AuthenticationError: The signature does not verify. Says nothing more.
    ///
    /// Cost: 15 to 40 µs, by processor, or 5 to 12 if the key is expanded, and 2 ns a byte; variable time, on public data only. Holds the interpreter
    /// lock, except for messages of about 450 KiB or more.
    /// Source: RFC 8032 §5.1.7; docs/protocol.md, "Notation".
    fn verify(&self, py: Python<'_>, signature: Input<'_>, message: Input<'_>) -> PyResult<()> {
        if self.verdict(py, &signature, &message) {
            Ok(())
        } else {
            Err(errors::authentication(py, "signature does not verify"))
        }
    }

    /// Verify a signature and return the verdict. Where ignoring it would be a bug, use ``verify``.
    ///
    /// Args:
    ///     signature: 64 bytes, ``R || S``. Another length is not valid.
    ///     message: Any length.
    ///
    /// Returns:
    ///     True if ``verify`` would not raise.
    ///
    /// Cost: as ``verify``.
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
        let signature = signature.stable();
        let message = message.as_slice();
        let expected_ns = detach::signature_ns(message.len());
        let watch = VERIFY.begin();
        let verdict = (&*signature)
            .try_into()
            .is_ok_and(|signature| detach::run(py, expected_ns, || self.inner.verify(message, signature)));
        VERIFY.end(py, watch, verdict, 0);
        verdict
    }
}

/// One `bytes` of one verdict (0 or 1) a signature. `keys` is a VerifyingKey for all, or a batch of
/// raw keys.
#[pyfunction]
#[pyo3(name = "_verify_many", signature = (keys, signatures, messages, *, threads=Threads::ONE))]
pub fn verify_many<'py>(
    py: Python<'py>,
    keys: Keys<'py>,
    signatures: Batch<'py>,
    messages: Batch<'py>,
    threads: Threads,
) -> PyResult<Bound<'py, PyBytes>> {
    verdicts_of(py, &keys, signatures, &messages, &threads, ed25519::verify_many)
}

/// The verdicts of `verify_many` on a batch, in bytes.
pub fn verdicts_of<'py>(
    py: Python<'py>,
    keys: &Keys<'py>,
    signatures: Batch<'py>,
    messages: &Batch<'py>,
    threads: &Threads,
    verify_many: impl Fn(&[KeyRef<'_>], &[&[u8]], &[&[u8]]) -> Vec<bool> + Send + Sync,
) -> PyResult<Bound<'py, PyBytes>> {
    let signatures = signatures.into_stable();
    let (signatures, messages) = (signatures.slices(), messages.slices());
    same_count(py, &[("signatures", signatures.len()), ("messages", messages.len())])?;
    let one = match keys {
        Keys::One(key) => Some(key.get().inner.for_signatures(signatures.len())),
        Keys::Many(_) | Keys::Objects(_) => None,
    };
    let keys: Vec<KeyRef<'_>> = match keys {
        Keys::One(_) => one.iter().cycle().take(signatures.len()).map(KeyRef::Checked).collect(),
        Keys::Many(batch) => batch.slices().into_iter().map(KeyRef::Raw).collect(),
        Keys::Objects(objects) => objects.iter().map(|key| KeyRef::Checked(&key.get().inner)).collect(),
    };
    same_count(py, &[("signatures", signatures.len()), ("keys", keys.len())])?;
    let shares = signature_shares(threads, &messages);
    let watch = VERIFY.begin_many(messages.len());
    let (verdicts, took) = detach::run(py, shares.expected_ns(), || {
        let verdicts = shares
            .run(|share| verify_many(&keys[share.clone()], &signatures[share.clone()], &messages[share]));
        (verdicts, watch.stop())
    });
    let refused = verdicts.iter().filter(|is_valid| !**is_valid).count();
    VERIFY.end_many(py, took, messages.len(), refused, 0);
    Ok(PyBytes::new(py, &verdicts.into_iter().map(u8::from).collect::<Vec<_>>()))
}

fn signature_shares(threads: &Threads, messages: &[&[u8]]) -> Shares {
    Shares::new(threads.0, messages.iter().map(|message| detach::signature_ns(message.len())))
}

/// What a verifying key is made of.
pub enum Source<'a, 'py> {
    Key(Bound<'py, VerifyingKey>),
    Raw(Input<'a>),
}

impl<'a, 'py> FromPyObject<'a, 'py> for Source<'a, 'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.cast::<VerifyingKey>() {
            Ok(key) => Ok(Self::Key(key.to_owned())),
            Err(_) => Input::extract(object).map(Self::Raw),
        }
    }
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
        let is_items = object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>();
        if is_items && let Ok(keys) = object.extract::<Vec<Bound<'py, VerifyingKey>>>() {
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
