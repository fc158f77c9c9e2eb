//! The client's side of a handshake.

use crate::did::Did;
use crate::ed25519::{SigningKey, VerifyingKey};
use crate::error::{HandshakeError, InputError};
use crate::fork;
use crate::random::{RandomSource, draw};
use crate::record::SessionId;
use crate::session::{Role, Session, Terms};
use crate::x25519::{EphemeralSecret, PublicKey};

use super::messages::{Accept, InitiateFields, check_suites, encode_initiate};
use super::schedule::Schedule;
use super::transcript::{
    ACCEPT_CONTEXT, CONFIRM_CONTEXT, INITIATE_CONTEXT, TranscriptHash, th1, th2, th3, th4,
};
use super::{FORKED, MAX_MESSAGE_LEN, SUITE_1, SUPPORTED_SUITES};

/// How long an attempt waits for its M2.
pub const ATTEMPT_LIFE_MS: u64 = 10_000;

/// What a client knows before it begins: who it is, and whom it expects to find.
#[derive(Debug, Clone)]
pub struct Initiator {
    /// This side's DID.
    pub client_did: Did,
    /// The DID of the server that is meant.
    pub server_did: Did,
    /// The server's key, resolved or pinned *before* M1.
    pub server_key: VerifyingKey,
    /// Suites in the order of preference, one to four.
    pub suites: Vec<u16>,
    /// The longest session life that this client accepts.
    pub max_lifetime_ms: u64,
    /// Adds a signature to M3, for servers whose policy asks for it.
    pub sign_confirmation: bool,
}

/// One handshake under way. It holds the ephemeral secret and is spent by [`Attempt::finish`],
/// whether that succeeds or not.
pub struct Attempt {
    config: Initiator,
    client_key: VerifyingKey,
    ephemeral: EphemeralSecret,
    th1: TranscriptHash,
    signature: [u8; 64],
    started_ms: u64,
    generation: u64,
}

/// A finished handshake, as the client sees it.
pub struct Finished {
    /// Open at once: the server has proved itself.
    pub session: Session,
    /// M3 in its binary carrier. The first record confirms as well, unless the server's policy is
    /// `signature`.
    pub confirmation: Vec<u8>,
}

impl Initiator {
    /// Begins a handshake: draws an ephemeral key and a request nonce, writes M1 and signs it.
    /// Returns the attempt and M1 in its binary carrier. Every attempt is fresh; an M1 is never
    /// sent twice.
    ///
    /// # Errors
    /// [`HandshakeError::Input`] for unusable settings, [`HandshakeError::Random`].
    pub fn initiate(
        &self,
        signing_key: &SigningKey,
        challenge: &[u8],
        channel_binding: &[u8],
        now_ms: u64,
        random: &mut dyn RandomSource,
    ) -> Result<(Attempt, Vec<u8>), HandshakeError> {
        self.check(challenge, channel_binding)?;
        let ephemeral = EphemeralSecret::generate(random)?;
        let client_key = signing_key.verifying_key().clone();
        let mut message = encode_initiate(&InitiateFields {
            suites: &self.suites,
            client_did: self.client_did.as_str(),
            client_key: client_key.as_bytes(),
            server_did: self.server_did.as_str(),
            server_key: self.server_key.as_bytes(),
            key_share: &ephemeral.public_key().0,
            nonce: &draw(random)?,
            timestamp_ms: now_ms,
            challenge,
            channel_binding,
        });
        let th1 = th1(&message);
        let signature = signing_key.sign_handshake(INITIATE_CONTEXT, &th1);
        message.extend_from_slice(&signature);
        let config = self.clone();
        let (started_ms, generation) = (now_ms, fork::generation());
        Ok((Attempt { config, client_key, ephemeral, th1, signature, started_ms, generation }, message))
    }

