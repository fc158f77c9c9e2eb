//! Ed25519 (RFC 8032) with one strict verdict.
//!
//! Signing is constant time in the key. Verification is variable time, on public data only, and
//! *strict*: canonical `S < ℓ`, canonical `A` and `R`, neither of small order, and the cofactorless
//! equation. That is the class of libsodium and of dalek's `verify_strict`; every path of this
//! crate gives the same verdict for the same bytes.

mod batch;
mod cache;
#[cfg(target_arch = "x86_64")]
mod expanded;
mod strict;
#[cfg(test)]
mod tests;

use core::fmt;
use core::hash::{Hash, Hasher};
use std::sync::Arc;

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::Scalar;

pub(crate) use self::batch::verify_handshakes;
pub use self::batch::{KeyRef, sign_many, sign_shares, verify_many};
pub use self::cache::{CacheStatistics, VerifyingKeyCache};

use crate::aws_lc;
use crate::curve25519::{self, Claim, KeyTable};
#[cfg(target_arch = "x86_64")]
use crate::curve25519::{ColdClaim, VectorUnit};
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

const NOT_A_POINT: InputError =
    InputError::Value { what: "Ed25519 verifying key", why: "is not a point of the curve" };

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
            verifying: VerifyingKey::plain(public),
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

    /// The same for each transcript.
    pub(crate) fn sign_handshakes(
        &self,
        context: &str,
        transcripts: &[[u8; 32]],
    ) -> Vec<[u8; SIGNATURE_LEN]> {
        let inputs: Vec<_> =
            transcripts.iter().map(|transcript| handshake_input(context, transcript)).collect();
        batch::sign_all(self, &inputs.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    fn sign_anything(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        #[cfg(target_arch = "x86_64")]
        if let Some(unit) = VectorUnit::available() {
            return self.expanded.sign(&unit, &self.verifying.bytes, message);
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
/// [`VerifyingKey::check`] answers at once, for registration. A key that is seen again and again may
/// be expanded: it is the same key, equal to itself without a table, and gives the same verdicts sooner.
#[derive(Clone)]
pub struct VerifyingKey {
    bytes: [u8; VERIFYING_KEY_LEN],
    table: Option<Arc<KeyTable>>,
}

impl VerifyingKey {
    /// Bytes that an expanded key holds beside its own 32; its clones share them.
    pub const TABLE_LEN: usize = KeyTable::LEN;

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
        Ok(Self::plain(*bytes))
    }

    fn plain(bytes: [u8; VERIFYING_KEY_LEN]) -> Self {
        Self { bytes, table: None }
    }

    /// The same key with a table of [`Self::TABLE_LEN`] bytes, which makes each verification several
    /// times cheaper. About 100 µs, so that it pays from the tenth signature on.
    ///
    /// # Errors
    /// [`InputError`] if the key is not a point of the curve.
    pub fn expand(&self) -> Result<Self, InputError> {
        if self.is_expanded() {
            return Ok(self.clone());
        }
        let table = KeyTable::new(&self.bytes).ok_or(NOT_A_POINT)?;
        Ok(Self { bytes: self.bytes, table: Some(Arc::new(table)) })
    }

    /// This key as it is best used for so many signatures at once: with a table of its own, if building
    /// one pays. A key that is not a point stays as it is.
    #[must_use]
    pub fn for_signatures(&self, count: usize) -> Self {
        /// A table costs as much as about ten verifications, and less on slower processors.
        const TABLE_PAYS_FROM: usize = 24;
        let expanded = if count < TABLE_PAYS_FROM { None } else { self.expand().ok() };
        expanded.unwrap_or_else(|| self.clone())
    }

    fn must_be_point(&self) -> Result<(), InputError> {
        let is_point = self.is_expanded() || curve25519::is_point(&self.bytes);
        if is_point { Ok(()) } else { Err(NOT_A_POINT) }
    }

    /// True if the key has a table.
    #[must_use]
    pub fn is_expanded(&self) -> bool {
        self.table.is_some()
    }

    /// Says whether the key is a point of the curve in the prime-order subgroup. About 60 µs; meant
    /// for registration and resolution, not for each signature.
    ///
    /// # Errors
    /// [`InputError`] says which of the two fails.
    pub fn check(&self) -> Result<(), InputError> {
        let refuse = |why| Err(InputError::Value { what: "Ed25519 verifying key", why });
        match CompressedEdwardsY(self.bytes).decompress() {
            None => Err(NOT_A_POINT),
            Some(point) if !point.is_torsion_free() => refuse("has a small-order component"),
            Some(_) => Ok(()),
        }
    }

    /// The strict verdict on one signature.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        if !strict::is_signature_form(signature) {
            return false;
        }
        match &self.table {
            Some(table) => curve25519::holds(&self.claim(table, message, signature)),
            None => self.equation_holds(message, signature),
        }
    }

    fn equation_holds(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        #[cfg(target_arch = "x86_64")]
        if let Some(unit) = VectorUnit::available() {
            let (r, s) = halves(signature);
            return unit.verifies(&self.bytes, r, s, &self.challenge(r, message));
        }
        aws_lc::ed25519_verify(&self.bytes, message, signature)
    }

    /// What is to be shown, from a signature of strict form.
    fn claim<'a>(
        &self,
        table: &'a KeyTable,
        message: &[u8],
        signature: &'a [u8; SIGNATURE_LEN],
    ) -> Claim<'a> {
        let (r, s) = halves(signature);
        Claim { table, r, s, k: self.challenge(r, message) }
    }

    /// The same for a key without a table.
    #[cfg(target_arch = "x86_64")]
    fn cold_claim<'a>(&'a self, message: &[u8], signature: &'a [u8; SIGNATURE_LEN]) -> ColdClaim<'a> {
        let (r, s) = halves(signature);
        ColdClaim { public: &self.bytes, r, s, k: self.challenge(r, message) }
    }

    /// H(R ‖ A ‖ M) modulo ℓ.
    fn challenge(&self, r: &[u8; 32], message: &[u8]) -> [u8; 32] {
        Scalar::from_bytes_mod_order_wide(&aws_lc::sha512(&[r, &self.bytes, message])).to_bytes()
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
        &self.bytes
    }

    /// The `did:key` that this key spells.
    #[must_use]
    pub fn did(&self) -> Did {
        Did::from_ed25519(&self.bytes)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.did())
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for VerifyingKey {}

impl Hash for VerifyingKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

/// `R` and `S`.
fn halves(signature: &[u8; SIGNATURE_LEN]) -> (&[u8; 32], &[u8; 32]) {
    let (r, s) = signature.split_first_chunk().expect("32 of 64 bytes");
    (r, s.try_into().expect("32 of 64 bytes"))
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
