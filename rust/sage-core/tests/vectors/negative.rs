//! `negative.json`: one message each, with the code that it must get.

use std::collections::{BTreeMap, HashSet};

use sage_core::ed25519::VerifyingKey;
use sage_core::error::{HandshakeError, SessionError};
use sage_core::handshake::Attempt;
use sage_core::json::{Kind, decode};
use sage_core::kek::KeyEncryptionKey;
use sage_core::random::SystemRandom;
use sage_core::session::Session;
use serde_json::Value;

use crate::agents::Agents;
use crate::case::{bytes, cases, file, flag, list, number, open, small, text};
use crate::script::Script;

/// What the wire would say, or `Ok` for an accepted message.
type Answer = Result<(), &'static str>;

const REFUSED: Answer = Err("authentication_failed");

#[test]
fn every_message_gets_its_code() {
    let file = file("negative.json");
    let (mut run, mut wrong) = (BTreeMap::new(), Vec::new());
    for case in cases(&file) {
        wrong.extend(disagreement(case, &file["setups"][text(&case["setup"])]));
        *run.entry(text(&case["feed"])).or_insert(0) += 1;
    }
    assert_eq!(wrong, [""; 0]);
    let expected = [
        ("accept", 50),
        ("accept.json", 10),
        ("confirm", 25),
        ("confirm.json", 15),
        ("initiate", 170),
        ("initiate.json", 139),
        ("r1", 18),
        ("r1.json", 9),
        ("record", 115),
        ("rekey_reply", 17),
        ("rekey_reply.json", 12),
    ];
    assert_eq!(run, BTreeMap::from(expected));
}

fn disagreement(case: &Value, setup: &Value) -> Option<String> {
    let name = text(&case["name"]);
    let mut situation = Situation::new(setup);
    for item in list(&case["before"]) {
        let refused = situation.feed(item).is_err();
        assert_eq!(refused, flag(&case["before_refused"]), "{name}: an earlier item");
    }
    let answer = situation.feed(case).err();
    let allowed = answer.is_some_and(|code| list(&case["also"]).iter().any(|also| also == code));
    let right = allowed || answer == case["error"].as_str();
    (!right).then(|| format!("{name}: {answer:?}, not {}", case["error"]))
}

struct Situation<'a> {
    setup: &'a Value,
    agents: Agents<'a>,
    attempt: Option<Attempt>,
    client: Option<Session>,
    server: Option<Session>,
    admitted: HashSet<(String, [u8; 32])>,
}

impl<'a> Situation<'a> {
    fn new(setup: &'a Value) -> Self {
        let agents = Agents::new(setup, number(&setup["max_lifetime_ms"]));
        let admitted = HashSet::new();
        let mut situation = Self { setup, agents, attempt: None, client: None, server: None, admitted };
        let state = text(&setup["state"]);
        if state != "fresh" {
            situation.initiate();
        }
        if ["half_open", "open", "rekeying"].contains(&state) {
            situation.shake_hands(state != "half_open");
        }
        if state == "rekeying" {
            let mut random = Script::new([bytes(&setup["rekey_nonce_c"])]);
            let client = situation.client.as_mut().expect("made");
            client.rekey_request(number(&setup["now_ms"]), &mut random).expect("R1");
        }
        situation
    }

    fn initiate(&mut self) {
        self.attempt = Some(self.agents.initiate(number(&self.setup["now_ms"])).0);
    }

    fn shake_hands(&mut self, confirm: bool) {
        let now_ms = number(&self.setup["now_ms"]);
        let (attempt, m1) = self.agents.initiate(now_ms);
        let mut request = self.agents.read(&m1, now_ms).expect("read");
        request.authenticate(None).expect("authentic");
        let accepted = self.agents.accept(&mut request, now_ms).expect("accepted");
        let mut server = accepted.session;
        let finished = self.agents.finish(attempt, &accepted.message, false, now_ms).expect("finished");
        if confirm {
            server.confirm(&finished.confirmation[16..], now_ms).expect("confirmed");
            server.limit_incarnations(small(&self.setup["max_incarnation_count"]));
        }
        if flag(&self.setup["windows_lost"]) {
            let kek = KeyEncryptionKey::new("kek", &[1; 32]).expect("an id");
            let row = server.wrap(&kek, "vectors", now_ms, &mut SystemRandom).expect("wrapped");
            server = row.unwrap(&kek, "vectors", None, now_ms).expect("unwrapped");
        }
        (self.client, self.server) = (Some(finished.session), Some(server));
    }

