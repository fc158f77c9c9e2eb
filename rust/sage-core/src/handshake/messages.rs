//! The binary forms of M1 and M2, with the carriers that hold them on a byte stream:
//!
//! ```text
//! initiate  M1 ‖ 64 client_signature
//! accept    lp server_did ‖ M2 ‖ 64 server_signature ‖ 32 server_confirmation
//! confirm   16 session_id ‖ 32 client_confirmation [‖ 64 client_confirm_signature]
//! ```
//!
//! Parsing is strict: every length is exact and nothing may follow. Signing input is never
//! re-encoded; a parsed message keeps the bytes it came from.

use crate::did::Did;
use crate::ed25519::{SIGNATURE_LEN, VERIFYING_KEY_LEN, VerifyingKey};
use crate::error::HandshakeError;
use crate::record::SessionId;
use crate::wire::{Reader, Truncated, put_lp};

use super::MAX_MESSAGE_LEN;

pub(crate) const VERSION: u8 = 1;

const MAX_SUITES: u8 = 4;

/// M1 with its signature.
#[derive(Debug)]
pub(crate) struct Initiate<'a> {
    /// M1 itself, which TH1 hashes.
    pub(crate) m1: &'a [u8],
    pub(crate) suites: Vec<u16>,
    pub(crate) client_did: Did,
    pub(crate) client_key: VerifyingKey,
    pub(crate) server_did: Did,
    pub(crate) server_key: &'a [u8; VERIFYING_KEY_LEN],
    pub(crate) key_share: &'a [u8],
    pub(crate) nonce: &'a [u8; 32],
    pub(crate) timestamp_ms: u64,
    pub(crate) challenge: &'a [u8],
    pub(crate) channel_binding: &'a [u8],
    pub(crate) signature: &'a [u8; SIGNATURE_LEN],
}

/// M2 with its signature and MAC.
#[derive(Debug)]
pub(crate) struct Accept<'a> {
    pub(crate) server_did: &'a [u8],
    /// M2 itself, which TH2 hashes.
    pub(crate) m2: &'a [u8],
    pub(crate) suite: u16,
    pub(crate) session_id: &'a SessionId,
    pub(crate) key_share: &'a [u8],
    pub(crate) server_nonce: &'a [u8; 32],
    pub(crate) expires_at_ms: u64,
    pub(crate) idle_timeout_s: u32,
    pub(crate) signature: &'a [u8; SIGNATURE_LEN],
    pub(crate) confirmation: &'a [u8; 32],
}

impl<'a> Initiate<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, HandshakeError> {
        if message.len() > MAX_MESSAGE_LEN {
            return Err(HandshakeError::TooLarge(message.len()));
        }
        match message.first() {
            None => return Err(HandshakeError::Malformed("M1 is empty")),
            Some(&VERSION) => (),
            Some(&other) => return Err(HandshakeError::UnsupportedVersion(other)),
        }
        let short = |Truncated| HandshakeError::Malformed("M1 ends in the middle of a field");
        let mut reader = Reader::new(message);
        reader.u8().map_err(short)?;
        let count = reader.u8().map_err(short)?;
        let suites = parse_suites(reader.bytes(usize::from(count) * 2).map_err(short)?)?;
        let client_did = did(reader.lp().map_err(short)?)?;
        let client_key = VerifyingKey::from_bytes(reader.array::<32>().map_err(short)?)
            .map_err(|_| HandshakeError::InvalidKey("client_public_key is not a strict Ed25519 key"))?;
        let server_did = did(reader.lp().map_err(short)?)?;
        let server_key = reader.array().map_err(short)?;
        let key_share = reader.lp().map_err(short)?;
        let nonce = reader.array().map_err(short)?;
        let timestamp_ms = reader.u64().map_err(short)?;
        let challenge = reader.lp().map_err(short)?;
        let channel_binding = reader.lp().map_err(short)?;
        let m1 = &message[..message.len() - reader.rest().len()];
        let signature = reader.array().map_err(short)?;
        reader.finish().map_err(|_| HandshakeError::Malformed("bytes follow M1's signature"))?;
        Ok(Self {
            m1,
            suites,
            client_did,
            client_key,
            server_did,
            server_key,
            key_share,
            nonce,
            timestamp_ms,
            challenge,
            channel_binding,
            signature,
        })
    }
}

/// What [`encode_initiate`] writes down.
pub(crate) struct InitiateFields<'a> {
    pub(crate) suites: &'a [u16],
    pub(crate) client_did: &'a str,
    pub(crate) client_key: &'a [u8; 32],
    pub(crate) server_did: &'a str,
    pub(crate) server_key: &'a [u8; 32],
    pub(crate) key_share: &'a [u8],
    pub(crate) nonce: &'a [u8; 32],
    pub(crate) timestamp_ms: u64,
    pub(crate) challenge: &'a [u8],
    pub(crate) channel_binding: &'a [u8],
}

/// M1, to be signed and followed by its signature. Field lengths are the caller's to check.
pub(crate) fn encode_initiate(fields: &InitiateFields<'_>) -> Vec<u8> {
    let mut m1 = Vec::with_capacity(512);
    let count = u8::try_from(fields.suites.len()).expect("at most 255 suites");
    m1.extend_from_slice(&[VERSION, count]);
    for suite in fields.suites {
        m1.extend_from_slice(&suite.to_be_bytes());
    }
    put_lp(&mut m1, fields.client_did.as_bytes());
    m1.extend_from_slice(fields.client_key);
    put_lp(&mut m1, fields.server_did.as_bytes());
    m1.extend_from_slice(fields.server_key);
    put_lp(&mut m1, fields.key_share);
    m1.extend_from_slice(fields.nonce);
    m1.extend_from_slice(&fields.timestamp_ms.to_be_bytes());
    put_lp(&mut m1, fields.challenge);
    put_lp(&mut m1, fields.channel_binding);
    m1
}

