//! Challenges: proof that an M1 was signed after the server said something.
//!
//! `challenge = u8 1 ‖ u64 issued_ms ‖ 16 first bytes of HMAC(key, "challenge" ‖ issued_ms ‖ lp client_did ‖ lp server_did)`
//!
//! Stateless: the server keeps one key, random per boot and shared by its workers, and can ask for
//! a challenge under load without remembering that it did.

use subtle::ConstantTimeEq;

use crate::did::Did;
use crate::hkdf::HmacKey;
use crate::wire::{Reader, put_lp};

/// Bytes of a challenge.
pub const CHALLENGE_LEN: usize = 25;
/// How long a challenge is good.
pub const CHALLENGE_LIFE_MS: u64 = 60_000;

const VERSION: u8 = 1;

/// Mints and checks challenges.
pub struct ChallengeKey(HmacKey);

impl ChallengeKey {
    /// Takes 32 random bytes.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(HmacKey::new(key))
    }

    /// A challenge for this pair of identities.
    #[must_use]
    pub fn mint(&self, client: &Did, server: &Did, now_ms: u64) -> [u8; CHALLENGE_LEN] {
        let mut challenge = [0; CHALLENGE_LEN];
        challenge[0] = VERSION;
        challenge[1..9].copy_from_slice(&now_ms.to_be_bytes());
        challenge[9..].copy_from_slice(&self.tag(client, server, now_ms));
        challenge
    }

    /// True if this key minted `challenge` for this pair within the last 60 s.
    #[must_use]
    pub fn verify(&self, challenge: &[u8], client: &Did, server: &Did, now_ms: u64) -> bool {
        let mut reader = Reader::new(challenge);
        let (Ok(VERSION), Ok(issued_ms), Ok(tag), true) =
            (reader.u8(), reader.u64(), reader.array::<16>(), reader.rest().is_empty())
        else {
            return false;
        };
        let fresh = issued_ms <= now_ms && now_ms - issued_ms < CHALLENGE_LIFE_MS;
        bool::from(self.tag(client, server, issued_ms).ct_eq(tag)) && fresh
    }

    fn tag(&self, client: &Did, server: &Did, issued_ms: u64) -> [u8; 16] {
        let mut names = Vec::with_capacity(4 + client.as_str().len() + server.as_str().len());
        put_lp(&mut names, client.as_str().as_bytes());
        put_lp(&mut names, server.as_str().as_bytes());
        let mac = self.0.mac(&[b"challenge", &issued_ms.to_be_bytes(), &names]);
        *mac.first_chunk().expect("16 of 32 bytes")
    }
}
