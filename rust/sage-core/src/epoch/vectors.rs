//! `records.json` below the session: every record byte for byte, at any epoch and number.

use core::mem::MaybeUninit;

use serde_json::Value;

use super::{Epoch, prk};
use crate::hkdf::{LABEL_PREFIX, Prk};
use crate::incarnation::RecordKey;
use crate::record::{Flags, HEADER_LEN, Header, RECORD_OVERHEAD};
use crate::rekey::Reply;
use crate::secret::Secret;

const FILE: &str = include_str!("../../../../tests/vectors/records.json");

#[test]
fn every_record_is_sealed_and_opened_to_the_byte() {
    let (mut records, mut rekeys) = (0, 0);
    for case in cases("session") {
        let secret = |name: &str| Secret::copy_from(&array(&case[name]));
        let mut epoch = Epoch::new(0, secret("c2s_0"), secret("s2c_0"));
        for step in list(&case["steps"]) {
            if step["op"] == "rekey" {
                epoch = advance(&epoch, step);
                rekeys += 1;
            } else {
                seal_and_open(&epoch, step);
                records += 1;
            }
        }
    }
    assert_eq!((records, rekeys), (26, 4));
}

#[test]
fn labels_are_those_of_the_reference() {
    let mut labels = 0;
    for case in cases("hkdf_label") {
        let (label, context) = (bytes(&case["label"]), bytes(&case["context"]));
        let label = core::str::from_utf8(&label).expect("text");
        let key = Prk::extract(b"salt", b"ikm");
        let mut ours = vec![0; usize::try_from(number(&case["length"])).expect("short")];
        let mut plain = ours.clone();
        key.expand_label(LABEL_PREFIX, label, &context, &mut ours);
        key.expand(&[&bytes(&case["info"])], &mut plain).expect("short");
        assert_eq!(ours, plain, "{label}");
        labels += 1;
    }
    assert_eq!(labels, 3);
}

/// An epoch as the client has it: it sends under `c2s`.
fn seal_and_open(epoch: &Epoch, step: &Value) {
    let (record, aad, plaintext) = (bytes(&step["record"]), bytes(&step["aad"]), bytes(&step["plaintext"]));
    let header = Header::of_record(&record).expect("well-formed");
    assert_eq!(u64::from(header.epoch), number(&step["epoch"]));
    assert_eq!(u64::from(header.flags.bits()), number(&step["flags"]));
    assert_eq!(header.seq, number(&step["seq"]));
    let from_client = header.direction as u8 == 0;
    let secret = if from_client { &epoch.send_secret } else { &epoch.receive_secret };
    let key = RecordKey::derive(&prk(secret), &header.incarnation);
    let mut sealed = vec![MaybeUninit::uninit(); record.len() - HEADER_LEN];
    key.seal(header.seq, [&header.to_bytes(), &aad], &plaintext, &mut sealed);
    assert_eq!([&header.to_bytes()[..], &filled(&sealed)].concat(), record);

    let (mine, theirs) = (secret.duplicate(), secret.duplicate());
    let mut receiver = Epoch::new(header.epoch, mine, theirs);
    let mut opened = vec![MaybeUninit::uninit(); record.len() - RECORD_OVERHEAD];
    let window = receiver.open(&header, &record, &aad, &mut opened, 1).expect("genuine");
    assert!(window.admit(header.seq));
    assert_eq!(filled(&opened), plaintext);
    assert_eq!(header.flags.contains(Flags::CLOSE), plaintext.is_empty() && header.flags.bits() & 1 == 1);
}

fn advance(epoch: &Epoch, step: &Value) -> Epoch {
    let reply: Reply = array(&step["r2"]);
    let next = epoch.next(&array(&step["r1_committed"]), &reply).expect("not the last epoch");
    assert_eq!(next.send_secret.expose(), &array(&step["next_c2s"]));
    assert_eq!(next.receive_secret.expose(), &array(&step["next_s2c"]));
    next
}

#[allow(unsafe_code)]
fn filled(bytes: &[MaybeUninit<u8>]) -> Vec<u8> {
    // SAFETY: called only after seal or open succeeded, which write every byte.
    bytes.iter().map(|byte| unsafe { byte.assume_init() }).collect()
}

fn cases(kind: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(FILE).expect("JSON");
    list(&file["cases"]).iter().filter(|case| case["kind"] == kind).cloned().collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("an unsigned integer")
}

fn bytes(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("a string").as_bytes();
    let byte = |pair| u8::from_str_radix(core::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
    digits.chunks(2).map(byte).collect()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("of this length")
}
