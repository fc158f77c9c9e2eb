//! The handshake: two signed messages and a confirmation, then a session on each side.
//!
//! ```text
//! initiator                                             responder
//!   Initiator::initiate ──── M1, signature ────▶ Responder::read
//!                                                 Request::authenticate     DID, key, signature
//!                                                 (the caller admits the request nonce)
//!   Attempt::finish     ◀─── M2, signature, MAC ── Request::accept          half-open session
//!   open session        ──── M3 ──────────────▶  Session::confirm           open session
//! ```
//!
//! Nothing here remembers request nonces or resolves DIDs; both need state and perhaps a network,
//! so the responder's work is cut where the caller has to answer.

mod challenge;
mod confirmation;
mod initiator;
mod many;
mod messages;
mod request;
mod responder;
mod schedule;
mod transcript;

pub use challenge::{CHALLENGE_LEN, CHALLENGE_LIFE_MS, ChallengeKey};
pub(crate) use confirmation::Confirmation;
pub use confirmation::{CONFIRMATION_LEN, SIGNED_CONFIRMATION_LEN};
pub use initiator::{ATTEMPT_LIFE_MS, Attempt, Finished, Initiator};
pub use many::{accept_many, authenticate_many};
pub use request::{Accepted, Request};
pub use responder::Responder;

pub(crate) use messages::{Accept, AcceptFields, Initiate, InitiateFields, encode_accept, encode_initiate};

/// X25519, HKDF-SHA256, AES-256-GCM, Ed25519.
pub const SUITE_1: u16 = 1;
/// The largest M1 or M2, signatures included.
pub const MAX_MESSAGE_LEN: usize = 16 * 1024;
/// How far a client's clock may be off.
pub const SKEW_MS: u64 = 60_000;
/// How much longer than the skew a request nonce is remembered.
pub const REPLAY_MARGIN_MS: u64 = 60_000;
/// How long a session may wait for its confirmation.
pub const HALF_OPEN_MS: u64 = 10_000;

const SUPPORTED_SUITES: [u16; 1] = [SUITE_1];
/// Two processes must not finish one handshake: each would deliver what the other has delivered.
const FORKED: &str = "this handshake came here by fork: finish it in the process that began it";
