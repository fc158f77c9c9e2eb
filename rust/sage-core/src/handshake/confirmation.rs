//! M3: what the responder still expects from the client, and how long.

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::ed25519::{SIGNATURE_LEN, VerifyingKey};
use crate::error::SessionError;

use super::transcript::{CONFIRM_CONTEXT, TranscriptHash};

/// Bytes of a confirmation by MAC.
pub const CONFIRMATION_LEN: usize = 32;
/// Bytes of a confirmation by MAC and signature.
pub const SIGNED_CONFIRMATION_LEN: usize = CONFIRMATION_LEN + SIGNATURE_LEN;

/// The one M3 that opens a half-open session.
pub(crate) struct Confirmation {
    pub(super) expected: [u8; CONFIRMATION_LEN],
    pub(super) th4: TranscriptHash,
    pub(super) client_key: VerifyingKey,
    pub(super) signature_required: bool,
    pub(super) until_ms: u64,
}

impl Confirmation {
    pub(crate) fn is_late(&self, now_ms: u64) -> bool {
        now_ms >= self.until_ms
    }

    /// True if a first record alone must not open the session.
    pub(crate) fn needs_signature(&self) -> bool {
        self.signature_required
    }

    pub(crate) fn check(&self, confirmation: &[u8], now_ms: u64) -> Result<(), SessionError> {
        let (mac, signature) = confirmation
            .split_first_chunk::<CONFIRMATION_LEN>()
            .filter(|(_, signature)| [0, SIGNATURE_LEN].contains(&signature.len()))
            .ok_or(SessionError::Malformed("confirmation must be 32 or 96 bytes long"))?;
        let mac_holds = bool::from(self.expected.ct_eq(mac));
        let signature_holds = match signature.try_into() {
            Ok(signature) => self.client_key.verify_handshake(CONFIRM_CONTEXT, &self.th4, signature),
            Err(_) => !self.signature_required,
        };
        if mac_holds && signature_holds && !self.is_late(now_ms) {
            Ok(())
        } else {
            Err(SessionError::AuthenticationFailed)
        }
    }
}

impl Drop for Confirmation {
    fn drop(&mut self) {
        self.expected.zeroize();
    }
}
