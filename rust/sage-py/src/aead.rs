//! AES-256-GCM keys, their batches, and key-encryption keys.

use core::mem::MaybeUninit;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyType};
use sage_core::aead::{self, KEY_LEN, NONCE_LEN, TAG_LEN};
use sage_core::kek;
use sage_core::random::SystemRandom;
use sage_core::secret::Secret;

use crate::buffers::{Batch, Input, Output, Raw, or_empty, same_count};
use crate::closable::Closable;
use crate::counters::{OPEN, SEAL};
use crate::detach::{self, aead_ns};
use crate::errors;
use crate::output;
use crate::secrecy::guard_secret;

/// An AES-256-GCM key with its schedule expanded once.
///
/// Args:
///     key: 32 secret bytes; drawn if left out.
///
/// Raises:
///     UsageError: The key is not 32 bytes long.
///
/// The caller owns the nonces: the same nonce twice under one key gives both plaintexts and the
/// authentication key away. ``Session`` keeps its own count; prefer it. The key can be closed, is a
/// context manager, and refuses to be pickled or copied.
///
/// Cost: about 0.3 µs.
#[pyclass(frozen, subclass, module = "sage_native._native")]
pub struct AeadKey {
    inner: Closable<aead::AeadKey>,
}

guard_secret!(AeadKey);

#[pymethods]
impl AeadKey {
    #[new]
    #[pyo3(signature = (key=Raw::LeftOut, /))]
    fn new(py: Python<'_>, key: Raw<'_>) -> PyResult<Self> {
        let key = match key {
            Raw::Given(key) => aead::AeadKey::new(key.exactly::<KEY_LEN>(py, "AES-256-GCM key")?),
            Raw::LeftOut => {
                let key = Secret::draw(&mut SystemRandom).map_err(errors::random)?;
                aead::AeadKey::new(key.expose())
            }
        };
        Ok(Self { inner: Closable::new("AeadKey", key) })
    }

