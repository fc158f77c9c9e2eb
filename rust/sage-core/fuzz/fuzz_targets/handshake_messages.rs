//! Any bytes as any message: nothing panics, nothing is believed, and what can be written in the
//! other carrier comes back unchanged.
#![no_main]

mod agents;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sage_core::json::{Kind, decode, encode};
use sage_core::random::SystemRandom;

use agents::{Agents, NOW_MS};

static AGENTS: LazyLock<Agents> = LazyLock::new(Agents::new);

const KINDS: [Kind; 5] = [Kind::Initiate, Kind::Accept, Kind::Confirm, Kind::RekeyRequest, Kind::RekeyReply];

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    for kind in KINDS {
        carries(kind, bytes);
    }
    let Agents { client, server, initiator, responder } = &*AGENTS;
    if let Ok(mut request) = responder.read(bytes, None, NOW_MS) {
        assert!(request.authenticate(None).is_err(), "a forged M1");
        assert!(request.accept(server, 1, 1, NOW_MS, &mut SystemRandom).is_err());
    }
    // An attempt is spent by one answer and costs a signature: not on every input.
    if choice % 8 == 0 {
        let begun = initiator.initiate(client, b"", b"", NOW_MS, &mut SystemRandom);
        let (attempt, _) = begun.expect("usable settings");
        assert!(attempt.finish(bytes, None, |_| false, NOW_MS).is_err(), "a forged M2");
    }
});

/// `decode(encode(x)) == x` for whatever has both forms, begun from either.
fn carries(kind: Kind, bytes: &[u8]) {
    if let Ok(text) = encode(kind, bytes) {
        assert_eq!(decode(kind, text.as_bytes()).as_deref(), Ok(bytes));
    }
    if let Ok(message) = decode(kind, bytes)
        && let Ok(text) = encode(kind, &message)
    {
        assert_eq!(decode(kind, text.as_bytes()), Ok(message));
    }
}
