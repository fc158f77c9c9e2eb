//! JSON carriers of the handshake and rekey messages, to and from their binary carriers.
//!
//! JSON never is signing input: decoding yields the binary form, which is then parsed, hashed and
//! verified as if it had come that way. One value has one spelling: unknown and duplicate fields,
//! arrays for objects, `null`, floats, integers from 2^53 up, base64 padding or stray trailing bits,
//! and bytes after the object are all refused.

use core::fmt;
use core::marker::PhantomData;
use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::ed25519::SIGNATURE_LEN;
use crate::error::HandshakeError;
use crate::handshake::{
    Accept, AcceptFields, CONFIRMATION_LEN, Initiate, InitiateFields, MAX_MESSAGE_LEN, encode_accept,
    encode_initiate,
};
use crate::record::SessionId;
use crate::rekey::{REPLY_LEN, REQUEST_LEN};
use crate::wire::{Reader, put_lp};

/// Integers that every JSON implementation keeps exactly (RFC 8259 §6).
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// The messages that have a JSON carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// M1 with its signature.
    Initiate,
    /// M2 with its signature and confirmation.
    Accept,
    /// M3 with its session id.
    Confirm,
    /// R1.
    RekeyRequest,
    /// R2, perhaps with an adopted R1.
    RekeyReply,
}

/// Writes a message's binary carrier as JSON.
///
/// # Errors
/// [`HandshakeError`] if the binary carrier is not well-formed, or its JSON would be longer than
/// anybody reads.
pub fn encode(kind: Kind, message: &[u8]) -> Result<String, HandshakeError> {
    let text = match kind {
        Kind::Initiate => to_text(&InitiateJson::from_binary(message)?),
        Kind::Accept => to_text(&AcceptJson::from_binary(message)?),
        Kind::Confirm => to_text(&ConfirmJson::from_binary(message)?),
        Kind::RekeyRequest => to_text(&RequestJson::from_binary(message)?),
        Kind::RekeyReply => to_text(&ReplyJson::from_binary(message)?),
    }?;
    if text.len() > MAX_MESSAGE_LEN { Err(HandshakeError::TooLarge(text.len())) } else { Ok(text) }
}

/// Reads a message's JSON carrier into its binary one.
///
/// # Errors
/// [`HandshakeError::Malformed`], or a more telling code where a field has one.
pub fn decode(kind: Kind, text: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    if text.len() > MAX_MESSAGE_LEN {
        return Err(HandshakeError::TooLarge(text.len()));
    }
    match kind {
        Kind::Initiate => from_text::<InitiateJson<'_>>(text)?.to_binary(),
        Kind::Accept => from_text::<AcceptJson<'_>>(text)?.to_binary(),
        Kind::Confirm => from_text::<ConfirmJson<'_>>(text)?.to_binary(),
        Kind::RekeyRequest => from_text::<RequestJson<'_>>(text)?.to_binary(),
        Kind::RekeyReply => from_text::<ReplyJson<'_>>(text)?.to_binary(),
    }
}

/// A session id as it is spelt everywhere: lower-case hex, 8-4-4-4-12.
#[must_use]
pub fn session_id_text(id: &SessionId) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in id.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    text
}

/// The session id that `text` spells, or `None` for any other spelling.
#[must_use]
pub fn session_id_from_text(text: &str) -> Option<SessionId> {
    let mut id = [0; 16];
    let mut digits = text.bytes().enumerate().filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
    for byte in &mut id {
        *byte = (hex_digit(digits.next()?.1)? << 4) | hex_digit(digits.next()?.1)?;
    }
    (session_id_text(&id) == text).then_some(id)
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn hex_digit(digit: u8) -> Option<u8> {
    HEX.iter().position(|&known| known == digit).and_then(|value| u8::try_from(value).ok())
}

const MALFORMED_BINARY: HandshakeError = HandshakeError::Malformed("message is not of its binary form");

fn to_text(value: &impl Serialize) -> Result<String, HandshakeError> {
    serde_json::to_string(value).map_err(|_| MALFORMED_BINARY)
}

fn from_text<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, HandshakeError> {
    serde_json::from_slice(text)
        .map(|Object(value)| value)
        .map_err(|_| HandshakeError::Malformed("body is not the JSON object that this message has"))
}

/// Reads `T` from an object only. A derived struct alone would also be read from the array of its
/// fields, a second spelling.
#[derive(Serialize)]
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }

        input.deserialize_map(Fields(PhantomData))
    }
}