impl<'a> Accept<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, HandshakeError> {
        if message.len() > MAX_MESSAGE_LEN {
            return Err(HandshakeError::TooLarge(message.len()));
        }
        let short = |Truncated| HandshakeError::Malformed("M2 ends in the middle of a field");
        let mut reader = Reader::new(message);
        let server_did = reader.lp().map_err(short)?;
        let from = message.len() - reader.rest().len();
        let suite = reader.u16().map_err(short)?;
        let session_id = reader.array().map_err(short)?;
        let key_share = reader.lp().map_err(short)?;
        let server_nonce = reader.array().map_err(short)?;
        let expires_at_ms = reader.u64().map_err(short)?;
        let idle_timeout_s = reader.u32().map_err(short)?;
        let m2 = &message[from..message.len() - reader.rest().len()];
        let signature = reader.array().map_err(short)?;
        let confirmation = reader.array().map_err(short)?;
        reader.finish().map_err(|_| HandshakeError::Malformed("bytes follow M2's confirmation"))?;
        Ok(Self {
            server_did,
            m2,
            suite,
            session_id,
            key_share,
            server_nonce,
            expires_at_ms,
            idle_timeout_s,
            signature,
            confirmation,
        })
    }
}

/// What [`encode_accept`] writes down.
pub(crate) struct AcceptFields<'a> {
    pub(crate) suite: u16,
    pub(crate) session_id: &'a SessionId,
    pub(crate) key_share: &'a [u8],
    pub(crate) server_nonce: &'a [u8; 32],
    pub(crate) expires_at_ms: u64,
    pub(crate) idle_timeout_s: u32,
}

/// M2 itself.
pub(crate) fn encode_accept(fields: &AcceptFields<'_>) -> Vec<u8> {
    let mut m2 = Vec::with_capacity(96);
    m2.extend_from_slice(&fields.suite.to_be_bytes());
    m2.extend_from_slice(fields.session_id);
    put_lp(&mut m2, fields.key_share);
    m2.extend_from_slice(fields.server_nonce);
    m2.extend_from_slice(&fields.expires_at_ms.to_be_bytes());
    m2.extend_from_slice(&fields.idle_timeout_s.to_be_bytes());
    m2
}

fn did(bytes: &[u8]) -> Result<Did, HandshakeError> {
    Did::from_wire(bytes).map_err(HandshakeError::InvalidDid)
}

fn parse_suites(bytes: &[u8]) -> Result<Vec<u16>, HandshakeError> {
    let suites: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    check_suites(&suites).map_err(HandshakeError::Malformed)?;
    Ok(suites)
}

/// One to four suites, none twice.
pub(super) fn check_suites(suites: &[u16]) -> Result<(), &'static str> {
    if !(1..=usize::from(MAX_SUITES)).contains(&suites.len()) {
        return Err("suites must hold one to four entries");
    }
    let twice = (1..suites.len()).any(|at| suites[..at].contains(&suites[at]));
    if twice { Err("suites must not hold an entry twice") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{hash_set, vec};
    use proptest::prelude::*;

    use super::*;

    const DID: &str = "did:[a-z0-9]{1,8}:[A-Za-z0-9._:-]{0,60}[A-Za-z0-9._-]";

    proptest! {
        #[test]
        fn m1_is_read_as_it_was_written(
            suites in hash_set(any::<u16>(), 1..5),
            dids in (DID, DID),
            keys: ([u8; 32], [u8; 32], [u8; 32]),
            timestamp_ms: u64,
            rest in (vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..300)),
        ) {
            prop_assume!(VerifyingKey::from_bytes(&keys.0).is_ok());
            let suites: Vec<u16> = suites.into_iter().collect();
            let m1 = encode_initiate(&InitiateFields {
                suites: &suites,
                client_did: &dids.0,
                client_key: &keys.0,
                server_did: &dids.1,
                server_key: &keys.1,
                key_share: &rest.0,
                nonce: &keys.2,
                timestamp_ms,
                challenge: &rest.1,
                channel_binding: &rest.2,
            });
            let message = [&m1[..], &[7; SIGNATURE_LEN]].concat();
            let read = Initiate::parse(&message).expect("well-formed");
            prop_assert_eq!(read.m1, &m1[..]);
            prop_assert_eq!((read.suites, read.timestamp_ms, read.nonce), (suites, timestamp_ms, &keys.2));
            prop_assert_eq!((read.client_did.as_str(), read.server_did.as_str()), (&*dids.0, &*dids.1));
            prop_assert_eq!((read.client_key.as_bytes(), read.server_key), (&keys.0, &keys.1));
            prop_assert_eq!((read.key_share, read.challenge, read.channel_binding), (&*rest.0, &*rest.1, &*rest.2));
            prop_assert_eq!(read.signature, &[7; SIGNATURE_LEN]);
            for end in 0..message.len() {
                prop_assert!(Initiate::parse(&message[..end]).is_err());
            }
            prop_assert!(Initiate::parse(&[&message[..], &[0]].concat()).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..600)) {
            let _ = Accept::parse(&bytes);
            let _ = Initiate::parse(&[&[VERSION, 1, 0, 1], &bytes[..]].concat());
        }
    }
}
