//! AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags.
//!
//! Short messages, which most records are, go through a kernel made for them where the processor
//! has the instructions (`x86`); all others, and all on other processors, go to AWS-LC. Both give
//! the same bytes.

#[cfg(target_arch = "x86_64")]
mod x86;

use core::fmt;
use core::mem::MaybeUninit;
use std::sync::OnceLock;

use crate::aws_lc::{AeadAlgorithm, AeadContext};
#[cfg(target_arch = "x86_64")]
use crate::processor;
use crate::secret::Secret;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;
/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;
/// Bytes of a tag, which follows the ciphertext.
pub const TAG_LEN: usize = 16;
/// The longest plaintext of one call: 2^36 − 32 bytes (SP 800-38D §5.2.1.1).
pub const MAX_PLAINTEXT_LEN: u64 = (1 << 36) - 32;

/// The name of the kernel for short messages, if one is in use.
pub(crate) fn kernel() -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    return if processor::is_portable() { None } else { x86::kernel() };
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// The tag did not verify. Says nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenError;

/// An AES-256-GCM key with its schedule. The caller owns the nonces: the same nonce twice under one
/// key gives both plaintexts and the authentication key away.
pub struct AeadKey {
    #[cfg(target_arch = "x86_64")]
    short: Option<Box<x86::ShortGcm>>,
    key: Secret<KEY_LEN>,
    /// Made for the first message that is not short; many keys never see one.
    library: OnceLock<AeadContext>,
}

impl AeadKey {
    /// Expands a key.
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            short: if processor::is_portable() { None } else { x86::ShortGcm::new(key) },
            ..Self::by_library(key)
        }
    }

    /// A key that leaves everything to AWS-LC: the reference for the kernels.
    #[must_use]
    pub fn by_library(key: &[u8; KEY_LEN]) -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            short: None,
            key: Secret::copy_from(key),
            library: OnceLock::new(),
        }
    }

    /// Writes `ciphertext ‖ tag` into `sealed`, which is [`TAG_LEN`] longer than `plaintext`. The
    /// associated data is the concatenation of two parts, so that a header and the caller's own
    /// data need no copy.
    ///
    /// # Panics
    /// If `sealed` has another length.
    pub fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: [&[u8]; 2],
        plaintext: &[u8],
        sealed: &mut [MaybeUninit<u8>],
    ) {
        let (ciphertext, tag_out) = sealed.split_at_mut(plaintext.len());
        let tag = match self.short(plaintext.len() + aad[0].len() + aad[1].len()) {
            #[cfg(target_arch = "x86_64")]
            Some(short) => short.seal(nonce, aad, plaintext, ciphertext),
            _ => joined(aad, |aad| self.library().seal(nonce, aad, plaintext, ciphertext)),
        };
        tag_out.write_copy_of_slice(&tag);
    }

    /// Writes the plaintext of `sealed` into `plaintext`, which is [`TAG_LEN`] shorter.
    ///
    /// # Errors
    /// [`OpenError`] if the tag is wrong; `plaintext` then holds nothing of the message.
    ///
    /// # Panics
    /// If `plaintext` has another length.
    pub fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: [&[u8]; 2],
        sealed: &[u8],
        plaintext: &mut [MaybeUninit<u8>],
    ) -> Result<(), OpenError> {
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(OpenError)?;
        let opened = match self.short(ciphertext.len() + aad[0].len() + aad[1].len()) {
            #[cfg(target_arch = "x86_64")]
            Some(short) => short.open(nonce, aad, ciphertext, tag, plaintext),
            _ => joined(aad, |aad| self.library().open(nonce, aad, ciphertext, tag, plaintext)),
        };
        if opened { Ok(()) } else { Err(OpenError) }
    }

    /// The kernel for a message and associated data of `len` bytes together, if they are short.
    #[cfg(target_arch = "x86_64")]
    fn short(&self, len: usize) -> Option<&x86::ShortGcm> {
        self.short.as_deref().filter(|short| len <= short.worthwhile_len())
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn short(&self, _len: usize) -> Option<core::convert::Infallible> {
        None
    }

    fn library(&self) -> &AeadContext {
        self.library.get_or_init(|| AeadContext::new(AeadAlgorithm::Aes256Gcm, self.key.expose()))
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AeadKey(..)")
    }
}

/// Calls `with` on the concatenation of both parts, copying only when both hold something.
fn joined<T>([first, second]: [&[u8]; 2], with: impl FnOnce(&[u8]) -> T) -> T {
    match (first, second) {
        (only, []) | ([], only) => with(only),
        _ => with(&[first, second].concat()),
    }
}