type Text<'a> = Cow<'a, str>;

fn bytes_of(what: &'static str, text: &str) -> Result<Vec<u8>, HandshakeError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| HandshakeError::Malformed(what))
}

fn array_of<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], HandshakeError> {
    bytes_of(what, text)?.try_into().map_err(|_| HandshakeError::Malformed(what))
}

fn key_of(what: &'static str, text: &str) -> Result<[u8; 32], HandshakeError> {
    bytes_of(what, text)?.try_into().map_err(|_| HandshakeError::InvalidKey(what))
}

fn id_of(text: &str) -> Result<SessionId, HandshakeError> {
    session_id_from_text(text)
        .ok_or(HandshakeError::Malformed("session_id must be lower-case hex, 8-4-4-4-12"))
}

fn integer(what: &'static str, value: u64) -> Result<u64, HandshakeError> {
    if value <= MAX_INTEGER { Ok(value) } else { Err(HandshakeError::Malformed(what)) }
}

fn text_of(bytes: &[u8]) -> Text<'static> {
    Cow::Owned(URL_SAFE_NO_PAD.encode(bytes))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InitiateJson<'a> {
    version: u64,
    suites: Vec<u16>,
    #[serde(borrow)]
    client_did: Text<'a>,
    #[serde(borrow)]
    client_public_key: Text<'a>,
    #[serde(borrow)]
    server_did: Text<'a>,
    #[serde(borrow)]
    server_public_key: Text<'a>,
    #[serde(borrow)]
    client_ephemeral_key: Text<'a>,
    #[serde(borrow)]
    nonce: Text<'a>,
    timestamp: u64,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    challenge: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    channel_binding: Text<'a>,
    #[serde(borrow)]
    signature: Text<'a>,
}

impl InitiateJson<'_> {
    fn from_binary(message: &[u8]) -> Result<InitiateJson<'static>, HandshakeError> {
        let m1 = Initiate::parse(message)?;
        Ok(InitiateJson {
            version: 1,
            suites: m1.suites,
            client_did: Cow::Owned(m1.client_did.as_str().into()),
            client_public_key: text_of(m1.client_key.as_bytes()),
            server_did: Cow::Owned(m1.server_did.as_str().into()),
            server_public_key: text_of(m1.server_key),
            client_ephemeral_key: text_of(m1.key_share),
            nonce: text_of(m1.nonce),
            timestamp: integer("timestamp must be below 2^53 in JSON", m1.timestamp_ms)?,
            challenge: text_of(m1.challenge),
            channel_binding: text_of(m1.channel_binding),
            signature: text_of(m1.signature),
        })
    }

    fn to_binary(&self) -> Result<Vec<u8>, HandshakeError> {
        if self.version != 1 {
            return Err(HandshakeError::UnsupportedVersion(u8::try_from(self.version).unwrap_or(u8::MAX)));
        }
        if self.suites.len() > usize::from(u8::MAX) {
            return Err(HandshakeError::Malformed("suites must hold one to four entries"));
        }
        let mut message = encode_initiate(&InitiateFields {
            suites: &self.suites,
            client_did: &self.client_did,
            client_key: &key_of("client_public_key must be 32 bytes, base64url", &self.client_public_key)?,
            server_did: &self.server_did,
            server_key: &key_of("server_public_key must be 32 bytes, base64url", &self.server_public_key)?,
            key_share: &bytes_of("client_ephemeral_key must be base64url", &self.client_ephemeral_key)?,
            nonce: &array_of("nonce must be 32 bytes, base64url", &self.nonce)?,
            timestamp_ms: integer("timestamp must be below 2^53", self.timestamp)?,
            challenge: &bytes_of("challenge must be base64url", &self.challenge)?,
            channel_binding: &bytes_of("channel_binding must be base64url", &self.channel_binding)?,
        });
        let signature: [u8; SIGNATURE_LEN] =
            array_of("signature must be 64 bytes, base64url", &self.signature)?;
        message.extend_from_slice(&signature);
        Ok(message)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptJson<'a> {
    suite: u16,
    #[serde(borrow)]
    session_id: Text<'a>,
    #[serde(borrow)]
    server_did: Text<'a>,
    #[serde(borrow)]
    server_ephemeral_key: Text<'a>,
    #[serde(borrow)]
    server_nonce: Text<'a>,
    expires_at: u64,
    idle_timeout: u32,
    #[serde(borrow)]
    signature: Text<'a>,
    #[serde(borrow)]
    confirmation: Text<'a>,
}

