//! Two agents who know each other, and sessions between them.

use sage_core::ed25519::SigningKey;
use sage_core::handshake::{ChallengeKey, Initiator, Responder, SUITE_1};
use sage_core::random::SystemRandom;
use sage_core::session::Session;

pub const NOW_MS: u64 = 1_800_000_000_000;
pub const HOUR_MS: u64 = 3_600_000;

pub struct Agents {
    pub alice: SigningKey,
    pub bob: SigningKey,
    pub initiator: Initiator,
    pub responder: Responder,
}

impl Agents {
    pub fn new() -> Self {
        let alice = SigningKey::generate(&mut SystemRandom).expect("random");
        let bob = SigningKey::generate(&mut SystemRandom).expect("random");
        let initiator = Initiator {
            client_did: alice.verifying_key().did(),
            server_did: bob.verifying_key().did(),
            server_key: bob.verifying_key().clone(),
            suites: vec![SUITE_1],
            max_lifetime_ms: 24 * HOUR_MS,
            sign_confirmation: false,
        };
        let responder = Responder {
            dids: vec![bob.verifying_key().did()],
            verifying_key: bob.verifying_key().clone(),
            challenge_key: ChallengeKey::new(&[7; 32]),
            require_challenge: false,
            require_signed_confirmation: false,
        };
        Self { alice, bob, initiator, responder }
    }

    /// An M1 that nobody has seen before.
    pub fn first_message(&self) -> Vec<u8> {
        self.initiator.initiate(&self.alice, b"", b"", NOW_MS, &mut SystemRandom).expect("initiate").1
    }

    /// The server's whole work on one M1.
    pub fn respond(&self, message: &[u8]) -> (Vec<u8>, Session) {
        let mut request = self.responder.read(message, None, NOW_MS).expect("read");
        request.authenticate(None).expect("authenticate");
        let accepted = request.accept(&self.bob, HOUR_MS, 600, NOW_MS, &mut SystemRandom).expect("accept");
        (accepted.message, accepted.session)
    }

    /// Both ends of an open session: client, server.
    pub fn sessions(&self) -> (Session, Session) {
        let (attempt, message) =
            self.initiator.initiate(&self.alice, b"", b"", NOW_MS, &mut SystemRandom).expect("initiate");
        let (answer, mut server) = self.respond(&message);
        let finished = attempt.finish(&answer, Some(&self.alice), |_| false, NOW_MS).expect("finish");
        server.confirm(&finished.confirmation[16..], NOW_MS).expect("confirm");
        (finished.session, server)
    }
}
