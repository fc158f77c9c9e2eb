//! SAGE-HS/1 without I/O: identities, the signed handshake, records and rekey.
//!
//! Nothing here opens a socket, reads a clock or keeps a log. Time comes in as milliseconds since
//! the Unix epoch, randomness through [`random::RandomSource`], and every message is bytes in,
//! bytes out. `docs/protocol.md` is the normative text; section names in comments are its own.
//!
//! Reading order: [`did`] and [`ed25519`] (who), [`handshake`] (agreeing on keys), [`session`]
//! with [`record`] and [`window`] (exchanging data), [`rekey`] and [`wrap`] (living long),
//! [`replay`] (remembering what was admitted).

pub mod aead;
pub mod answered;
mod aws_lc;
mod curve25519;
pub mod did;
pub mod ed25519;
mod epoch;
pub mod error;
pub mod fork;
pub mod handshake;
pub mod hkdf;
mod incarnation;
pub mod json;
pub mod kek;
pub mod processor;
pub mod random;
pub mod record;
pub mod record_lines;
pub mod rekey;
pub mod replay;
pub mod secret;
pub mod session;
pub mod shares;
pub mod window;
mod wire;
pub mod wrap;
pub mod x25519;
