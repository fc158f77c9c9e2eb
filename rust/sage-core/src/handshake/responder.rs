//! The server's side of a handshake, up to the last check that needs neither a directory nor a signature.

use crate::did::Did;
use crate::ed25519::VerifyingKey;
use crate::error::HandshakeError;
use crate::fork;
use crate::x25519::PublicKey;

use super::challenge::ChallengeKey;
use super::messages::Initiate;
use super::request::{Request, Stage};
use super::transcript::th1;
use super::{SKEW_MS, SUPPORTED_SUITES};

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
