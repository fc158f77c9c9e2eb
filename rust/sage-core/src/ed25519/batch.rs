//! Many signatures in one call.
//!
//! Every signature gets its own verdict from its own equation: what is shared is work that decides
//! nothing, such as an inversion and the lanes of a vector. There is no random linear combination, so
//! a batch says what single verification says, and a bad signature costs and changes nothing for its
//! neighbours.

use super::{
    SIGNATURE_LEN, SigningKey, VERIFYING_KEY_LEN, VerifyingKey, handshake_input, refuse_pad, strict,
};
use crate::curve25519;
#[cfg(target_arch = "x86_64")]
use crate::curve25519::{BaseLanes, ColdClaim, ColdLanes};
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

/// In lanes, where there are any and as far as they pay; the rest one by one. In a frame of its own, which is gone
/// when the caller cleans up.
#[inline(never)]
pub(super) fn sign_all(key: &SigningKey, messages: &[&[u8]]) -> Vec<[u8; SIGNATURE_LEN]> {
    let mut signatures = Vec::new();
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = BaseLanes::taken() {
        let in_lanes = &messages[..lanes.worthwhile_count(messages.len())];
        signatures = key.expanded.sign_many(lanes, &key.verifying.bytes, in_lanes);
    }
    let rest = &messages[signatures.len()..];
    signatures.extend(rest.iter().map(|message| key.sign_anything(message)));
    signatures
}

/// The strict verdict on each signature, by itself. Keys and signatures of wrong length or form get
/// `false`, as in [`VerifyingKey::verify`]. Those of expanded keys are worked on side by side, and so are those of
/// other keys where this processor has lanes for them.
///
/// # Panics
/// If the three slices differ in length.
#[must_use]
pub fn verify_many(keys: &[KeyRef<'_>], signatures: &[&[u8]], messages: &[&[u8]]) -> Vec<bool> {
    assert!(keys.len() == signatures.len() && keys.len() == messages.len());
    let mut verdicts = vec![false; keys.len()];
    let (mut places, mut claims, mut cold) = (Vec::new(), Vec::new(), Vec::new());
    for (place, ((key, signature), message)) in keys.iter().zip(signatures).zip(messages).enumerate() {
        let Ok(signature) = (*signature).try_into() else { continue };
        if !strict::is_signature_form(signature) {
            continue;
        }
        match key {
            KeyRef::Checked(known @ VerifyingKey { table: Some(table), .. }) => {
                places.push(place);
                claims.push(known.claim(table, message, signature));
            }
            KeyRef::Checked(key) => cold.push(Cold { place, key: (*key).clone(), signature, message }),
            KeyRef::Raw(bytes) => {
                if let Ok(key) = VerifyingKey::from_bytes(bytes) {
                    cold.push(Cold { place, key, signature, message });
                }
            }
        }
    }
    for (place, valid) in places.into_iter().zip(curve25519::hold(&claims)) {
        verdicts[place] = valid;
    }
    for (one, valid) in cold.iter().zip(cold_verdicts(&cold)) {
        verdicts[one.place] = valid;
    }
    verdicts
}

/// [`VerifyingKey::verify_handshake`] for many: key, transcript and signature of each.
pub(crate) fn verify_handshakes(
    context: &str,
    claims: &[(&VerifyingKey, &[u8; 32], &[u8; SIGNATURE_LEN])],
) -> Vec<bool> {
    let inputs: Vec<_> =
        claims.iter().map(|(_, transcript, _)| handshake_input(context, transcript)).collect();
    let messages: Vec<_> = inputs.iter().map(Vec::as_slice).collect();
    let keys: Vec<_> = claims.iter().map(|(key, ..)| KeyRef::Checked(key)).collect();
    let signatures: Vec<_> = claims.iter().map(|(.., signature)| signature.as_slice()).collect();
    verify_many(&keys, &signatures, &messages)
}

/// A signature of strict form, of a key without a table.
struct Cold<'a> {
    place: usize,
    key: VerifyingKey,
    signature: &'a [u8; SIGNATURE_LEN],
    message: &'a [u8],
}

/// In lanes, where there are any and as far as they pay; the rest one by one.
fn cold_verdicts(cold: &[Cold<'_>]) -> Vec<bool> {
    let mut verdicts = Vec::new();
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = ColdLanes::taken() {
        let in_lanes = &cold[..ColdLanes::worthwhile_count(cold.len())];
        verdicts = lanes.hold(&in_lanes.iter().map(Cold::claim).collect::<Vec<_>>());
    }
    let rest = &cold[verdicts.len()..];
    verdicts.extend(rest.iter().map(|one| one.key.verify(one.message, one.signature)));
    verdicts
}

#[cfg(target_arch = "x86_64")]
impl Cold<'_> {
    fn claim(&self) -> ColdClaim<'_> {
        self.key.cold_claim(self.message, self.signature)
    }
}
