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

#[cfg(test)]
mod tests {
    use rand::{RngCore, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::handshake::messages::{InitiateFields, encode_initiate};
    use crate::handshake::transcript::th1;
    use crate::handshake::{ChallengeKey, Responder, SUITE_1};
    use crate::random::RandomError;

    const NOW_MS: u64 = 1_800_000_000_000;
    const SMALL_ORDER: [u8; 32] = [0; 32];

    /// A stream of bytes that comes again from the same seed.
    struct Stream(StdRng);

    impl RandomSource for Stream {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
            self.0.fill_bytes(out);
            Ok(())
        }
    }

    /// Never gives anything.
    struct Dry;

    impl RandomSource for Dry {
        fn fill(&mut self, _: &mut [u8]) -> Result<(), RandomError> {
            Err(RandomError)
        }
    }

    fn responder(key: &SigningKey) -> Responder {
        Responder {
            dids: vec![key.verifying_key().did()],
            verifying_key: key.verifying_key().clone(),
            challenge_key: ChallengeKey::new(&[7; 32]),
            require_challenge: false,
            require_signed_confirmation: false,
        }
    }

    /// An M1 of a client of its own, well signed.
    fn message(number: u8, server: &SigningKey, key_share: &[u8; 32]) -> Vec<u8> {
        let client = SigningKey::from_seed(&[number; 32]);
        let mut message = encode_initiate(&InitiateFields {
            suites: &[SUITE_1],
            client_did: client.verifying_key().did().as_str(),
            client_key: client.verifying_key().as_bytes(),
            server_did: server.verifying_key().did().as_str(),
            server_key: server.verifying_key().as_bytes(),
            key_share,
            nonce: &[number; 32],
            timestamp_ms: NOW_MS,
            challenge: &[],
            channel_binding: &[],
        });
        let signature = client.sign_handshake(INITIATE_CONTEXT, &th1(&message));
        message.extend_from_slice(&signature);
        message
    }

    /// The requests of so many clients, authenticated; every fifth has a share of small order.
    fn requests(server: &SigningKey, count: u8) -> Vec<Request> {
        let request = |number: u8| {
            let share = if number % 5 == 3 { SMALL_ORDER } else { [number.wrapping_add(9); 32] };
            let message = message(number, server, &share);
            let mut request = responder(server).read(&message, None, NOW_MS).expect("read");
            request.authenticate(None).expect("authentic");
            request
        };
        (0..count).map(request).collect()
    }

    fn message_of(answer: Result<Accepted, HandshakeError>) -> Result<Vec<u8>, HandshakeError> {
        answer.map(|accepted| accepted.message)
    }

    /// Of clients that differ, with refused ones among them: the same answers out of the same stream.
    #[test]
    fn a_stream_gives_a_batch_what_it_gives_one_by_one() {
        let server = SigningKey::from_seed(&[200; 32]);
        for count in 0..=20 {
            let stream = || Stream(StdRng::seed_from_u64(u64::from(count)));
            let (mut alone, mut together) = (requests(&server, count), requests(&server, count));
            let (mut of_alone, mut of_together) = (stream(), stream());
            let mut accept = |request: &mut Request| {
                message_of(request.accept(&server, 3_600_000, 600, NOW_MS, &mut of_alone))
            };
            let expected: Vec<_> = alone.iter_mut().map(&mut accept).collect();
            let mut together: Vec<_> = together.iter_mut().collect();
            let answers = accept_many(&mut together, &server, 3_600_000, 600, NOW_MS, &mut of_together);
            let answers: Vec<_> = answers.expect("all are ready").into_iter().map(message_of).collect();
            assert_eq!(answers, expected);
            let refused_count = answers.iter().filter(|answer| answer.is_err()).count();
            assert_eq!(refused_count, (usize::from(count) + 1) / 5);
            // And both have drawn as much.
            assert_eq!(of_alone.0.next_u64(), of_together.0.next_u64());
        }
    }

    #[test]
    fn without_random_bytes_nothing_is_done() {
        let server = SigningKey::from_seed(&[200; 32]);
        let mut requests = requests(&server, 3);
        let mut requests: Vec<_> = requests.iter_mut().collect();
        let answers = accept_many(&mut requests, &server, 3_600_000, 600, NOW_MS, &mut Dry);
        assert_eq!(answers.err(), Some(HandshakeError::Random));
        let answers = accept_many(
            &mut requests,
            &server,
            3_600_000,
            600,
            NOW_MS,
            &mut Stream(StdRng::seed_from_u64(1)),
        );
        assert!(answers.expect("all are ready").iter().all(Result::is_ok));
    }
}
