//! The server's side of a handshake, in the protocol's order of work: cheapest checks first.

use crate::did::Did;
use crate::ed25519::{SigningKey, VerifyingKey};
use crate::error::{HandshakeError, InputError};
use crate::fork;
use crate::random::{RandomSource, draw};
use crate::record::SessionId;
use crate::session::{Role, Session, Terms};
use crate::x25519::{EphemeralSecret, PublicKey};

use super::challenge::ChallengeKey;
use super::confirmation::Confirmation;
use super::messages::{AcceptFields, Initiate, encode_accept};
use super::schedule::Schedule;
use super::transcript::{ACCEPT_CONTEXT, INITIATE_CONTEXT, TranscriptHash, th1, th2, th3, th4};
use super::{FORKED, HALF_OPEN_MS, REPLAY_MARGIN_MS, SKEW_MS, SUPPORTED_SUITES};
use crate::wire::put_lp;

/// What a server knows before anybody calls: who it is, and what it demands.
pub struct Responder {
    /// Every DID that this server answers to.
    pub dids: Vec<Did>,
    /// The key that those DIDs list.
    pub verifying_key: VerifyingKey,
    /// Mints and checks challenges.
    pub challenge_key: ChallengeKey,
    /// Refuse an M1 without a challenge.
    pub require_challenge: bool,
    /// Policy `signature`: only a signed M3 opens a session.
    pub require_signed_confirmation: bool,
}

/// An M1 that is well-formed, current and meant for this server. Whose it is shows next.
pub struct Request {
    th1: TranscriptHash,
    signature: [u8; 64],
    suite: u16,
    client_did: Did,
    client_key: VerifyingKey,
    server_did: Did,
    server_key: VerifyingKey,
    key_share: PublicKey,
    nonce: [u8; 32],
    timestamp_ms: u64,
    signed_confirmation: bool,
    stage: Stage,
    generation: u64,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Read,
    Authenticated,
    Accepted,
}

/// The responder's half of a handshake.
pub struct Accepted {
    /// Half-open until M3 or the first record.
    pub session: Session,
    /// M2 in its binary carrier.
    pub message: Vec<u8>,
}

impl Responder {
    /// Reads an M1 up to the last check that needs neither a directory nor a signature.
    /// `channel_binding` is what the transport says, if the embedder binds to one.
    ///
    /// # Errors
    /// [`HandshakeError`] with the code to answer.
    pub fn read(
        &self,
        message: &[u8],
        channel_binding: Option<&[u8]>,
        now_ms: u64,
    ) -> Result<Request, HandshakeError> {
        let initiate = Initiate::parse(message)?;
        if initiate.channel_binding != channel_binding.unwrap_or_default() {
            return Err(HandshakeError::Malformed("channel_binding is not what this transport has"));
        }
        let suite = *initiate
            .suites
            .iter()
            .find(|suite| SUPPORTED_SUITES.contains(suite))
            .ok_or(HandshakeError::UnsupportedSuite)?;
        let key_share = PublicKey::from_bytes(initiate.key_share)
            .map_err(|_| HandshakeError::InvalidKey("client_key_share must be 32 bytes long"))?;
        let server_did = self.check_direction(&initiate)?;
        if initiate.timestamp_ms.abs_diff(now_ms) > SKEW_MS {
            return Err(HandshakeError::StaleTimestamp { server_time_ms: now_ms });
        }
        self.check_challenge(&initiate, now_ms)?;
        Ok(Request {
            th1: th1(initiate.m1),
            signature: *initiate.signature,
            suite,
            client_did: initiate.client_did,
            client_key: initiate.client_key,
            server_did,
            server_key: self.verifying_key.clone(),
            key_share,
            nonce: *initiate.nonce,
            timestamp_ms: initiate.timestamp_ms,
            signed_confirmation: self.require_signed_confirmation,
            stage: Stage::Read,
            generation: fork::generation(),
        })
    }

    /// Which of this server's DIDs is meant: its own copy, which all sessions share.
    fn check_direction(&self, initiate: &Initiate<'_>) -> Result<Did, HandshakeError> {
        if initiate.server_key != self.verifying_key.as_bytes() {
            return Err(HandshakeError::Misdirected);
        }
        let mine = self.dids.iter().find(|did| **did == initiate.server_did);
        mine.cloned().ok_or(HandshakeError::Misdirected)
    }

    fn check_challenge(&self, initiate: &Initiate<'_>, now_ms: u64) -> Result<(), HandshakeError> {
        let (client, server) = (&initiate.client_did, &initiate.server_did);
        let answered = if initiate.challenge.is_empty() {
            !self.require_challenge
        } else {
            self.challenge_key.verify(initiate.challenge, client, server, now_ms)
        };
        if answered {
            return Ok(());
        }
        let challenge = self.challenge_key.mint(client, server, now_ms);
        Err(HandshakeError::ChallengeRequired { challenge })
    }
}

impl Request {
    /// Who claims to call.
    #[must_use]
    pub fn client_did(&self) -> &Did {
        &self.client_did
    }

    /// The key that the caller names.
    #[must_use]
    pub fn client_key(&self) -> &VerifyingKey {
        &self.client_key
    }

    /// Which of this server's DIDs is meant.
    #[must_use]
    pub fn server_did(&self) -> &Did {
        &self.server_did
    }

    /// The request nonce, to be admitted once per client DID.
    #[must_use]
    pub fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// The client's signed time.
    #[must_use]
    pub fn timestamp_ms(&self) -> u64 {
        self.timestamp_ms
    }

