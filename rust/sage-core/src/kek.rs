//! Key-encryption keys: AES-256-GCM-SIV (RFC 8452) for secrets at rest.
//!
//! A store may be copied, rolled back and written by several machines at once, so nonces drawn at
//! random may, one day, repeat. GCM-SIV then gives away only that two plaintexts were equal.

use core::fmt;
use core::mem::MaybeUninit;

use crate::aws_lc::{AeadAlgorithm, AeadContext};
use crate::error::InputError;
use crate::random::{RandomError, RandomSource, draw};

const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// The longest id of a key-encryption key, in bytes.
pub const MAX_KEK_ID_LEN: usize = 64;
/// By how much sealing grows a plaintext: nonce and tag.
pub const OVERHEAD: usize = NONCE_LEN + TAG_LEN;

/// A key-encryption key with the id under which stores name it.
pub struct KeyEncryptionKey {
    id: Box<str>,
    context: AeadContext,
}

impl KeyEncryptionKey {
    /// Expands a key. `id` is 1 to 64 printable ASCII characters without spaces.
    ///
    /// # Errors
    /// [`InputError`] if the id is not of that form.
    pub fn new(id: &str, key: &[u8; 32]) -> Result<Self, InputError> {
        let fits = (1..=MAX_KEK_ID_LEN).contains(&id.len());
        if !fits || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InputError::Value {
                what: "KEK id",
                why: "must be 1 to 64 printable ASCII characters without spaces",
            });
        }
        Ok(Self { id: id.into(), context: AeadContext::new(AeadAlgorithm::Aes256GcmSiv, key) })
    }

    /// The id under which stores name this key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `nonce(12) ‖ ciphertext ‖ tag(16)`.
    ///
    /// # Errors
    /// [`RandomError`] if no nonce can be drawn.
    pub fn seal(
        &self,
        aad: &[u8],
        plaintext: &[u8],
        random: &mut dyn RandomSource,
    ) -> Result<Vec<u8>, RandomError> {
        let nonce: [u8; NONCE_LEN] = draw(random)?;
        let mut sealed = vec![0; NONCE_LEN + plaintext.len()];
        let (head, body) = sealed.split_at_mut(NONCE_LEN);
        head.copy_from_slice(&nonce);
        let tag = self.context.seal(&nonce, aad, plaintext, as_uninit(body));
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens the result of [`KeyEncryptionKey::seal`] into `plaintext`, which is [`OVERHEAD`]
    /// shorter. False, and zeros in `plaintext`, if key, data or associated data are others.
    #[must_use]
    pub fn open(&self, aad: &[u8], sealed: &[u8], plaintext: &mut [u8]) -> bool {
        let Some((nonce, rest)) = sealed.split_first_chunk::<NONCE_LEN>() else { return false };
        let Some((ciphertext, tag)) = rest.split_last_chunk::<TAG_LEN>() else { return false };
        ciphertext.len() == plaintext.len()
            && self.context.open(nonce, aad, ciphertext, tag, as_uninit(plaintext))
    }
}

impl fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyEncryptionKey({})", self.id)
    }
}

/// Sees initialised bytes as a place to write. Sound only towards writers that leave every byte
/// initialised, as the AEAD does.
#[allow(unsafe_code)]
fn as_uninit(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: same layout; both callers above write whole bytes or none at all.
    unsafe { &mut *(core::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) }
}
