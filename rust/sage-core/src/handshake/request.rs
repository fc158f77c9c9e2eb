//! An M1 that was read: whose it is, and the answer. In the protocol's order of work, cheapest checks first.
//!
//! What [`super::many`] does for many at once, it does by the steps that stand here.

use crate::did::Did;
use crate::ed25519::{SIGNATURE_LEN, SigningKey, VerifyingKey};
use crate::error::{HandshakeError, InputError};
use crate::fork;
use crate::random::{RandomSource, draw};
use crate::record::SessionId;
use crate::session::{Role, Session, Terms};
use crate::wire::put_lp;
use crate::x25519::{EphemeralSecret, PublicKey, SharedSecret, SmallOrderShare};

use super::confirmation::Confirmation;
use super::messages::{AcceptFields, encode_accept};
use super::schedule::Schedule;
use super::transcript::{ACCEPT_CONTEXT, INITIATE_CONTEXT, TranscriptHash, th2, th3, th4};
use super::{FORKED, HALF_OPEN_MS, REPLAY_MARGIN_MS, SKEW_MS};

/// An M1 that is well-formed, current and meant for this server. Whose it is shows next.
pub struct Request {
    pub(super) th1: TranscriptHash,
    pub(super) signature: [u8; SIGNATURE_LEN],
    pub(super) suite: u16,
    pub(super) client_did: Did,
    pub(super) client_key: VerifyingKey,
    pub(super) server_did: Did,
    pub(super) server_key: VerifyingKey,
    pub(super) key_share: PublicKey,
    pub(super) nonce: [u8; 32],
    pub(super) timestamp_ms: u64,
    pub(super) signed_confirmation: bool,
    pub(super) stage: Stage,
    pub(super) generation: u64,
}

#[derive(PartialEq, Eq)]
pub(super) enum Stage {
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

/// What the server grants to a session, and when.
pub(super) struct Grant {
    pub(super) lifetime_ms: u64,
    pub(super) idle_timeout_s: u32,
    pub(super) now_ms: u64,
}

/// An M2 that waits for its signature.
pub(super) struct Unsigned {
    session_id: SessionId,
    m2: Vec<u8>,
    pub(super) th2: TranscriptHash,
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

    /// The key of the responder that read it.
    #[must_use]
    pub fn server_key(&self) -> &VerifyingKey {
        &self.server_key
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
        self.check_authenticate()?;
        let key = self.key_that_counts(listed);
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
        let grant = Grant { lifetime_ms, idle_timeout_s, now_ms };
        self.check_accept(signing_key, &grant)?;
        let ephemeral = EphemeralSecret::generate(random)?;
        let unsigned = self.unsigned(&ephemeral.public_key(), draw(random)?, &draw(random)?, &grant);
        let shared = ephemeral.exchange(&self.key_share).map_err(refused_share)?;
        let signature = signing_key.sign_handshake(ACCEPT_CONTEXT, &unsigned.th2);
        Ok(self.accepted(unsigned, &shared, &signature, &grant))
    }

    pub(super) fn check_authenticate(&self) -> Result<(), HandshakeError> {
        if self.stage == Stage::Read {
            Ok(())
        } else {
            Err(HandshakeError::OutOfOrder("this request was authenticated before"))
        }
    }

    /// The listed key, not the one that was read: it may be expanded. `None` if the DID does not list the key.
    pub(super) fn key_that_counts<'a>(
        &'a self,
        listed: Option<&'a [VerifyingKey]>,
    ) -> Option<&'a VerifyingKey> {
        match (self.client_did.ed25519_key(), listed) {
            (Some(key), _) if key != *self.client_key.as_bytes() => None,
            (Some(_), None) => Some(&self.client_key).filter(|key| key.check().is_ok()),
            (None, None) => None,
            (_, Some(listed)) => listed.iter().find(|key| **key == self.client_key),
        }
    }

    pub(super) fn check_accept(&self, signing_key: &SigningKey, grant: &Grant) -> Result<(), HandshakeError> {
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
        if grant.lifetime_ms == 0 || grant.idle_timeout_s == 0 {
            return value("session lifetime and idle timeout", "must be positive");
        }
        Ok(())
    }

    pub(super) fn unsigned(
        &self,
        key_share: &PublicKey,
        session_id: SessionId,
        server_nonce: &[u8; 32],
        grant: &Grant,
    ) -> Unsigned {
        let m2 = encode_accept(&AcceptFields {
            suite: self.suite,
            session_id: &session_id,
            key_share: &key_share.0,
            server_nonce,
            expires_at_ms: grant.expires_at_ms(),
            idle_timeout_s: grant.idle_timeout_s,
        });
        let th2 = th2(&self.th1, &self.signature, &m2);
        Unsigned { session_id, m2, th2 }
    }

    /// The end: session keys, and M2 with its signature and MAC.
    pub(super) fn accepted(
        &mut self,
        unsigned: Unsigned,
        shared: &SharedSecret,
        signature: &[u8; SIGNATURE_LEN],
        grant: &Grant,
    ) -> Accepted {
        let Unsigned { session_id, m2, th2 } = unsigned;
        let th3 = th3(&th2, signature);
        let schedule = Schedule::new(self.suite, shared, th2);
        let server_confirmation = schedule.server_confirmation(&th3);
        let th4 = th4(&th3, &server_confirmation);
        let confirmation = Confirmation {
            expected: schedule.client_confirmation(&th4),
            th4,
            client_key: self.client_key.clone(),
            signature_required: self.signed_confirmation,
            until_ms: grant.now_ms.saturating_add(HALF_OPEN_MS),
        };
        let (epoch, exporter) = schedule.into_secrets(&th3).into_epoch(Role::Responder);
        self.stage = Stage::Accepted;
        let mut message = Vec::with_capacity(2 + self.server_did.as_str().len() + m2.len() + 96);
        put_lp(&mut message, self.server_did.as_str().as_bytes());
        message.extend_from_slice(&m2);
        message.extend_from_slice(signature);
        message.extend_from_slice(&server_confirmation);
        let terms = self.terms(session_id, grant);
        let session = Session::new(terms, epoch, Some(exporter), Some(confirmation), grant.now_ms);
        Accepted { session, message }
    }

    fn terms(&self, session_id: SessionId, grant: &Grant) -> Terms {
        Terms {
            role: Role::Responder,
            suite: self.suite,
            session_id,
            client_did: self.client_did.clone(),
            server_did: self.server_did.clone(),
            client_key: self.client_key.clone(),
            server_key: self.server_key.clone(),
            created_ms: grant.now_ms,
            expires_ms: grant.expires_at_ms(),
            idle_timeout_s: grant.idle_timeout_s,
        }
    }
}

impl Grant {
    fn expires_at_ms(&self) -> u64 {
        self.now_ms.saturating_add(self.lifetime_ms)
    }
}

pub(super) fn refused_share(_: SmallOrderShare) -> HandshakeError {
    HandshakeError::InvalidKey("client_key_share has small order")
}
