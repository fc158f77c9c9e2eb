//! The only door to AWS-LC's C functions.
//!
//! `aws-lc-rs` wraps the same functions, but reaches signatures and agreement through EVP objects
//! (0.7 µs a call), cannot seal from one buffer into another, and has no SHA-256 state that can be
//! copied (see `docs/adr/0002-one-door-to-aws-lc.md`). Each function below turns slices of checked
//! length into one C call; nothing else in the crate names `aws_lc_sys`.
//!
//! Every `unsafe` block here relies on the same facts: pointers come from references that outlive
//! the call, lengths are passed beside them or fixed by array types, the C side keeps no pointer,
//! and output is written in full whenever success is reported.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

/// A running SHA-256. Cloning copies the 112-byte state, which is what makes kept HMAC pads cheap.
pub(crate) struct Sha256 {
    state: aws_lc_sys::SHA256_CTX,
}

impl Sha256 {
    pub(crate) fn new() -> Self {
        let mut state = MaybeUninit::uninit();
        // SAFETY: Init writes the whole structure and cannot fail.
        let state = unsafe {
            aws_lc_sys::SHA256_Init(state.as_mut_ptr());
            state.assume_init()
        };
        Self { state }
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        // SAFETY: `state` is initialised; `data` is a live slice.
        unsafe {
            aws_lc_sys::SHA256_Update(&raw mut self.state, data.as_ptr().cast(), data.len());
        }
    }

    /// The digest. Takes the state where it stands: moving it would leave a copy behind.
    pub(crate) fn finish(&mut self) -> [u8; 32] {
        let mut digest = [0; 32];
        // SAFETY: `digest` has the 32 bytes that Final writes.
        unsafe {
            aws_lc_sys::SHA256_Final(digest.as_mut_ptr(), &raw mut self.state);
        }
        digest
    }
}

impl Clone for Sha256 {
    fn clone(&self) -> Self {
        Self { state: self.state }
    }
}

impl Drop for Sha256 {
    fn drop(&mut self) {
        // A state may have absorbed a key, so it is erased like one.
        // SAFETY: the structure is plain integers; all-zero bytes are a valid value of it.
        unsafe {
            aws_lc_sys::OPENSSL_cleanse((&raw mut self.state).cast(), size_of_val(&self.state));
        }
    }
}

/// AES-128, one block at a time. The key is none that is worth erasing: it stands in the table that it
/// belongs to.
pub(crate) struct Aes128 {
    key: aws_lc_sys::AES_KEY,
}

impl Aes128 {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        let mut expanded = MaybeUninit::zeroed();
        // SAFETY: the key has the 128 bits that are said; for them the call cannot fail, and it writes
        // what encryption reads of the structure. All of it is plain integers, zeroed before.
        let key = unsafe {
            aws_lc_sys::AES_set_encrypt_key(key.as_ptr(), 128, expanded.as_mut_ptr());
            expanded.assume_init()
        };
        Self { key }
    }

    pub(crate) fn encrypt(&self, block: &[u8; 16]) -> [u8; 16] {
        let mut encrypted = [0; 16];
        // SAFETY: both blocks have 16 bytes; the key is expanded.
        unsafe { aws_lc_sys::AES_encrypt(block.as_ptr(), encrypted.as_mut_ptr(), &raw const self.key) };
        encrypted
    }
}

/// SHA-256 over the concatenation of `parts`.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finish()
}

/// SHA-512 over the concatenation of `parts`; the state is erased, since Ed25519 hashes secrets.
pub(crate) fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    let mut state = MaybeUninit::<aws_lc_sys::SHA512_CTX>::uninit();
    let mut digest = [0; 64];
    // SAFETY: Init writes the whole structure before Update and Final use it; `digest` has the 64
    // bytes that Final writes; the cleanse covers exactly the structure.
    unsafe {
        aws_lc_sys::SHA512_Init(state.as_mut_ptr());
        for part in parts {
            aws_lc_sys::SHA512_Update(state.as_mut_ptr(), part.as_ptr().cast(), part.len());
        }
        aws_lc_sys::SHA512_Final(digest.as_mut_ptr(), state.as_mut_ptr());
        aws_lc_sys::OPENSSL_cleanse(state.as_mut_ptr().cast(), size_of_val(&state));
    }
    digest
}

/// Expands `seed` (RFC 8032 §5.1.5) into AWS-LC's 64-byte private key, `seed ‖ public`.
pub(crate) fn ed25519_expand(seed: &[u8; 32], private: &mut [u8; 64]) -> [u8; 32] {
    let mut public = [0; 32];
    // SAFETY: the three arrays have the lengths that the C function documents.
    unsafe {
        aws_lc_sys::ED25519_keypair_from_seed(public.as_mut_ptr(), private.as_mut_ptr(), seed.as_ptr());
    }
    public
}

/// Signs with a key from [`ed25519_expand`]. Constant time in the key.
pub(crate) fn ed25519_sign(private: &[u8; 64], message: &[u8]) -> [u8; 64] {
    let mut signature = [0; 64];
    // SAFETY: fixed-length arrays and a live slice.
    let done = unsafe {
        aws_lc_sys::ED25519_sign(signature.as_mut_ptr(), message.as_ptr(), message.len(), private.as_ptr())
    };
    // It fails only if the allocator does, and an unsigned answer must never leave.
    assert_eq!(done, 1, "Ed25519 signing failed inside AWS-LC");
    signature
}