    /// Until when the nonce must be remembered: signed time + skew + margin.
    #[must_use]
    pub fn remember_until_ms(&self) -> u64 {
        self.timestamp_ms.saturating_add(SKEW_MS + REPLAY_MARGIN_MS)
    }

    /// Checks that the client's DID lists the key it named, and the signature. `listed` are the
    /// keys that the DID resolved to; without them the DID must be the `did:key` of the key, which
    /// is then resolved here, torsion check included.
    ///
    /// # Errors
    /// [`HandshakeError::AuthenticationFailed`], whichever it was.
    pub fn authenticate(&mut self, listed: Option<&[VerifyingKey]>) -> Result<(), HandshakeError> {
        if self.stage != Stage::Read {
            return Err(HandshakeError::OutOfOrder("this request was authenticated before"));
        }
        let spelt = self.client_did.ed25519_key();
        // The listed key, not the one that was read: it may be expanded.
        let key = match (spelt, listed) {
            (Some(key), _) if key != *self.client_key.as_bytes() => None,
            (Some(_), None) => Some(&self.client_key).filter(|key| key.check().is_ok()),
            (None, None) => None,
            (_, Some(listed)) => listed.iter().find(|key| **key == self.client_key),
        };
        if key.is_some_and(|key| key.verify_handshake(INITIATE_CONTEXT, &self.th1, &self.signature)) {
            self.stage = Stage::Authenticated;
            Ok(())
        } else {
            Err(HandshakeError::AuthenticationFailed)
        }
    }

    /// Agrees on keys and answers. Call it only after the request nonce was admitted: from here on
    /// a replay would buy work.
    ///
    /// # Errors
    /// [`HandshakeError::InvalidKey`] for a key share of small order; `OutOfOrder` before
    /// [`Request::authenticate`] or a second time.
    pub fn accept(
        &mut self,
        signing_key: &SigningKey,
        lifetime_ms: u64,
        idle_timeout_s: u32,
        now_ms: u64,
        random: &mut dyn RandomSource,
    ) -> Result<Accepted, HandshakeError> {
        self.check_accept(signing_key, lifetime_ms, idle_timeout_s)?;
        let ephemeral = EphemeralSecret::generate(random)?;
        let key_share = ephemeral.public_key();
        let session_id: SessionId = draw(random)?;
        let expires_at_ms = now_ms.saturating_add(lifetime_ms);
        let m2 = encode_accept(&AcceptFields {
            suite: self.suite,
            session_id: &session_id,
            key_share: &key_share.0,
            server_nonce: &draw(random)?,
            expires_at_ms,
            idle_timeout_s,
        });
        let shared = ephemeral
            .exchange(&self.key_share)
            .map_err(|_| HandshakeError::InvalidKey("client_key_share has small order"))?;
        let th2 = th2(&self.th1, &self.signature, &m2);
        let server_signature = signing_key.sign_handshake(ACCEPT_CONTEXT, &th2);
        let th3 = th3(&th2, &server_signature);
        let schedule = Schedule::new(self.suite, &shared, th2);
        let server_confirmation = schedule.server_confirmation(&th3);
        let th4 = th4(&th3, &server_confirmation);
        let confirmation = Confirmation {
            expected: schedule.client_confirmation(&th4),
            th4,
            client_key: self.client_key.clone(),
            signature_required: self.signed_confirmation,
            until_ms: now_ms.saturating_add(HALF_OPEN_MS),
        };
        let (epoch, exporter) = schedule.into_secrets(&th3).into_epoch(Role::Responder);
        self.stage = Stage::Accepted;
        let terms = self.terms(session_id, now_ms, expires_at_ms, idle_timeout_s);
        let mut message = Vec::with_capacity(2 + self.server_did.as_str().len() + m2.len() + 96);
        put_lp(&mut message, self.server_did.as_str().as_bytes());
        message.extend_from_slice(&m2);
        message.extend_from_slice(&server_signature);
        message.extend_from_slice(&server_confirmation);
        let session = Session::new(terms, epoch, Some(exporter), Some(confirmation), now_ms);
        Ok(Accepted { session, message })
    }

    fn check_accept(
        &self,
        signing_key: &SigningKey,
        lifetime_ms: u64,
        idle_timeout_s: u32,
    ) -> Result<(), HandshakeError> {
        match self.stage {
            Stage::Read => return Err(HandshakeError::OutOfOrder("authenticate the request first")),
            Stage::Accepted => return Err(HandshakeError::OutOfOrder("this request was accepted before")),
            Stage::Authenticated => (),
        }
        if self.generation != fork::generation() {
            return Err(HandshakeError::OutOfOrder(FORKED));
        }
        let value = |what, why| Err(InputError::Value { what, why }.into());
        if *signing_key.verifying_key() != self.server_key {
            return value("signing key", "is not the one that this responder was made with");
        }
        if lifetime_ms == 0 || idle_timeout_s == 0 {
            return value("session lifetime and idle timeout", "must be positive");
        }
        Ok(())
    }

    fn terms(&self, session_id: SessionId, created_ms: u64, expires_ms: u64, idle_timeout_s: u32) -> Terms {
        Terms {
            role: Role::Responder,
            suite: self.suite,
            session_id,
            client_did: self.client_did.clone(),
            server_did: self.server_did.clone(),
            client_key: self.client_key.clone(),
            server_key: self.server_key.clone(),
            created_ms,
            expires_ms,
            idle_timeout_s,
        }
    }
}
