//! `records.json`: records and rekeys through sessions, and replay windows.
//!
//! A session with chosen secrets is a restored one (`rows.rs`). Until its first rekey it says only
//! whether a record is genuine: `RekeyRequired`, or `AuthenticationFailed`. From then on both sides
//! do everything. Epoch 0 is delivered in the unit tests of `epoch.rs`, which need no session.

use sage_core::error::SessionError;
use sage_core::json::{Kind, decode, encode};
use sage_core::record::{Direction, Flags};
use sage_core::session::{Role, SealOptions, Session};
use sage_core::window::ReplayWindow;
use serde_json::Value;

use crate::case::{array, bytes, cases, file, flag, list, number, open, same_json, seal, small, text};
use crate::rows;
use crate::script::Script;

const NOW: u64 = 1_767_225_600_000;

#[test]
fn windows_give_the_same_verdicts() {
    let file = file("records.json");
    let mut offers = 0;
    for case in cases(&file).iter().filter(|case| case["kind"] == "window") {
        let mut window = ReplayWindow::new();
        for offer in list(&case["offers"]) {
            let (seq, accepted) = (number(&offer[0]), flag(&offer[1]));
            assert_eq!(window.admit(seq), accepted, "{}: {seq}", case["name"]);
            offers += 1;
        }
    }
    assert_eq!(offers, 82);
}

#[test]
fn every_session_is_repeated() {
    let file = file("records.json");
    let mut done = Done::default();
    for case in cases(&file).iter().filter(|case| case["kind"] == "session") {
        replay(case, &mut done);
    }
    assert_eq!(done, Done { recognised: 19, repeated: 7, rekeyed: 4 });
}

/// What the steps came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    recognised: usize,
    repeated: usize,
    rekeyed: usize,
}

struct Pair {
    client: Session,
    server: Session,
}

impl Pair {
    fn at(case: &Value, epoch: u32) -> Self {
        let (c2s, s2c) = (array(&case["c2s_0"]), array(&case["s2c_0"]));
        let side = |role| rows::session(role, array(&case["session_id"]), epoch, c2s, s2c);
        Self { client: side(Role::Initiator), server: side(Role::Responder) }
    }

    /// The side that seals and the side that opens.
    fn towards(&mut self, step: &Value) -> (&mut Session, &mut Session) {
        if number(&step["direction"]) == Direction::ClientToServer as u64 {
            (&mut self.client, &mut self.server)
        } else {
            (&mut self.server, &mut self.client)
        }
    }
}

fn replay(case: &Value, done: &mut Done) {
    let mut pair = Pair::at(case, 0);
    let mut restored = true;
    for step in list(&case["steps"]) {
        let epoch = small(&step["epoch"]);
        if pair.client.epoch() != Some(epoch) {
            pair = Pair::at(case, epoch);
        }
        if step["op"] == "rekey" {
            rekey(&mut pair, step);
            restored = false;
            done.rekeyed += 1;
        } else if restored {
            recognise(&mut pair, step);
            done.recognised += 1;
        } else {
            repeat(&mut pair, step);
            done.repeated += 1;
        }
    }
}

/// A restored session tells a genuine record from every other.
fn recognise(pair: &mut Pair, step: &Value) {
    let (record, aad) = (bytes(&step["record"]), bytes(&step["aad"]));
    let (_, receiver) = pair.towards(step);
    let mut forged = record.clone();
    *forged.last_mut().expect("a tag") ^= 1;
    assert_eq!(open(receiver, &forged, &aad, NOW), Err(SessionError::AuthenticationFailed));
    assert_eq!(open(receiver, &record, &aad, NOW), Err(SessionError::RekeyRequired));
}

/// The same bytes out of one side, the same plaintext out of the other.
fn repeat(pair: &mut Pair, step: &Value) {
    let (plaintext, aad) = (bytes(&step["plaintext"]), bytes(&step["aad"]));
    let flags: u8 = small(&step["flags"]);
    let (sender, receiver) = pair.towards(step);
    let mut random = Script::new([bytes(&step["incarnation"])]);
    if flags & Flags::REKEY_WANTED.bits() != 0 {
        sender.skip(0, 16 << 30, NOW, &mut random).expect("spent");
    }
    let binary_http = flags & Flags::BINARY_HTTP.bits() != 0;
    let options = SealOptions { aad: &aad, binary_http, answers_epoch: None };
    let record = seal(sender, &plaintext, options, NOW, &mut random).expect("sealed");
    assert!(random.is_spent());
    assert_eq!(record, bytes(&step["record"]));
    let (header, opened) = open(receiver, &record, &aad, NOW).expect("opened");
    assert_eq!((header.flags.bits(), header.seq), (flags, number(&step["seq"])));
    assert_eq!(opened, plaintext);
}

/// R1 and the reply byte for byte, in both carriers.
fn rekey(pair: &mut Pair, step: &Value) {
    let (r1, committed) = (bytes(&step["r1"]), bytes(&step["r1_committed"]));
    let mut random = Script::new([bytes(&step["nonce_c"])]);
    assert_eq!(pair.client.rekey_request(NOW, &mut random).as_ref().map(|r1| &r1[..]), Ok(&r1[..]));
    // The second draw is the incarnation for answers that are still due, unless there is one.
    let mut random = Script::new([bytes(&step["nonce_s"]), vec![0; 16]]);
    let first = pair.server.answer_rekey(&committed, NOW, &mut random).expect("R2");
    assert_eq!(first, bytes(&step["r2"]));
    let reply = pair.server.answer_rekey(&r1, NOW, &mut random).expect("R2 again");
    assert_eq!(reply, bytes(&step["reply"]));
    pair.client.accept_rekey(&reply, NOW).expect("R2 is right");
    for (kind, message, name) in
        [(Kind::RekeyRequest, &r1, "r1_json"), (Kind::RekeyReply, &reply, "reply_json")]
    {
        assert!(same_json(&encode(kind, message).expect("encodes"), &step[name]));
        assert_eq!(decode(kind, text(&step[name]).as_bytes()).as_ref(), Ok(message));
    }
}
