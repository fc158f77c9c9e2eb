//! Many handshakes answered at once.
//!
//! Each request gets what it would get alone: the steps are those of [`Request`], each done for all before the next.
//! What is shared is work that decides nothing, such as the lanes of a vector and an inversion.

use crate::ed25519::{SigningKey, VerifyingKey, verify_handshakes};
use crate::error::HandshakeError;
use crate::random::{Drawn, RandomSource, draw};
use crate::record::SessionId;
use crate::secret::Secret;
use crate::x25519::{EphemeralSecret, KEY_LEN, exchange_many};

use super::request::{Accepted, Grant, Request, Stage, refused_share};
use super::transcript::{ACCEPT_CONTEXT, INITIATE_CONTEXT};

/// A session id and a server's nonce, 48 bytes.
type Names = (SessionId, [u8; 32]);

/// [`Request::authenticate`] for many: true where it would have returned, with the keys that each one's DID
/// resolved to.
///
/// # Errors
/// `OutOfOrder` if one was authenticated before; nothing is done then.
///
/// # Panics
/// If the lengths differ.
pub fn authenticate_many(
    requests: &mut [&mut Request],
    listed: &[Vec<VerifyingKey>],
) -> Result<Vec<bool>, HandshakeError> {
    assert_eq!(requests.len(), listed.len(), "keys for each request");
    requests.iter().try_for_each(|request| request.check_authenticate())?;
    let (mut places, mut claims) = (Vec::new(), Vec::new());
    for (place, (request, listed)) in requests.iter().zip(listed).enumerate() {
        if let Some(key) = request.key_that_counts(Some(listed)) {
            places.push(place);
            claims.push((key, &request.th1, &request.signature));
        }
    }
    let mut verdicts = vec![false; requests.len()];
    for (place, valid) in places.into_iter().zip(verify_handshakes(INITIATE_CONTEXT, &claims)) {
        verdicts[place] = valid;
    }
    for (request, _) in requests.iter_mut().zip(&verdicts).filter(|(_, valid)| **valid) {
        request.stage = Stage::Authenticated;
    }
    Ok(verdicts)
}

/// [`Request::accept`] for many of one responder, in their order: what it would have returned, if it had drawn the same
/// bytes. They are drawn at once, and handed out request by request in the order in which many calls would draw them.
///
/// # Errors
/// As [`Request::accept`] for the first request that is not ready; nothing is done then. A key share of small order is
/// a result of its request alone.
#[inline(never)] // in a frame of its own, which is gone when the caller cleans up
pub fn accept_many(
    requests: &mut [&mut Request],
    signing_key: &SigningKey,
    lifetime_ms: u64,
    idle_timeout_s: u32,
    now_ms: u64,
    random: &mut dyn RandomSource,
) -> Result<Vec<Result<Accepted, HandshakeError>>, HandshakeError> {
    let grant = Grant { lifetime_ms, idle_timeout_s, now_ms };
    requests.iter().try_for_each(|request| request.check_accept(signing_key, &grant))?;
    let mut drawn = Drawn::new(requests.len() * (KEY_LEN + size_of::<Names>()), random)?;
    let (mut secrets, mut names) = (Vec::new(), Vec::<Names>::new());
    for _ in 0..requests.len() {
        secrets.push(Secret::draw(&mut drawn)?);
        names.push((draw(&mut drawn)?, draw(&mut drawn)?));
    }
    let ephemerals = EphemeralSecret::from_secrets(secrets);
    let unsigned = |((request, ephemeral), (session_id, nonce)): ((&&mut Request, &EphemeralSecret), _)| {
        request.unsigned(&ephemeral.public_key(), session_id, &nonce, &grant)
    };
    let unsigned: Vec<_> = requests.iter().zip(&ephemerals).zip(names).map(unsigned).collect();
    let shares: Vec<_> = requests.iter().map(|request| request.key_share).collect();
    let shared = exchange_many(ephemerals, &shares);
    // Whoever sent a share of small order gets no signature either.
    let agreed = unsigned.iter().zip(&shared).filter(|(_, shared)| shared.is_ok());
    let to_sign: Vec<_> = agreed.map(|(unsigned, _)| unsigned.th2).collect();
    let mut signatures = signing_key.sign_handshakes(ACCEPT_CONTEXT, &to_sign).into_iter();
    let answers = requests.iter_mut().zip(unsigned).zip(shared).map(|((request, unsigned), shared)| {
        let shared = shared.map_err(refused_share)?;
        let signature = signatures.next().expect("one for each agreement");
        Ok(request.accepted(unsigned, &shared, &signature, &grant))
    });
    Ok(answers.collect())
}