impl AcceptJson<'_> {
    fn from_binary(message: &[u8]) -> Result<AcceptJson<'static>, HandshakeError> {
        let m2 = Accept::parse(message)?;
        let server_did =
            core::str::from_utf8(m2.server_did).map_err(|_| HandshakeError::InvalidDid("must be ASCII"))?;
        Ok(AcceptJson {
            suite: m2.suite,
            session_id: Cow::Owned(session_id_text(m2.session_id)),
            server_did: Cow::Owned(server_did.into()),
            server_ephemeral_key: text_of(m2.key_share),
            server_nonce: text_of(m2.server_nonce),
            expires_at: integer("expires_at must be below 2^53 in JSON", m2.expires_at_ms)?,
            idle_timeout: m2.idle_timeout_s,
            signature: text_of(m2.signature),
            confirmation: text_of(m2.confirmation),
        })
    }

    fn to_binary(&self) -> Result<Vec<u8>, HandshakeError> {
        let mut message = Vec::with_capacity(256);
        put_lp(&mut message, self.server_did.as_bytes());
        message.extend_from_slice(&encode_accept(&AcceptFields {
            suite: self.suite,
            session_id: &id_of(&self.session_id)?,
            key_share: &bytes_of("server_ephemeral_key must be base64url", &self.server_ephemeral_key)?,
            server_nonce: &array_of("server_nonce must be 32 bytes, base64url", &self.server_nonce)?,
            expires_at_ms: integer("expires_at must be below 2^53", self.expires_at)?,
            idle_timeout_s: self.idle_timeout,
        }));
        let signature: [u8; SIGNATURE_LEN] =
            array_of("signature must be 64 bytes, base64url", &self.signature)?;
        let confirmation: [u8; 32] =
            array_of("confirmation must be 32 bytes, base64url", &self.confirmation)?;
        message.extend_from_slice(&signature);
        message.extend_from_slice(&confirmation);
        Ok(message)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfirmJson<'a> {
    #[serde(borrow)]
    session_id: Text<'a>,
    #[serde(borrow)]
    confirmation: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    signature: Option<Text<'a>>,
}

impl ConfirmJson<'_> {
    fn from_binary(message: &[u8]) -> Result<ConfirmJson<'static>, HandshakeError> {
        let mut reader = Reader::new(message);
        let (Ok(id), Ok(mac)) = (reader.array(), reader.array::<CONFIRMATION_LEN>()) else {
            return Err(MALFORMED_BINARY);
        };
        let signature = match reader.rest() {
            [] => None,
            signature if signature.len() == SIGNATURE_LEN => Some(text_of(signature)),
            _ => return Err(MALFORMED_BINARY),
        };
        Ok(ConfirmJson { session_id: Cow::Owned(session_id_text(id)), confirmation: text_of(mac), signature })
    }

    fn to_binary(&self) -> Result<Vec<u8>, HandshakeError> {
        let mut message = id_of(&self.session_id)?.to_vec();
        let mac: [u8; CONFIRMATION_LEN] =
            array_of("confirmation must be 32 bytes, base64url", &self.confirmation)?;
        message.extend_from_slice(&mac);
        if let Some(signature) = &self.signature {
            let signature: [u8; SIGNATURE_LEN] =
                array_of("signature must be 64 bytes, base64url", signature)?;
            message.extend_from_slice(&signature);
        }
        Ok(message)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestJson<'a> {
    #[serde(borrow)]
    session_id: Text<'a>,
    epoch: u32,
    #[serde(borrow)]
    nonce: Text<'a>,
    #[serde(borrow)]
    mac: Text<'a>,
}

