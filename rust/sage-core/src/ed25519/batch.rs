//! Many signatures in one call.
//!
//! Every signature gets its own verdict from its own equation: what is shared is work that decides
//! nothing, such as an inversion and the lanes of a vector. There is no random linear combination, so
//! a batch says what single verification says, and a bad signature costs and changes nothing for its
//! neighbours.

use super::{SIGNATURE_LEN, SigningKey, VERIFYING_KEY_LEN, VerifyingKey, refuse_pad, strict};
#[cfg(target_arch = "x86_64")]
use crate::curve25519::VectorUnit;
use crate::curve25519::{self, Claim};
use crate::error::InputError;
use crate::shares::Shares;

/// A key of a batch.
#[derive(Clone, Copy, Debug)]
pub enum KeyRef<'a> {
    /// As it came; it gets `false` if [`VerifyingKey::from_bytes`] refuses it.
    Raw(&'a [u8]),
    /// Strictly checked before, perhaps expanded.
    Checked(&'a VerifyingKey),
}

impl<'a> KeyRef<'a> {
    /// The encoded point, if there are 32 bytes.
    pub(super) fn bytes(&self) -> Option<&'a [u8; VERIFYING_KEY_LEN]> {
        match self {
            Self::Raw(bytes) => (*bytes).try_into().ok(),
            Self::Checked(key) => Some(&key.bytes),
        }
    }
}

/// Signs each message. `R ‖ S` in the order of the messages.
///
/// # Errors
/// As [`SigningKey::sign`]; nothing is signed unless everything may be.
pub fn sign_many(key: &SigningKey, messages: &[&[u8]]) -> Result<Vec<[u8; SIGNATURE_LEN]>, InputError> {
    messages.iter().try_for_each(|message| refuse_pad(message))?;
    Ok(sign_all(key, messages))
}

/// As [`sign_many`], in shares. `leave` is what each thread does after its last use of the key.
///
/// # Errors
/// As [`sign_many`].
///
/// # Panics
/// If the shares are those of a longer batch.
pub fn sign_shares(
    key: &SigningKey,
    messages: &[&[u8]],
    shares: &Shares,
    leave: impl Fn() + Sync,
) -> Result<Vec<[u8; SIGNATURE_LEN]>, InputError> {
    messages.iter().try_for_each(|message| refuse_pad(message))?;
    Ok(shares.run(|share| {
        let signatures = sign_all(key, &messages[share]);
        leave();
        signatures
    }))
}

/// In a frame of its own, which is gone when the caller cleans up.
#[inline(never)]
fn sign_all(key: &SigningKey, messages: &[&[u8]]) -> Vec<[u8; SIGNATURE_LEN]> {
    #[cfg(target_arch = "x86_64")]
    if let Some(unit) = VectorUnit::available() {
        return key.expanded.sign_many(&unit, &key.verifying.bytes, messages);
    }
    messages.iter().map(|message| key.sign_anything(message)).collect()
}

/// The strict verdict on each signature, by itself. Keys and signatures of wrong length or form get
/// `false`, as in [`VerifyingKey::verify`]. Those of expanded keys are worked on side by side.
///
/// # Panics
/// If the three slices differ in length.
#[must_use]
pub fn verify_many(keys: &[KeyRef<'_>], signatures: &[&[u8]], messages: &[&[u8]]) -> Vec<bool> {
    assert!(keys.len() == signatures.len() && keys.len() == messages.len());
    let mut verdicts = vec![false; keys.len()];
    let (mut places, mut claims) = (Vec::new(), Vec::new());
    for (place, ((key, signature), message)) in keys.iter().zip(signatures).zip(messages).enumerate() {
        let Ok(signature) = (*signature).try_into() else { continue };
        match first_verdict(key, signature, message) {
            Verdict::Is(valid) => verdicts[place] = valid,
            Verdict::Claims(claim) => {
                places.push(place);
                claims.push(claim);
            }
        }
    }
    for (place, valid) in places.into_iter().zip(curve25519::hold(&claims)) {
        verdicts[place] = valid;
    }
    verdicts
}

enum Verdict<'a> {
    Is(bool),
    /// For [`curve25519::hold`] to decide.
    Claims(Claim<'a>),
}

fn first_verdict<'a>(key: &KeyRef<'a>, signature: &'a [u8; SIGNATURE_LEN], message: &[u8]) -> Verdict<'a> {
    match key {
        KeyRef::Raw(bytes) => {
            Verdict::Is(VerifyingKey::from_bytes(bytes).is_ok_and(|key| key.verify(message, signature)))
        }
        KeyRef::Checked(key) => match &key.table {
            Some(table) if strict::is_signature_form(signature) => {
                Verdict::Claims(key.claim(table, message, signature))
            }
            _ => Verdict::Is(key.verify(message, signature)),
        },
    }
}