    fn check(&self, challenge: &[u8], channel_binding: &[u8]) -> Result<(), InputError> {
        check_suites(&self.suites).map_err(|why| InputError::Value { what: "suites", why })?;
        if !self.suites.contains(&SUITE_1) {
            return Err(InputError::Value { what: "suites", why: "must hold suite 1" });
        }
        let extra = challenge.len() + channel_binding.len();
        let limit = MAX_MESSAGE_LEN / 2;
        if extra > limit {
            let what = "challenge and channel binding together";
            return Err(InputError::TooLong { what, limit, actual: extra });
        }
        Ok(())
    }
}

impl Attempt {
    /// Takes the server's M2. `is_known` says whether this client already has a session of that id
    /// with that server. `signing_key` is needed only to sign the confirmation.
    ///
    /// # Errors
    /// [`HandshakeError::AuthenticationFailed`] for whatever is wrong with the message; the attempt
    /// and its ephemeral secret are gone either way.
    pub fn finish(
        self,
        message: &[u8],
        signing_key: Option<&SigningKey>,
        is_known: impl FnOnce(&SessionId) -> bool,
        now_ms: u64,
    ) -> Result<Finished, HandshakeError> {
        if self.generation != fork::generation() {
            return Err(HandshakeError::OutOfOrder(FORKED));
        }
        let refused = HandshakeError::AuthenticationFailed;
        let accept = Accept::parse(message).map_err(|_| refused.clone())?;
        if !self.is_acceptable(&accept, now_ms) {
            return Err(refused);
        }
        let config = self.config;
        let th2 = th2(&self.th1, &self.signature, accept.m2);
        if !config.server_key.verify_handshake(ACCEPT_CONTEXT, &th2, accept.signature) {
            return Err(refused);
        }
        let share = PublicKey::from_bytes(accept.key_share).map_err(|_| refused.clone())?;
        let shared = self.ephemeral.exchange(&share).map_err(|_| refused.clone())?;
        let schedule = Schedule::new(accept.suite, &shared, th2);
        let th3 = th3(&th2, accept.signature);
        if !schedule.verify_server(&th3, accept.confirmation) || is_known(accept.session_id) {
            return Err(refused);
        }
        let th4 = th4(&th3, accept.confirmation);
        let mut confirmation = accept.session_id.to_vec();
        confirmation.extend_from_slice(&schedule.client_confirmation(&th4));
        if config.sign_confirmation {
            let key = signing_key
                .ok_or(HandshakeError::OutOfOrder("signing the confirmation needs the signing key"))?;
            confirmation.extend_from_slice(&key.sign_handshake(CONFIRM_CONTEXT, &th4));
        }
        let terms = Terms {
            role: Role::Initiator,
            suite: accept.suite,
            session_id: *accept.session_id,
            client_did: config.client_did,
            server_did: config.server_did,
            client_key: self.client_key,
            server_key: config.server_key,
            created_ms: now_ms,
            expires_ms: accept.expires_at_ms,
            idle_timeout_s: accept.idle_timeout_s,
        };
        let (epoch, exporter) = schedule.into_secrets(&th3).into_epoch(Role::Initiator);
        let session = Session::new(terms, epoch, Some(exporter), None, now_ms);
        Ok(Finished { session, confirmation })
    }

    /// Everything that can be said of M2 before any cryptography.
    fn is_acceptable(&self, accept: &Accept<'_>, now_ms: u64) -> bool {
        let config = &self.config;
        let in_time = now_ms.saturating_sub(self.started_ms) < ATTEMPT_LIFE_MS;
        let latest = now_ms.saturating_add(config.max_lifetime_ms);
        let lives = accept.expires_at_ms > now_ms && accept.expires_at_ms <= latest;
        in_time
            && accept.server_did == config.server_did.as_str().as_bytes()
            && config.suites.contains(&accept.suite)
            && SUPPORTED_SUITES.contains(&accept.suite)
            && lives
            && accept.idle_timeout_s > 0
    }
}