impl RequestJson<'_> {
    fn from_binary(message: &[u8]) -> Result<RequestJson<'static>, HandshakeError> {
        let message: &[u8; REQUEST_LEN] = message.try_into().map_err(|_| MALFORMED_BINARY)?;
        let (id, rest) = message.split_first_chunk().ok_or(MALFORMED_BINARY)?;
        let (epoch, rest) = rest.split_first_chunk().ok_or(MALFORMED_BINARY)?;
        Ok(RequestJson {
            session_id: Cow::Owned(session_id_text(id)),
            epoch: u32::from_be_bytes(*epoch),
            nonce: text_of(&rest[..32]),
            mac: text_of(&rest[32..]),
        })
    }

    fn to_binary(&self) -> Result<Vec<u8>, HandshakeError> {
        let mut message = id_of(&self.session_id)?.to_vec();
        message.extend_from_slice(&self.epoch.to_be_bytes());
        put_nonce_and_mac(&mut message, &self.nonce, &self.mac)?;
        Ok(message)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyJson<'a> {
    #[serde(borrow)]
    nonce: Text<'a>,
    #[serde(borrow)]
    mac: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    adopted: Option<Object<RequestJson<'a>>>,
}

/// An optional field that may be absent, but not `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Option<T>, D::Error> {
    T::deserialize(input).map(Some)
}

impl ReplyJson<'_> {
    fn from_binary(message: &[u8]) -> Result<ReplyJson<'static>, HandshakeError> {
        let (reply, adopted) = message.split_first_chunk::<REPLY_LEN>().ok_or(MALFORMED_BINARY)?;
        let adopted =
            if adopted.is_empty() { None } else { Some(Object(RequestJson::from_binary(adopted)?)) };
        Ok(ReplyJson { nonce: text_of(&reply[..32]), mac: text_of(&reply[32..]), adopted })
    }

    fn to_binary(&self) -> Result<Vec<u8>, HandshakeError> {
        let mut message = Vec::with_capacity(REPLY_LEN + REQUEST_LEN);
        put_nonce_and_mac(&mut message, &self.nonce, &self.mac)?;
        if let Some(Object(adopted)) = &self.adopted {
            message.extend_from_slice(&adopted.to_binary()?);
        }
        Ok(message)
    }
}