    /// Draw a new key from the system's random source. It cannot be exported.
    ///
    /// Cost: about 0.5 µs.
    #[classmethod]
    fn generate<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        class.call0()
    }

    /// Expand a key.
    ///
    /// Args:
    ///     key: 32 secret bytes.
    ///
    /// Raises:
    ///     UsageError: Another length.
    ///
    /// Cost: about 0.3 µs.
    #[classmethod]
    fn from_bytes<'py>(class: &Bound<'py, PyType>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        class.call1((key,))
    }

    /// Seal one plaintext.
    ///
    /// Args:
    ///     nonce: 12 bytes, never used before under this key.
    ///     plaintext: Any length.
    ///     aad: Associated data, authenticated, not part of the result.
    ///
    /// Returns:
    ///     ``ciphertext || tag(16)``, ``len(plaintext) + 16`` bytes.
    ///
    /// Raises:
    ///     UsageError: The nonce is not 12 bytes long.
    ///     SessionStateError: The key is closed.
    ///
    /// Cost: about 0.1 µs for 64 B, 0.3 µs for 1 KiB, 2 to 6 µs for 16 KiB. Holds the interpreter lock
    /// below about 4 MB.
    /// Source: NIST SP 800-38D §7.1.
    #[pyo3(signature = (nonce, plaintext, aad=None))]
    fn seal<'py>(
        &self,
        py: Python<'py>,
        nonce: Input<'_>,
        plaintext: Input<'_>,
        aad: Option<Input<'_>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let plaintext = plaintext.as_slice();
        output::bytes(py, plaintext.len() + TAG_LEN, |sealed| {
            self.seal_to(py, &nonce, plaintext, or_empty(aad.as_ref()), sealed)
        })
    }

    /// Open ``ciphertext || tag(16)``.
    ///
    /// Args:
    ///     nonce: The 12 bytes it was sealed under.
    ///     sealed: At least 16 bytes.
    ///     aad: The associated data it was sealed with.
    ///
    /// Returns:
    ///     The plaintext, ``len(sealed) - 16`` bytes.
    ///
    /// Raises:
    ///     AuthenticationError: The tag is wrong. Nothing of the plaintext leaves.
    ///     UsageError: The nonce is not 12 bytes long, or ``sealed`` is shorter than a tag.
    ///     SessionStateError: The key is closed.
    ///
    /// Cost: as ``seal``.
    /// Source: NIST SP 800-38D §7.2.
    #[pyo3(signature = (nonce, sealed, aad=None))]
    fn open<'py>(
        &self,
        py: Python<'py>,
        nonce: Input<'_>,
        sealed: Input<'_>,
        aad: Option<Input<'_>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let sealed = sealed.stable();
        output::bytes(py, plaintext_len(py, &sealed)?, |plaintext| {
            self.open_to(py, &nonce, &sealed, or_empty(aad.as_ref()), plaintext)
        })
    }

    /// Seal one plaintext into the caller's buffer.
    ///
    /// Args:
    ///     nonce: 12 bytes, never used before under this key.
    ///     plaintext: Any length.
    ///     out: A writable buffer of at least ``len(plaintext) + 16`` bytes that shares no memory with
    ///         the inputs. It gets ``ciphertext || tag(16)`` at its beginning; the rest is left alone.
    ///     aad: Associated data, authenticated, not part of the result.
    ///
    /// Returns:
    ///     How many bytes were written, ``len(plaintext) + 16``.
    ///
    /// Raises:
    ///     UsageError: The nonce has another length, or ``out`` is read-only, too short or overlaps.
    ///     SessionStateError: The key is closed.
    ///
    /// Cost: as ``seal``, without a new object.
    /// Source: NIST SP 800-38D §7.1.
    #[pyo3(signature = (nonce, plaintext, out, aad=None))]
    fn seal_into(
        &self,
        py: Python<'_>,
        nonce: Input<'_>,
        plaintext: Input<'_>,
        out: Output,
        aad: Option<Input<'_>>,
    ) -> PyResult<usize> {
        let (plaintext, aad) = (plaintext.as_slice(), or_empty(aad.as_ref()));
        let len = plaintext.len() + TAG_LEN;
        out.must_not_overlap(py, &[plaintext, aad, nonce.as_slice()])?;
        self.seal_to(py, &nonce, plaintext, aad, out.first(py, len)?)?;
        Ok(len)
    }

    /// Open ``ciphertext || tag(16)`` into the caller's buffer.
    ///
    /// Args:
    ///     nonce: The 12 bytes it was sealed under.
    ///     sealed: At least 16 bytes.
    ///     out: A writable buffer of at least ``len(sealed) - 16`` bytes that shares no memory with the
    ///         inputs. It gets the plaintext at its beginning; the rest is left alone.
    ///     aad: The associated data it was sealed with.
    ///
    /// Returns:
    ///     How many bytes were written, ``len(sealed) - 16``.
    ///
    /// Raises:
    ///     AuthenticationError: The tag is wrong; ``out`` holds nothing of the plaintext.
    ///     UsageError: The nonce or ``sealed`` has another length, or ``out`` is read-only, too short or
    ///         overlaps.
    ///     SessionStateError: The key is closed.
    ///
    /// Cost: as ``open``, without a new object.
    /// Source: NIST SP 800-38D §7.2.
    #[pyo3(signature = (nonce, sealed, out, aad=None))]
    fn open_into(
        &self,
        py: Python<'_>,
        nonce: Input<'_>,
        sealed: Input<'_>,
        out: Output,
        aad: Option<Input<'_>>,
    ) -> PyResult<usize> {
        let aad = or_empty(aad.as_ref());
        out.must_not_overlap(py, &[sealed.as_slice(), aad, nonce.as_slice()])?;
        let sealed = sealed.stable();
        let len = plaintext_len(py, &sealed)?;
        self.open_to(py, &nonce, &sealed, aad, out.first(py, len)?)?;
        Ok(len)
    }

    /// A list of bytes for a list of plaintexts, one `bytes` of rows for an array.
    #[pyo3(signature = (nonces, plaintexts, aads=None))]
    fn _seal_many<'py>(
        &self,
        py: Python<'py>,
        nonces: Batch<'py>,
        plaintexts: Batch<'py>,
        aads: Option<Batch<'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let job = Job::new(py, &nonces, &plaintexts, "plaintexts", aads.as_ref())?;
        let fill = |outs: &mut [&mut [MaybeUninit<u8>]]| {
            let watch = SEAL.begin_many(outs.len());
            let (sealed, took) = detach::run(py, job.expected_ns(), || {
                let sealed = self.inner.try_with(|key| {
                    for (at, out) in outs.iter_mut().enumerate() {
                        key.seal(job.nonces[at], [job.aad(at), &[]], job.items[at], out);
                    }
                });
                (sealed, watch.stop())
            });
            let refused = if sealed.is_some() { 0 } else { outs.len() };
            SEAL.end_many(py, took, outs.len(), refused, if refused == 0 { job.items_len() } else { 0 });
            sealed.ok_or_else(|| self.inner.closed(py))
        };
        if let Some(row_len) = plaintexts.row_len() {
            let sealed_len = row_len + TAG_LEN;
            let rows = output::bytes(py, job.items.len() * sealed_len, |all| {
                fill(&mut all.chunks_exact_mut(sealed_len).collect::<Vec<_>>())
            });
            return rows.map(Bound::into_any);
        }
        let lens = job.items.iter().map(|item| item.len() + TAG_LEN);
        let sealed = output::many(py, lens, |outs| fill(outs))?;
        PyList::new(py, sealed).map(Bound::into_any)
    }

    /// For a list, a list of bytes or None; for an array, rows and one verdict (0 or 1) for each.
    #[pyo3(signature = (nonces, sealed, aads=None))]
    fn _open_many<'py>(
        &self,
        py: Python<'py>,
        nonces: Batch<'py>,
        sealed: Batch<'py>,
        aads: Option<Batch<'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let sealed = sealed.into_stable();
        let job = Job::new(py, &nonces, &sealed, "sealed", aads.as_ref())?;
        for item in &job.items {
            plaintext_len(py, item)?;
        }
        let mut verdicts = vec![0_u8; job.items.len()];
        let mut fill = |outs: &mut [&mut [MaybeUninit<u8>]]| {
            let watch = OPEN.begin_many(outs.len());
            let (mut done, mut len) = (0, 0);
            let (opened, took) = detach::run(py, job.expected_ns(), || {
                let opened = self.inner.try_with(|key| {
                    for (at, out) in outs.iter_mut().enumerate() {
                        let opened = key.open(job.nonces[at], [job.aad(at), &[]], job.items[at], out);
                        verdicts[at] = opened.is_ok().into();
                        if opened.is_err() {
                            // Rows leave as they are, and a refused one may not have been written.
                            out.fill(MaybeUninit::new(0));
                        } else {
                            done += 1;
                            len += out.len();
                        }
                    }
                });
                (opened, watch.stop())
            });
            OPEN.end_many(py, took, outs.len(), outs.len() - done, len);
            opened.ok_or_else(|| self.inner.closed(py))
        };
        if let Some(row_len) = sealed.row_len() {
            let plain_len = row_len - TAG_LEN.min(row_len);
            let rows = output::bytes(py, job.items.len() * plain_len, |all| {
                let mut outs: Vec<_> = match plain_len {
                    0 => job.items.iter().map(|_| &mut [][..]).collect(),
                    _ => all.chunks_exact_mut(plain_len).collect(),
                };
                fill(&mut outs)
            })?;
            return Ok((rows, PyBytes::new(py, &verdicts)).into_pyobject(py)?.into_any());
        }
        let lens = job.items.iter().map(|item| item.len() - TAG_LEN);
        let opened = output::many(py, lens, |outs| fill(outs))?;
        let results = opened.into_iter().zip(&verdicts).map(|(item, &ok)| (ok == 1).then_some(item));
        PyList::new(py, results.collect::<Vec<_>>()).map(Bound::into_any)
    }

    fn __repr__(&self) -> &'static str {
        "AeadKey(..)"
    }
}