/// The cofactorless equation of RFC 8032 §5.1.7, variable time on public data. Strictness about
/// encodings is the caller's (`ed25519::strict`).
pub(crate) fn ed25519_verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    // SAFETY: fixed-length arrays and a live slice.
    unsafe {
        aws_lc_sys::ED25519_verify(message.as_ptr(), message.len(), signature.as_ptr(), public.as_ptr()) == 1
    }
}

/// X25519 (RFC 7748 §5). `None` when the shared secret is all zero, that is, when the peer's share
/// has small order. Constant time.
pub(crate) fn x25519(secret: &[u8; 32], peer: &[u8; 32], shared: &mut [u8; 32]) -> bool {
    // SAFETY: fixed-length arrays.
    unsafe { aws_lc_sys::X25519(shared.as_mut_ptr(), secret.as_ptr(), peer.as_ptr()) == 1 }
}

/// The public share of an X25519 secret. Constant time.
pub(crate) fn x25519_public(secret: &[u8; 32]) -> [u8; 32] {
    let mut public = [0; 32];
    // SAFETY: fixed-length arrays.
    unsafe { aws_lc_sys::X25519_public_from_private(public.as_mut_ptr(), secret.as_ptr()) }
    public
}

/// Which AEAD an [`AeadContext`] runs.
#[derive(Clone, Copy)]
pub(crate) enum AeadAlgorithm {
    Aes256Gcm,
    Aes256GcmSiv,
}

/// A keyed AEAD with a 12-byte nonce and a 16-byte tag. It lives on AWS-LC's heap, which is
/// cleansed when freed.
pub(crate) struct AeadContext(NonNull<aws_lc_sys::EVP_AEAD_CTX>);

// SAFETY: sealing and opening take the context by const pointer and AWS-LC documents that they may
// run concurrently; only Drop changes it, and Drop has it alone.
unsafe impl Send for AeadContext {}
// SAFETY: as above.
unsafe impl Sync for AeadContext {}

impl AeadContext {
    pub(crate) fn new(algorithm: AeadAlgorithm, key: &[u8; 32]) -> Self {
        // SAFETY: the algorithm tables are static; the key has the 32 bytes that both demand.
        let context = unsafe {
            let algorithm = match algorithm {
                AeadAlgorithm::Aes256Gcm => aws_lc_sys::EVP_aead_aes_256_gcm(),
                AeadAlgorithm::Aes256GcmSiv => aws_lc_sys::EVP_aead_aes_256_gcm_siv(),
            };
            aws_lc_sys::EVP_AEAD_CTX_new(algorithm, key.as_ptr(), key.len(), 16)
        };
        Self(NonNull::new(context).expect("out of memory for an AEAD context"))
    }

    /// Seals `plaintext` into `ciphertext`, which has the same length, and returns the tag.
    pub(crate) fn seal(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        plaintext: &[u8],
        ciphertext: &mut [MaybeUninit<u8>],
    ) -> [u8; 16] {
        assert_eq!(plaintext.len(), ciphertext.len());
        let mut tag = [0; 16];
        let mut tag_len = 0;
        // SAFETY: `ciphertext` has as many bytes as `plaintext`, does not overlap it (it is
        // borrowed mutably), and is written in full on success; the tag fits 16 bytes.
        let done = unsafe {
            aws_lc_sys::EVP_AEAD_CTX_seal_scatter(
                self.0.as_ptr(),
                ciphertext.as_mut_ptr().cast(),
                tag.as_mut_ptr(),
                &raw mut tag_len,
                tag.len(),
                nonce.as_ptr(),
                nonce.len(),
                plaintext.as_ptr(),
                plaintext.len(),
                ptr::null(),
                0,
                aad.as_ptr(),
                aad.len(),
            )
        };
        // It fails only beyond 2^36 bytes, which callers rule out.
        assert!(done == 1 && tag_len == 16, "AEAD sealing failed inside AWS-LC");
        tag
    }

    /// Opens `ciphertext` into `plaintext`, which has the same length. When it returns false,
    /// `plaintext` holds zeros.
    #[must_use]
    pub(crate) fn open(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; 16],
        plaintext: &mut [MaybeUninit<u8>],
    ) -> bool {
        assert_eq!(plaintext.len(), ciphertext.len());
        // SAFETY: as for `seal`. AWS-LC writes all of `plaintext`, zeros where the tag is wrong.
        unsafe {
            aws_lc_sys::EVP_AEAD_CTX_open_gather(
                self.0.as_ptr(),
                plaintext.as_mut_ptr().cast(),
                nonce.as_ptr(),
                nonce.len(),
                ciphertext.as_ptr(),
                ciphertext.len(),
                tag.as_ptr(),
                tag.len(),
                aad.as_ptr(),
                aad.len(),
            ) == 1
        }
    }
}

impl Drop for AeadContext {
    fn drop(&mut self) {
        // SAFETY: the pointer came from EVP_AEAD_CTX_new and is freed once.
        unsafe { aws_lc_sys::EVP_AEAD_CTX_free(self.0.as_ptr()) }
    }
}
