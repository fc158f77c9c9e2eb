//! Ed25519 (RFC 8032) with one strict verdict.
//!
//! Signing is constant time in the key. Verification is variable time, on public data only, and
//! *strict*: canonical `S < ℓ`, canonical `A` and `R`, neither of small order, and the cofactorless
//! equation. That is the class of libsodium and of dalek's `verify_strict`; every path of this
//! crate gives the same verdict for the same bytes.

#[cfg(target_arch = "x86_64")]
mod expanded;
mod strict;

use core::fmt;

use curve25519_dalek::edwards::CompressedEdwardsY;
#[cfg(target_arch = "x86_64")]
use curve25519_dalek::scalar::Scalar;

use crate::aws_lc;
#[cfg(target_arch = "x86_64")]
use crate::curve25519::VectorUnit;
use crate::did::Did;
use crate::error::{InputError, exactly};
use crate::random::{RandomError, RandomSource};
use crate::secret::Secret;

/// Bytes of a seed, the only form in which a signing key travels.
pub const SEED_LEN: usize = 32;
/// Bytes of a verifying key.
pub const VERIFYING_KEY_LEN: usize = 32;
/// Bytes of a signature, `R ‖ S`.
pub const SIGNATURE_LEN: usize = 64;

/// What every handshake signature begins with, and no other signature by the same key may.
pub const HANDSHAKE_PAD: [u8; 64] = [0x20; 64];

/// An Ed25519 signing key, expanded once.
pub struct SigningKey {
    /// AWS-LC's form, `seed ‖ public`.
    private: Secret<64>,
    #[cfg(target_arch = "x86_64")]
    expanded: expanded::ExpandedKey,
    verifying: VerifyingKey,
}

impl SigningKey {
    /// Expands a seed (RFC 8032 §5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; SEED_LEN]) -> Self {
        let mut public = [0; 32];
        let private = Secret::new_with(|private| public = aws_lc::ed25519_expand(seed, private));
        Self {
            private,
            #[cfg(target_arch = "x86_64")]
            expanded: expanded::ExpandedKey::new(seed),
            verifying: VerifyingKey(public),
        }
    }

    /// Draws a new key.
    ///
    /// # Errors
    /// [`RandomError`] if the source fails.
    pub fn generate(random: &mut dyn RandomSource) -> Result<Self, RandomError> {
        Secret::draw(random).map(|seed| Self::from_seed(seed.expose()))
    }

    /// The seed, for export.
    #[must_use]
    pub fn seed(&self) -> Secret<SEED_LEN> {
        Secret::new_with(|seed| seed.copy_from_slice(&self.private.expose()[..SEED_LEN]))
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// Signs a message of any length.
    ///
    /// # Errors
    /// [`InputError`] if the message begins with [`HANDSHAKE_PAD`]: such a signature could pass for
    /// a handshake, and whoever chooses the message must not get one.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LEN], InputError> {
        refuse_pad(message)?;
        Ok(self.sign_anything(message))
    }

    /// Signs `PAD ‖ context ‖ 00 ‖ transcript`, the only door to signatures that begin with `PAD`.
    pub(crate) fn sign_handshake(&self, context: &str, transcript: &[u8; 32]) -> [u8; SIGNATURE_LEN] {
        self.sign_anything(&handshake_input(context, transcript))
    }

    fn sign_anything(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        #[cfg(target_arch = "x86_64")]
        if let Some(unit) = VectorUnit::available() {
            return self.expanded.sign(&unit, &self.verifying.0, message);
        }
        aws_lc::ed25519_sign(self.private.expose(), message)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifying.did())
    }
}

/// An Ed25519 public key whose encoding is canonical and whose order is not small.
///
/// Whether the bytes are a point of the curve shows at the first verification, which then fails;
/// [`VerifyingKey::check`] answers at once, for registration.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifyingKey([u8; VERIFYING_KEY_LEN]);