fn put_nonce_and_mac(message: &mut Vec<u8>, nonce: &str, mac: &str) -> Result<(), HandshakeError> {
    let nonce: [u8; 32] = array_of("nonce must be 32 bytes, base64url", nonce)?;
    let mac: [u8; 32] = array_of("mac must be 32 bytes, base64url", mac)?;
    message.extend_from_slice(&nonce);
    message.extend_from_slice(&mac);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::collection::{hash_set, vec};
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::ed25519::VerifyingKey;

    const DID: &str = "did:[a-z0-9]{1,8}:[A-Za-z0-9._:-]{0,60}[A-Za-z0-9._-]";

    fn comes_back(kind: Kind, message: &[u8]) -> Result<(), TestCaseError> {
        let text = encode(kind, message).expect("well-formed");
        prop_assert_eq!(decode(kind, text.as_bytes()), Ok(message.to_vec()));
        // No prefix of an object is one.
        for end in 0..text.len() {
            prop_assert!(decode(kind, &text.as_bytes()[..end]).is_err());
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn m1_comes_back(
            suites in hash_set(any::<u16>(), 1..5),
            dids in (DID, DID),
            keys: ([u8; 32], [u8; 32], [u8; 32]),
            timestamp_ms in 0..=MAX_INTEGER,
            rest in (vec(any::<u8>(), 0..50), vec(any::<u8>(), 0..50), vec(any::<u8>(), 0..50)),
            signature in vec(any::<u8>(), 64),
        ) {
            prop_assume!(VerifyingKey::from_bytes(&keys.0).is_ok());
            let mut message = encode_initiate(&InitiateFields {
                suites: &suites.into_iter().collect::<Vec<_>>(),
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
            message.extend_from_slice(&signature);
            comes_back(Kind::Initiate, &message)?;
        }

        #[test]
        fn m2_comes_back(
            server_did in DID,
            suite: u16,
            session_id: SessionId,
            key_share in vec(any::<u8>(), 0..50),
            server_nonce: [u8; 32],
            expires_at_ms in 0..=MAX_INTEGER,
            idle_timeout_s: u32,
            authenticators in vec(any::<u8>(), 96),
        ) {
            let mut message = Vec::new();
            put_lp(&mut message, server_did.as_bytes());
            message.extend_from_slice(&encode_accept(&AcceptFields {
                suite,
                session_id: &session_id,
                key_share: &key_share,
                server_nonce: &server_nonce,
                expires_at_ms,
                idle_timeout_s,
            }));
            message.extend_from_slice(&authenticators);
            comes_back(Kind::Accept, &message)?;
        }

        #[test]
        fn the_others_come_back(
            m3 in vec(any::<u8>(), 48),
            signature in option::of(vec(any::<u8>(), 64)),
            r1 in vec(any::<u8>(), REQUEST_LEN),
            r2 in vec(any::<u8>(), REPLY_LEN),
            adopted: bool,
        ) {
            comes_back(Kind::Confirm, &[m3, signature.unwrap_or_default()].concat())?;
            comes_back(Kind::RekeyRequest, &r1)?;
            comes_back(Kind::RekeyReply, &if adopted { [r2, r1].concat() } else { r2 })?;
        }

        #[test]
        fn integers_that_json_cannot_keep_are_not_written(expires_at_ms in MAX_INTEGER + 1..) {
            let mut message = vec![0, 0];
            message.extend_from_slice(&encode_accept(&AcceptFields {
                suite: 1,
                session_id: &[0; 16],
                key_share: &[],
                server_nonce: &[0; 32],
                expires_at_ms,
                idle_timeout_s: 1,
            }));
            message.extend_from_slice(&[0; 96]);
            prop_assert!(encode(Kind::Accept, &message).is_err());
        }
    }

    #[test]
    fn an_array_is_not_an_object() {
        let (zeros, id) = ("A".repeat(43), "00000000-0000-0000-0000-000000000000");
        let r2 = format!(r#"{{"nonce":"{zeros}","mac":"{zeros}"}}"#);
        assert!(decode(Kind::RekeyReply, r2.as_bytes()).is_ok());
        for array in [
            format!(r#"["{zeros}","{zeros}"]"#),
            format!(r#"{{"nonce":"{zeros}","mac":"{zeros}","adopted":["{id}",0,"{zeros}","{zeros}"]}}"#),
        ] {
            assert!(decode(Kind::RekeyReply, array.as_bytes()).is_err(), "{array}");
        }
    }

    #[test]
    fn session_ids_have_one_spelling() {
        let id = *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
        let text = "00112233-4455-6677-8899-aabbccddeeff";
        assert_eq!(session_id_text(&id), text);
        assert_eq!(session_id_from_text(text), Some(id));
        for other in [
            "00112233-4455-6677-8899-AABBCCDDEEFF",
            "00112233445566778899aabbccddeeff",
            "00112233-4455-6677-8899-aabbccddeef",
            "00112233-4455-6677-8899-aabbccddeeff0",
            "",
            "00112233x4455-6677-8899-aabbccddeeff",
        ] {
            assert_eq!(session_id_from_text(other), None, "{other}");
        }
    }
}
