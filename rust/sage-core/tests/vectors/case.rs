//! Reading vector files and calling sessions on plain byte vectors.

use core::mem::MaybeUninit;
use std::path::Path;

use sage_core::error::SessionError;
use sage_core::random::RandomSource;
use sage_core::record::{Header, RECORD_OVERHEAD};
use sage_core::session::{SealOptions, Session};
use serde_json::Value;

/// A vector file.
pub fn file(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(name);
    let text = std::fs::read(path).expect("a vector file");
    serde_json::from_slice(&text).expect("JSON")
}

pub fn cases(file: &Value) -> &[Value] {
    list(&file["cases"])
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

pub fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

pub fn number(value: &Value) -> u64 {
    value.as_u64().expect("an unsigned integer")
}

pub fn small<T: TryFrom<u64>>(value: &Value) -> T {
    T::try_from(number(value)).ok().expect("a smaller integer")
}

pub fn flag(value: &Value) -> bool {
    value.as_bool().expect("a boolean")
}

pub fn bytes(value: &Value) -> Vec<u8> {
    let digits = text(value).as_bytes();
    let byte = |pair: &[u8]| {
        let pair = core::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).expect("hex")
    };
    digits.chunks(2).map(byte).collect()
}

pub fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("of this length")
}

/// Both texts hold the same JSON value; order of fields and white space are free.
pub fn same_json(ours: &str, theirs: &Value) -> bool {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    parsed(ours) == parsed(text(theirs))
}

pub fn seal(
    session: &mut Session,
    plaintext: &[u8],
    options: SealOptions<'_>,
    now_ms: u64,
    random: &mut dyn RandomSource,
) -> Result<Vec<u8>, SessionError> {
    let mut out = vec![MaybeUninit::uninit(); plaintext.len() + RECORD_OVERHEAD];
    session.seal(plaintext, options, now_ms, random, &mut out)?;
    Ok(filled(&out))
}

pub fn open(
    session: &mut Session,
    record: &[u8],
    aad: &[u8],
    now_ms: u64,
) -> Result<(Header, Vec<u8>), SessionError> {
    let mut out = vec![MaybeUninit::uninit(); record.len().saturating_sub(RECORD_OVERHEAD)];
    let header = session.open(record, aad, now_ms, &mut out)?;
    Ok((header, filled(&out)))
}

#[allow(unsafe_code)]
fn filled(bytes: &[MaybeUninit<u8>]) -> Vec<u8> {
    // SAFETY: called only after seal or open succeeded, which write every byte.
    bytes.iter().map(|byte| unsafe { byte.assume_init() }).collect()
}