impl AeadKey {
    fn seal_to(
        &self,
        py: Python<'_>,
        nonce: &Input<'_>,
        plaintext: &[u8],
        aad: &[u8],
        sealed: &mut [MaybeUninit<u8>],
    ) -> PyResult<()> {
        let nonce = nonce.exactly::<NONCE_LEN>(py, "AES-256-GCM nonce")?;
        let watch = SEAL.begin();
        let done = detach::run(py, aead_ns(plaintext.len() + aad.len()), || {
            self.inner.try_with(|key| key.seal(nonce, [aad, &[]], plaintext, sealed))
        });
        SEAL.end(py, watch, done.is_some(), plaintext.len());
        done.ok_or_else(|| self.inner.closed(py))
    }

    fn open_to(
        &self,
        py: Python<'_>,
        nonce: &Input<'_>,
        sealed: &[u8],
        aad: &[u8],
        plaintext: &mut [MaybeUninit<u8>],
    ) -> PyResult<()> {
        let nonce = nonce.exactly::<NONCE_LEN>(py, "AES-256-GCM nonce")?;
        let watch = OPEN.begin();
        let opened = detach::run(py, aead_ns(sealed.len() + aad.len()), || {
            self.inner.try_with(|key| key.open(nonce, [aad, &[]], sealed, plaintext))
        });
        OPEN.end(py, watch, matches!(opened, Some(Ok(_))), plaintext.len());
        opened
            .ok_or_else(|| self.inner.closed(py))?
            .map_err(|_| errors::authentication(py, "authentication failed"))
    }
}

