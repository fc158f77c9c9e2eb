//! The two sides of a vector, made from its inputs.

use sage_core::did::Did;
use sage_core::ed25519::{SigningKey, VerifyingKey};
use sage_core::error::HandshakeError;
use sage_core::handshake::{
    Accepted, Attempt, ChallengeKey, Finished, Initiator, Request, Responder, accept_many,
};
use serde_json::Value;

use crate::case::{array, bytes, flag, list, number, small, text};
use crate::script::Script;

pub struct Agents<'a> {
    inputs: &'a Value,
    client: SigningKey,
    server: SigningKey,
    initiator: Initiator,
    responder: Responder,
}

impl<'a> Agents<'a> {
    pub fn new(inputs: &'a Value, max_lifetime_ms: u64) -> Self {
        let client = SigningKey::from_seed(&array(&inputs["client_seed"]));
        let server = SigningKey::from_seed(&array(&inputs["server_seed"]));
        let signed = text(&inputs["confirmation"]) == "signature";
        let did = |name: &str| Did::parse(text(&inputs[name])).expect("a DID");
        let initiator = Initiator {
            client_did: did("client_did"),
            server_did: did("server_did"),
            server_key: server.verifying_key().clone(),
            suites: list(&inputs["suites"]).iter().map(small).collect(),
            max_lifetime_ms,
            sign_confirmation: signed,
        };
        let responder = Responder {
            dids: vec![did("server_did")],
            verifying_key: server.verifying_key().clone(),
            challenge_key: ChallengeKey::new(&array(&inputs["challenge_key"])),
            require_challenge: flag(&inputs["challenge_required"]),
            require_signed_confirmation: signed,
        };
        Self { inputs, client, server, initiator, responder }
    }

    pub fn client_key(&self) -> &VerifyingKey {
        self.client.verifying_key()
    }

    /// M1, from the inputs' ephemeral secret and nonce.
    pub fn initiate(&self, now_ms: u64) -> (Attempt, Vec<u8>) {
        let mut random = self.script(&["client_ephemeral_secret", "client_nonce"]);
        let (challenge, binding) = (self.input("challenge"), self.input("channel_binding"));
        let begun = self.initiator.initiate(&self.client, &challenge, &binding, now_ms, &mut random);
        assert!(random.is_spent());
        begun.expect("M1")
    }

    pub fn read(&self, m1: &[u8], now_ms: u64) -> Result<Request, HandshakeError> {
        let binding = self.input("channel_binding");
        self.responder.read(m1, Some(&binding).filter(|bytes| !bytes.is_empty()).map(|b| &b[..]), now_ms)
    }

    /// M2, from the inputs' ephemeral secret, session id and nonce.
    pub fn accept(&self, request: &mut Request, now_ms: u64) -> Result<Accepted, HandshakeError> {
        let mut random = self.script(&["server_ephemeral_secret", "session_id", "server_nonce"]);
        let (lifetime_ms, idle_s) =
            (number(&self.inputs["lifetime_ms"]), small(&self.inputs["idle_timeout_s"]));
        let accepted = request.accept(&self.server, lifetime_ms, idle_s, now_ms, &mut random);
        assert!(random.is_spent());
        accepted
    }

    /// The same M2 for each of these requests, answered together.
    pub fn accept_many(&self, requests: &mut [Request], now_ms: u64) -> Vec<Accepted> {
        let names = ["server_ephemeral_secret", "session_id", "server_nonce"];
        let draws = names.map(|name| self.input(name)).concat();
        let mut random = Script::new([draws.repeat(requests.len())]);
        let (lifetime_ms, idle_s) =
            (number(&self.inputs["lifetime_ms"]), small(&self.inputs["idle_timeout_s"]));
        let mut requests: Vec<_> = requests.iter_mut().collect();
        let accepted = accept_many(&mut requests, &self.server, lifetime_ms, idle_s, now_ms, &mut random);
        assert!(random.is_spent());
        accepted.expect("accepted").into_iter().map(|accepted| accepted.expect("M2")).collect()
    }

    pub fn finish(
        &self,
        attempt: Attempt,
        m2: &[u8],
        id_is_known: bool,
        now_ms: u64,
    ) -> Result<Finished, HandshakeError> {
        attempt.finish(m2, Some(&self.client), |_| id_is_known, now_ms)
    }

    fn input(&self, name: &str) -> Vec<u8> {
        bytes(&self.inputs[name])
    }

    fn script(&self, names: &[&str]) -> Script {
        Script::new(names.iter().map(|name| self.input(name)))
    }
}
