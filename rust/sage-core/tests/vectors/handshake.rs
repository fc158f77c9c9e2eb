//! `handshake.json`: every message byte for byte, in both carriers, and the exporter.

use core::slice;

use sage_core::handshake::authenticate_many;
use sage_core::json::{Kind, decode, encode, session_id_text};
use serde_json::Value;

use crate::agents::Agents;
use crate::case::{bytes, cases, file, number, same_json, small, text};

#[test]
fn every_transcript_is_repeated() {
    let file = file("handshake.json");
    let replayed = cases(&file).iter().map(replay).count();
    assert_eq!(replayed, 6);
}

fn replay(case: &Value) {
    let (name, inputs, outputs) = (&case["name"], &case["inputs"], &case["outputs"]);
    let agents = Agents::new(inputs, number(&inputs["client_max_lifetime_ms"]));
    let client_now_ms = number(&inputs["client_now_ms"]);
    let server_now_ms = number(&inputs["server_now_ms"]);

    let (attempt, m1) = agents.initiate(client_now_ms);
    same_message(Kind::Initiate, &m1, outputs, "initiate");
    let mut request = agents.read(&m1, server_now_ms).expect("M1 is read");
    request.authenticate(Some(slice::from_ref(agents.client_key()))).expect("M1 is authentic");
    let accepted = agents.accept(&mut request, server_now_ms).expect("M2");
    same_message(Kind::Accept, &accepted.message, outputs, "accept");
    let finished = agents.finish(attempt, &accepted.message, false, client_now_ms).expect("M3");
    same_message(Kind::Confirm, &finished.confirmation, outputs, "confirm");

    let (mut client, mut server) = (finished.session, accepted.session);
    server.confirm(&finished.confirmation[16..], server_now_ms).expect("confirmed");
    let (label, context) = (bytes(&inputs["export_label"]), bytes(&inputs["export_context"]));
    let label = core::str::from_utf8(&label).expect("text");
    for (session, now_ms) in [(&mut client, client_now_ms), (&mut server, server_now_ms)] {
        let mut okm = vec![0; small(&inputs["export_len"])];
        session.export(label, &context, now_ms, &mut okm).expect("exported");
        assert_eq!(okm, bytes(&outputs["exported"]), "{name}");
        assert_eq!(session_id_text(&session.terms().session_id), text(&outputs["session_id_text"]));
        assert_eq!(session.terms().expires_ms, number(&outputs["expires_at_ms"]), "{name}");
        assert_eq!(u64::from(session.terms().suite), number(&outputs["suite"]), "{name}");
    }
}

/// Whatever the size of the batch, each answer is the one that the transcript has.
#[test]
fn every_transcript_is_repeated_in_batches() {
    let mut answer_count = 0;
    for case in cases(&file("handshake.json")) {
        let (inputs, outputs) = (&case["inputs"], &case["outputs"]);
        let agents = Agents::new(inputs, number(&inputs["client_max_lifetime_ms"]));
        let (_, m1) = agents.initiate(number(&inputs["client_now_ms"]));
        let now_ms = number(&inputs["server_now_ms"]);
        for size in 0..=20 {
            let read = || agents.read(&m1, now_ms).expect("M1 is read");
            let mut requests: Vec<_> = (0..size).map(|_| read()).collect();
            let listed = vec![vec![agents.client_key().clone()]; size];
            let verdicts = authenticate_many(&mut requests.iter_mut().collect::<Vec<_>>(), &listed);
            assert_eq!(verdicts, Ok(vec![true; size]));
            for accepted in agents.accept_many(&mut requests, now_ms) {
                assert_eq!(accepted.message, bytes(&outputs["accept"]), "{} of {size}", case["name"]);
                answer_count += 1;
            }
        }
    }
    assert_eq!(answer_count, 6 * 210);
}

/// The binary carrier byte for byte, the JSON carrier in both directions.
fn same_message(kind: Kind, message: &[u8], outputs: &Value, name: &str) {
    assert_eq!(message, bytes(&outputs[name]), "{name}");
    let carrier = &outputs[format!("{name}_json")];
    assert!(same_json(&encode(kind, message).expect("encodes"), carrier), "{name}");
    assert_eq!(decode(kind, text(carrier).as_bytes()).as_deref(), Ok(message), "{name}");
}
