//! Record keys, one for each sending process: what a sender and a receiver keep for an incarnation.

use core::mem::MaybeUninit;

use zeroize::Zeroize;

use crate::aead::{AeadKey, NONCE_LEN, OpenError};
use crate::hkdf::Prk;
use crate::record::IncarnationId;
use crate::window::ReplayWindow;

/// `key ‖ iv = Expand(secret_dir_epoch, "record", incarnation, 44)`.
pub(crate) struct RecordKey {
    key: AeadKey,
    iv: [u8; NONCE_LEN],
}

impl RecordKey {
    pub(crate) fn derive(secret: &Prk, incarnation: &IncarnationId) -> Self {
        let okm = secret.derive::<44>("record", incarnation);
        let (key, iv) = okm.expose().split_first_chunk().expect("32 of 44 bytes");
        Self { key: AeadKey::new(key), iv: iv.try_into().expect("12 of 44 bytes") }
    }

    pub(crate) fn seal(&self, seq: u64, aad: [&[u8]; 2], plaintext: &[u8], out: &mut [MaybeUninit<u8>]) {
        self.key.seal(&self.nonce(seq), aad, plaintext, out);
    }

    pub(crate) fn open(
        &self,
        seq: u64,
        aad: [&[u8]; 2],
        sealed: &[u8],
        out: &mut [MaybeUninit<u8>],
    ) -> Result<(), OpenError> {
        self.key.open(&self.nonce(seq), aad, sealed, out)
    }

    /// `iv XOR (00000000 ‖ seq)`.
    fn nonce(&self, seq: u64) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        for (byte, mask) in nonce[4..].iter_mut().zip(seq.to_be_bytes()) {
            *byte ^= mask;
        }
        nonce
    }
}

impl Drop for RecordKey {
    fn drop(&mut self) {
        self.iv.zeroize();
    }
}

/// The sending side of this process for one epoch.
pub(crate) struct Sender {
    pub(crate) id: IncarnationId,
    /// `None` at rest.
    pub(crate) key: Option<Box<RecordKey>>,
    /// Records sealed so far, which is also the next sequence number.
    pub(crate) records: u64,
    /// Plaintext bytes sealed so far.
    pub(crate) bytes: u64,
}

/// What a receiver keeps for one sending process, from its first valid record on.
pub(crate) struct Receiver {
    pub(crate) id: IncarnationId,
    /// `None` at rest.
    pub(crate) key: Option<Box<RecordKey>>,
    pub(crate) window: ReplayWindow,
}
