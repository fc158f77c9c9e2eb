//! Signing from a kept expanded key, where a kernel multiplies the base point.
//!
//! RFC 8032 §5.1.6 hashes the seed for every signature; here its two halves are kept. The rest is
//! the RFC's own: `r = H(prefix ‖ M)`, `R = [r]B`, `S = r + H(R ‖ A ‖ M) · s` modulo ℓ. Scalars are
//! curve25519-dalek's, constant time; `R` comes from `curve25519`. Signatures are the same bytes as
//! AWS-LC's, since Ed25519 leaves no choice.

use curve25519_dalek::scalar::Scalar;
use zeroize::{Zeroize, Zeroizing};

use crate::aws_lc::sha512;
use crate::curve25519::{BaseLanes, VectorUnit};
use crate::secret::Secret;

use super::SIGNATURE_LEN;

/// `s` clamped and the prefix, the two halves of the hashed seed.
pub(super) struct ExpandedKey {
    halves: Secret<64>,
}

impl ExpandedKey {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        let halves = Secret::new_with(|halves| {
            let mut digest = sha512(&[seed]);
            halves.copy_from_slice(&digest);
            digest.zeroize();
            halves[0] &= 248;
            halves[31] = (halves[31] & 127) | 64;
        });
        Self { halves }
    }

    pub(super) fn sign(&self, unit: &VectorUnit, public: &[u8; 32], message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let nonce = self.nonce(message);
        let r = unit.base_multiple(nonce.as_bytes());
        self.answer(&r, &nonce, public, message)
    }

    /// As [`ExpandedKey::sign`], with the multiplications of all messages in lanes.
    pub(super) fn sign_many(
        &self,
        lanes: BaseLanes,
        public: &[u8; 32],
        messages: &[&[u8]],
    ) -> Vec<[u8; SIGNATURE_LEN]> {
        let nonces: Zeroizing<Vec<[u8; 32]>> =
            Zeroizing::new(messages.iter().map(|message| self.nonce(message).to_bytes()).collect());
        let points = lanes.multiples(&nonces);
        let answer = |((r, nonce), message): ((&[u8; 32], &[u8; 32]), &&[u8])| {
            let nonce = Zeroizing::new(Scalar::from_bytes_mod_order(*nonce));
            self.answer(r, &nonce, public, message)
        };
        points.iter().zip(nonces.iter()).zip(messages).map(answer).collect()
    }

    fn nonce(&self, message: &[u8]) -> Zeroizing<Scalar> {
        let mut digest = sha512(&[&self.halves.expose()[32..], message]);
        let nonce = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&digest));
        digest.zeroize();
        nonce
    }

    fn answer(&self, r: &[u8; 32], nonce: &Scalar, public: &[u8; 32], message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let challenge = Scalar::from_bytes_mod_order_wide(&sha512(&[r, public, message]));
        let mut secret = *self.halves.expose().first_chunk().expect("32 of 64 bytes");
        let scalar = Zeroizing::new(Scalar::from_bytes_mod_order(secret));
        secret.zeroize();
        let mut signature = [0; SIGNATURE_LEN];
        signature[..32].copy_from_slice(r);
        signature[32..].copy_from_slice((challenge * *scalar + nonce).as_bytes());
        signature
    }
}