/// The arguments of a batch, checked.
struct Job<'a> {
    nonces: Vec<&'a [u8; NONCE_LEN]>,
    items: Vec<&'a [u8]>,
    aads: Option<Vec<&'a [u8]>>,
}

impl<'a> Job<'a> {
    fn new(
        py: Python<'_>,
        nonces: &'a Batch<'_>,
        items: &'a Batch<'_>,
        what: &str,
        aads: Option<&'a Batch<'_>>,
    ) -> PyResult<Self> {
        let nonces = nonces.arrays(py, "nonce")?;
        let items = items.slices();
        let aads = aads.map(Batch::slices);
        same_count(py, &[("nonces", nonces.len()), (what, items.len())])?;
        if let Some(aads) = &aads {
            same_count(py, &[("nonces", nonces.len()), ("aads", aads.len())])?;
        }
        Ok(Self { nonces, items, aads })
    }

    fn aad(&self, at: usize) -> &'a [u8] {
        self.aads.as_ref().map(|aads| aads[at]).unwrap_or_default()
    }

    fn items_len(&self) -> usize {
        self.items.iter().map(|item| item.len()).sum()
    }

    fn expected_ns(&self) -> usize {
        self.items.iter().map(|item| aead_ns(item.len())).sum()
    }
}

fn plaintext_len(py: Python<'_>, sealed: &[u8]) -> PyResult<usize> {
    sealed.len().checked_sub(TAG_LEN).ok_or_else(|| {
        let len = sealed.len();
        errors::usage(py, &format!("sealed must be at least {TAG_LEN} bytes long, not {len}"))
    })
}

/// A key for secrets at rest, under the id by which stores name it.
///
/// Args:
///     kek_id: 1 to 64 printable ASCII characters without spaces.
///     key: 32 secret bytes, from a secret provider.
///
/// Raises:
///     UsageError: The id or the key is not of that form.
///
/// It seals with AES-256-GCM-SIV under random nonces: if a nonce ever repeats, that shows only
/// whether two plaintexts were equal. It can be closed, is a context manager, and refuses to be
/// pickled or copied.
///
/// Source: RFC 8452; docs/protocol.md, "Sessions at rest".
#[pyclass(frozen, module = "sage_native._native")]
pub struct KeyEncryptionKey {
    pub inner: Closable<kek::KeyEncryptionKey>,
    kek_id: String,
}

guard_secret!(KeyEncryptionKey);

#[pymethods]
impl KeyEncryptionKey {
    #[new]
    #[pyo3(signature = (kek_id, key))]
    fn new(py: Python<'_>, kek_id: &str, key: Input<'_>) -> PyResult<Self> {
        let kek = kek::KeyEncryptionKey::new(kek_id, key.exactly(py, "key-encryption key")?)
            .map_err(|error| errors::input(py, &error))?;
        Ok(Self { kek_id: kek_id.into(), inner: Closable::new("KeyEncryptionKey", kek) })
    }

    /// The id by which stores name this key.
    #[getter]
    fn kek_id(&self) -> &str {
        &self.kek_id
    }

    fn __repr__(&self) -> String {
        format!("KeyEncryptionKey(kek_id={:?})", self.kek_id)
    }
}
