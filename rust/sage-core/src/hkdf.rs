//! HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869) with kept states.
//!
//! HMAC hashes two 64-byte pads that depend on the key alone. Keeping the SHA-256 states after
//! those pads leaves two compressions for a short message instead of four, so expanding a kept PRK
//! to 32 bytes costs about 0.1 µs.

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::aws_lc::{Sha256, sha256};
use crate::error::{InputError, exactly};
use crate::secret::Secret;

/// Bytes of a PRK and of each output block.
pub const HASH_LEN: usize = 32;
/// The longest output of one expansion, 255 blocks (RFC 5869 §2.3).
pub const MAX_OKM_LEN: usize = 255 * HASH_LEN;
/// The prefix of this protocol's labels, in the place of TLS 1.3's `"tls13 "`.
pub const LABEL_PREFIX: &str = "sage1 ";

const BLOCK_LEN: usize = 64;

/// An HMAC-SHA256 key, kept as the two pad states. Boxed, so that a move leaves no copy.
#[derive(Clone)]
pub(crate) struct HmacKey(Box<Pads>);

#[derive(Clone)]
struct Pads {
    inner: Sha256,
    outer: Sha256,
}

impl HmacKey {
    pub(crate) fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK_LEN];
        if key.len() <= BLOCK_LEN {
            block[..key.len()].copy_from_slice(key);
        } else {
            block[..HASH_LEN].copy_from_slice(&sha256(&[key]));
        }
        let mut pads = Box::new(Pads { inner: Sha256::new(), outer: Sha256::new() });
        block.iter_mut().for_each(|byte| *byte ^= 0x36);
        pads.inner.update(&block);
        block.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5c);
        pads.outer.update(&block);
        block.zeroize();
        Self(pads)
    }

    /// The tag over the concatenation of `parts`.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; HASH_LEN] {
        let mut inner = self.0.inner.clone();
        for part in parts {
            inner.update(part);
        }
        let mut digest = inner.finish();
        let mut outer = self.0.outer.clone();
        outer.update(&digest);
        digest.zeroize();
        outer.finish()
    }

    /// Compares in constant time.
    #[must_use]
    pub(crate) fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.mac(parts).ct_eq(tag).into()
    }
}

/// A pseudo-random key, kept ready to expand.
#[derive(Clone)]
pub struct Prk(HmacKey);

impl Prk {
    /// HKDF-Extract (RFC 5869 §2.2). An empty salt means 32 zero bytes.
    #[must_use]
    pub fn extract(salt: &[u8], ikm: &[u8]) -> Self {
        let mut prk = HmacKey::new(salt).mac(&[ikm]);
        let kept = Self(HmacKey::new(&prk));
        prk.zeroize();
        kept
    }

    /// Takes 32 bytes that already are a PRK.
    ///
    /// # Errors
    /// [`InputError`] on any other length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InputError> {
        exactly::<HASH_LEN>("PRK", bytes).map(|prk| Self(HmacKey::new(prk)))
    }

    /// HKDF-Expand (RFC 5869 §2.3) into all of `okm`, at most [`MAX_OKM_LEN`] bytes.
    ///
    /// # Errors
    /// [`InputError`] if `okm` is longer.
    pub fn expand(&self, info: &[&[u8]], okm: &mut [u8]) -> Result<(), InputError> {
        if okm.len() > MAX_OKM_LEN {
            return Err(InputError::TooLong { what: "HKDF output", limit: MAX_OKM_LEN, actual: okm.len() });
        }
        let mut block = [0; HASH_LEN];
        for (counter, out) in (1_u8..=255).zip(okm.chunks_mut(HASH_LEN)) {
            let mut inner = self.0.0.inner.clone();
            if counter > 1 {
                inner.update(&block);
            }
            for part in info {
                inner.update(part);
            }
            inner.update(&[counter]);
            block = inner.finish();
            let mut outer = self.0.0.outer.clone();
            outer.update(&block);
            block = outer.finish();
            out.copy_from_slice(&block[..out.len()]);
        }
        block.zeroize();
        Ok(())
    }

    /// `Expand(secret, label, context, n)` of the protocol: HKDF-Expand over the `HkdfLabel`
    /// structure of RFC 8446 §7.1. The prefix is a parameter so that TLS 1.3's own traces test it.
    ///
    /// # Panics
    /// If prefix and label or context exceed 255 bytes; labels are constants or checked before.
    pub(crate) fn expand_label(&self, prefix: &str, label: &str, context: &[u8], okm: &mut [u8]) {
        let okm_len = u16::try_from(okm.len()).expect("labelled outputs are short");
        let label_len = u8::try_from(prefix.len() + label.len()).expect("labels are short");
        let context_len = u8::try_from(context.len()).expect("contexts are hashes");
        let info = [
            &okm_len.to_be_bytes()[..],
            &[label_len],
            prefix.as_bytes(),
            label.as_bytes(),
            &[context_len],
            context,
        ];
        self.expand(&info, okm).expect("labelled outputs are short");
    }

    /// [`Prk::expand_label`] with this protocol's prefix, into a fresh secret.
    pub(crate) fn derive<const N: usize>(&self, label: &str, context: &[u8]) -> Secret<N> {
        Secret::new_with(|okm| self.expand_label(LABEL_PREFIX, label, context, okm))
    }
}

impl fmt::Debug for Prk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prk(..)")
    }
}
