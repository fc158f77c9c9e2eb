//! Two agents at a fixed time, for the targets over sessions.

use sage_core::ed25519::SigningKey;
use sage_core::handshake::{ChallengeKey, Initiator, Responder, SUITE_1};

pub const NOW_MS: u64 = 1_767_225_600_000;

pub struct Agents {
    pub client: SigningKey,
    pub server: SigningKey,
    pub initiator: Initiator,
    pub responder: Responder,
}

impl Agents {
    pub fn new() -> Self {
        let (client, server) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let server_key = server.verifying_key().clone();
        let initiator = Initiator {
            client_did: client.verifying_key().did(),
            server_did: server_key.did(),
            server_key: server_key.clone(),
            suites: vec![SUITE_1, 7],
            max_lifetime_ms: u64::MAX,
            sign_confirmation: false,
        };
        let responder = Responder {
            dids: vec![server_key.did()],
            verifying_key: server_key,
            challenge_key: ChallengeKey::new(&[3; 32]),
            require_challenge: false,
            require_signed_confirmation: false,
        };
        Self { client, server, initiator, responder }
    }
}
