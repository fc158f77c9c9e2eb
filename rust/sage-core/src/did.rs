//! Decentralised identifiers, as narrow as the protocol wants them.
//!
//! A DID is a name that ends up in signatures, logs and cache keys, so there is exactly one
//! spelling of each: ASCII, at most 256 bytes, lower-case method, no percent escapes, no path,
//! query or fragment. `did:key` names an Ed25519 key by itself and needs nobody to resolve it.

use core::fmt;
use std::sync::Arc;

use crate::error::InputError;

/// The longest DID accepted, in bytes.
pub const MAX_DID_LEN: usize = 256;

/// Multicodec `ed25519-pub` (0xed) as a varint, in front of the key inside a `did:key`.
const ED25519_MULTICODEC: [u8; 2] = [0xed, 0x01];

/// A checked DID. Copies share the text: a server's own stands in every session.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Did(Arc<str>);

impl Did {
    /// Checks `text` against W3C DID Core §3.1 and this protocol's narrowing of it.
    ///
    /// # Errors
    /// [`InputError`] says which rule is broken.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        match flaw(text.as_bytes()) {
            None => Ok(Self(text.into())),
            Some(why) => Err(InputError::Value { what: "DID", why }),
        }
    }

    /// As [`Did::parse`], from bytes off the wire.
    pub(crate) fn from_wire(bytes: &[u8]) -> Result<Self, &'static str> {
        if let Some(why) = flaw(bytes) {
            return Err(why);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| "must be ASCII")?;
        Ok(Self(text.into()))
    }

    /// The `did:key` of an Ed25519 verifying key: multibase base58btc of multicodec and key.
    #[must_use]
    pub fn from_ed25519(key: &[u8; 32]) -> Self {
        let mut bytes = [0; 34];
        bytes[..2].copy_from_slice(&ED25519_MULTICODEC);
        bytes[2..].copy_from_slice(key);
        Self(format!("did:key:z{}", bs58::encode(bytes).into_string()).into())
    }

    /// The Ed25519 key that a `did:key` spells out, or `None` for every other DID.
    #[must_use]
    pub fn ed25519_key(&self) -> Option<[u8; 32]> {
        let base58 = self.0.strip_prefix("did:key:z")?;
        let mut bytes = [0; 34];
        let len = bs58::decode(base58).onto(&mut bytes).ok()?;
        let key = bytes.strip_prefix(&ED25519_MULTICODEC)?.try_into().ok()?;
        (len == bytes.len()).then_some(key)
    }

    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Did({})", self.0)
    }
}

/// The first rule that `bytes` breaks.
fn flaw(bytes: &[u8]) -> Option<&'static str> {
    if bytes.len() > MAX_DID_LEN {
        return Some("may be at most 256 bytes long");
    }
    let Some(rest) = bytes.strip_prefix(b"did:") else {
        return Some("must begin with 'did:'");
    };
    let Some(colon) = rest.iter().position(|&byte| byte == b':') else {
        return Some("must have the form did:method:identifier");
    };
    let (method, identifier) = (&rest[..colon], &rest[colon + 1..]);
    if method.is_empty() || !method.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        return Some("must name its method in lower-case letters and digits");
    }
    if identifier.last().is_none_or(|&last| last == b':') {
        return Some("must end in an identifier");
    }
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    if !identifier.iter().all(allowed) {
        return Some("may hold only letters, digits and . - _ : after its method");
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn did_key_of_the_w3c_example_round_trips() {
        // W3C did:key, "Ed25519" test vector.
        let text = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
        let did = Did::parse(text).expect("valid");
        let key = did.ed25519_key().expect("an Ed25519 key");
        assert_eq!(Did::from_ed25519(&key).as_str(), text);
    }

    proptest! {
        #[test]
        fn did_key_round_trips(key: [u8; 32]) {
            let did = Did::from_ed25519(&key);
            prop_assert_eq!(Did::parse(did.as_str()), Ok(did.clone()));
            prop_assert_eq!(did.ed25519_key(), Some(key));
        }

        #[test]
        fn what_the_grammar_makes_is_accepted(text in "did:[a-z0-9]{1,20}:[A-Za-z0-9._:-]{0,200}[A-Za-z0-9._-]") {
            prop_assert!(Did::parse(&text).is_ok());
            prop_assert!(Did::from_wire(text.as_bytes()).is_ok());
        }

        #[test]
        fn nothing_else_gets_in(text in "(did:[a-z0-9]{1,5}:)?\\PC{0,20}") {
            if Did::parse(&text).is_ok() {
                prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b)));
            }
        }
    }

    #[test]
    fn one_spelling_only() {
        for bad in [
            "",
            "did",
            "did:",
            "did::x",
            "did:key:",
            "did:key:a:",
            "DID:key:a",
            "did:Key:a",
            "did:web:a%2fb",
            "did:web:a/b",
            "did:web:a?b",
            "did:web:a#b",
            "did:web:a\n",
            "did:web:a\0",
            "did:web:a|b",
            "did:web:é",
            " did:web:a",
        ] {
            assert!(Did::parse(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(Did::parse(&format!("did:web:{}", "a".repeat(248))).is_ok());
        assert!(Did::parse(&format!("did:web:{}", "a".repeat(249))).is_err());
    }

    #[test]
    fn other_multicodecs_are_not_ed25519() {
        let x25519 = Did::parse("did:key:z6LSeu9HkTHSfLLeUs2nnzUSNedgDUevfNQgQjQC23ZCit6F").expect("valid");
        assert_eq!(x25519.ed25519_key(), None);
    }
}