    fn feed(&mut self, item: &Value) -> Answer {
        let now_ms = number(&item["at_ms"]);
        let feed = text(&item["feed"]);
        let message = bytes(&item[if feed == "record" { "record" } else { "message" }]);
        let (kind, is_json) = feed.strip_suffix(".json").map_or((feed, false), |kind| (kind, true));
        let decoded = |kind| {
            if is_json { decode(kind, &message).map_err(handshake_code) } else { Ok(message.clone()) }
        };
        match kind {
            "initiate" => self.feed_initiate(&decoded(Kind::Initiate)?, now_ms),
            // Every failure of the client is the one.
            "accept" => decoded(Kind::Accept).map_or(REFUSED, |m2| self.feed_accept(&m2, now_ms)),
            "confirm" => self.feed_confirm(&decoded(Kind::Confirm)?, now_ms),
            "record" => self.feed_record(&message, &bytes(&item["aad"]), now_ms),
            "r1" => self.feed_request(&decoded(Kind::RekeyRequest)?, now_ms),
            "rekey_reply" => self.feed_reply(&decoded(Kind::RekeyReply)?, now_ms),
            other => panic!("nobody knows how to feed {other}"),
        }
    }

    fn feed_initiate(&mut self, m1: &[u8], now_ms: u64) -> Answer {
        let mut request = self.agents.read(m1, now_ms).map_err(handshake_code)?;
        let client_did = request.client_did().to_string();
        let listed: Option<Vec<_>> = self.setup["registered"].get(&client_did).map(|keys| {
            let key = |key| VerifyingKey::from_bytes(&bytes(key)).expect("a registered key");
            list(keys).iter().map(key).collect()
        });
        request.authenticate(listed.as_deref()).map_err(handshake_code)?;
        if !self.admitted.insert((client_did, *request.nonce())) {
            return Err("replay_detected");
        }
        self.agents.accept(&mut request, now_ms).map(|_| ()).map_err(handshake_code)
    }

    fn feed_accept(&mut self, m2: &[u8], now_ms: u64) -> Answer {
        let Some(attempt) = self.attempt.take() else { return REFUSED };
        let known = flag(&self.setup["session_id_known"]);
        self.agents.finish(attempt, m2, known, now_ms).map(|_| ()).map_err(handshake_code)
    }

    fn feed_confirm(&mut self, m3: &[u8], now_ms: u64) -> Answer {
        let server = self.server.as_mut().expect("a server's case");
        let (named, confirmation) = m3.split_first_chunk().ok_or("malformed_request")?;
        if *named != server.terms().session_id {
            return REFUSED;
        }
        server.confirm(confirmation, now_ms).map_err(session_code)
    }

    fn feed_record(&mut self, record: &[u8], aad: &[u8], now_ms: u64) -> Answer {
        let fed = if self.setup["role"] == "server" { &mut self.server } else { &mut self.client };
        open(fed.as_mut().expect("open"), record, aad, now_ms).map(|_| ()).map_err(session_code)
    }

    fn feed_request(&mut self, r1: &[u8], now_ms: u64) -> Answer {
        let draws = ["rekey_nonce_s", "server_incarnation"].map(|name| bytes(&self.setup[name]));
        let server = self.server.as_mut().expect("a server's case");
        server.answer_rekey(r1, now_ms, &mut Script::new(draws)).map(|_| ()).map_err(session_code)
    }

    fn feed_reply(&mut self, reply: &[u8], now_ms: u64) -> Answer {
        let client = self.client.as_mut().expect("a client's case");
        client.accept_rekey(reply, now_ms).map_err(session_code)
    }
}

fn handshake_code(error: HandshakeError) -> &'static str {
    match error {
        HandshakeError::Malformed(_) => "malformed_request",
        HandshakeError::InvalidDid(_) => "invalid_did",
        HandshakeError::InvalidKey(_) => "invalid_key",
        HandshakeError::UnsupportedVersion(_) => "unsupported_version",
        HandshakeError::UnsupportedSuite => "unsupported_suite",
        HandshakeError::Misdirected => "misdirected",
        HandshakeError::StaleTimestamp { .. } => "stale_timestamp",
        HandshakeError::ChallengeRequired { .. } => "challenge_required",
        HandshakeError::TooLarge(_) => "payload_too_large",
        HandshakeError::AuthenticationFailed => "authentication_failed",
        HandshakeError::OutOfOrder(_) | HandshakeError::Input(_) | HandshakeError::Random => {
            panic!("no message may cause {error:?}")
        }
    }
}

/// A session that cannot, in its state, is answered like one that does not exist.
fn session_code(error: SessionError) -> &'static str {
    match error {
        SessionError::Malformed(_) => "malformed_request",
        SessionError::TooLarge(_) => "payload_too_large",
        SessionError::AuthenticationFailed
        | SessionError::Expired
        | SessionError::Closed
        | SessionError::HalfOpen
        | SessionError::OutOfOrder(_) => "authentication_failed",
        SessionError::Replayed => "replay_detected",
        SessionError::RekeyRequired => "rekey_required",
        SessionError::BudgetSpent
        | SessionError::Restored
        | SessionError::Forked
        | SessionError::WindowsFull
        | SessionError::WindowsLost
        | SessionError::NoExporter
        | SessionError::Input(_)
        | SessionError::Random => panic!("no message may cause {error:?}"),
    }
}