impl VerifyingKey {
    /// Checks length, canonical encoding and small order. About 5 ns.
    ///
    /// # Errors
    /// [`InputError`] names the rule.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InputError> {
        let bytes: &[u8; 32] = exactly("Ed25519 verifying key", bytes)?;
        let refuse = |why| Err(InputError::Value { what: "Ed25519 verifying key", why });
        if !strict::is_canonical_point(bytes) {
            return refuse("is not canonically encoded (RFC 8032 §5.1.3 needs y < 2^255 − 19)");
        }
        if strict::is_small_order(bytes) {
            return refuse("has small order: signatures under it prove nothing");
        }
        Ok(Self(*bytes))
    }

    /// Says whether the key is a point of the curve in the prime-order subgroup. About 60 µs; meant
    /// for registration and resolution, not for each signature.
    ///
    /// # Errors
    /// [`InputError`] says which of the two fails.
    pub fn check(&self) -> Result<(), InputError> {
        let refuse = |why| Err(InputError::Value { what: "Ed25519 verifying key", why });
        match CompressedEdwardsY(self.0).decompress() {
            None => refuse("is not a point of the curve"),
            Some(point) if !point.is_torsion_free() => refuse("has a small-order component"),
            Some(_) => Ok(()),
        }
    }

    /// The strict verdict on one signature.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        strict::is_signature_form(signature) && self.equation_holds(message, signature)
    }

    fn equation_holds(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        #[cfg(target_arch = "x86_64")]
        if let Some(unit) = VectorUnit::available() {
            let (r, s) = signature.split_first_chunk().expect("32 of 64 bytes");
            let s = s.try_into().expect("32 of 64 bytes");
            let k = Scalar::from_bytes_mod_order_wide(&aws_lc::sha512(&[r, &self.0, message]));
            return unit.verifies(&self.0, r, s, k.as_bytes());
        }
        aws_lc::ed25519_verify(&self.0, message, signature)
    }

    /// The strict verdict on a handshake signature.
    pub(crate) fn verify_handshake(
        &self,
        context: &str,
        transcript: &[u8; 32],
        signature: &[u8; SIGNATURE_LEN],
    ) -> bool {
        self.verify(&handshake_input(context, transcript), signature)
    }

    /// The encoded point.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; VERIFYING_KEY_LEN] {
        &self.0
    }

    /// The `did:key` that this key spells.
    #[must_use]
    pub fn did(&self) -> Did {
        Did::from_ed25519(&self.0)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.did())
    }
}

fn refuse_pad(message: &[u8]) -> Result<(), InputError> {
    if message.starts_with(&HANDSHAKE_PAD) {
        return Err(InputError::Value {
            what: "message",
            why: "must not begin with 64 spaces, the mark of handshake signatures",
        });
    }
    Ok(())
}

fn handshake_input(context: &str, transcript: &[u8; 32]) -> Vec<u8> {
    [&HANDSHAKE_PAD[..], context.as_bytes(), &[0], transcript].concat()
}

/// Signs each message. `R ‖ S` in the order of the messages.
///
/// # Errors
/// As [`SigningKey::sign`]; nothing is signed unless everything may be.
pub fn sign_many(key: &SigningKey, messages: &[&[u8]]) -> Result<Vec<[u8; SIGNATURE_LEN]>, InputError> {
    messages.iter().try_for_each(|message| refuse_pad(message))?;
    #[cfg(target_arch = "x86_64")]
    if let Some(unit) = VectorUnit::available() {
        return Ok(key.expanded.sign_many(&unit, &key.verifying.0, messages));
    }
    Ok(messages.iter().map(|message| key.sign_anything(message)).collect())
}

/// The strict verdict on each signature, by itself: a bad one costs and changes nothing for its
/// neighbours. Keys and signatures of wrong length or form get `false`, as in [`VerifyingKey::verify`].
///
/// # Panics
/// If the three slices differ in length.
#[must_use]
pub fn verify_many(keys: &[&[u8]], signatures: &[&[u8]], messages: &[&[u8]]) -> Vec<bool> {
    assert!(keys.len() == signatures.len() && keys.len() == messages.len());
    let verdict = |((key, signature), message): ((&&[u8], &&[u8]), &&[u8])| {
        let Ok(key) = VerifyingKey::from_bytes(key) else { return false };
        (*signature).try_into().is_ok_and(|signature| key.verify(message, signature))
    };
    keys.iter().zip(signatures).zip(messages).map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The kernels, the batch and AWS-LC write the same signatures, and dalek agrees with them.
        #[test]
        fn every_way_to_sign_gives_the_same_bytes(
            seed: [u8; 32],
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..70),
        ) {
            let key = SigningKey::from_seed(&seed);
            let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
            let batch = sign_many(&key, &messages).expect("no message is a handshake");
            for (message, signature) in messages.iter().zip(&batch) {
                prop_assert_eq!(&key.sign(message).expect("as above"), signature);
                prop_assert_eq!(&aws_lc::ed25519_sign(key.private.expose(), message), signature);
                prop_assert!(key.verifying_key().verify(message, signature));
                let dalek = ed25519_dalek::VerifyingKey::from_bytes(key.verifying_key().as_bytes()).expect("a point");
                prop_assert!(dalek.verify_strict(message, &(*signature).into()).is_ok());
            }
        }
    }
}
