//! Two agents, one conversation: handshake, records, rekey, store and close, through the public API.

use core::mem::MaybeUninit;
use std::sync::Arc;

use sage_core::did::Did;
use sage_core::ed25519::{SigningKey, VerifyingKey};
use sage_core::error::{HandshakeError, SessionError};
use sage_core::handshake::{ChallengeKey, Initiator, Responder, SUITE_1};
use sage_core::kek::KeyEncryptionKey;
use sage_core::random::SystemRandom;
use sage_core::record::RECORD_OVERHEAD;
use sage_core::replay::{Moment, WindowTable};
use sage_core::session::{REST_AFTER_MS, SealOptions, Session, State};

const NOW: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 3_600_000;

struct Agents {
    alice: SigningKey,
    bob: SigningKey,
    initiator: Initiator,
    responder: Responder,
}

fn did(key: &VerifyingKey) -> Did {
    key.did()
}

impl Agents {
    fn new(signed: bool) -> Self {
        let random = &mut SystemRandom;
        let alice = SigningKey::generate(random).expect("random");
        let bob = SigningKey::generate(random).expect("random");
        let initiator = Initiator {
            client_did: did(alice.verifying_key()),
            server_did: did(bob.verifying_key()),
            server_key: bob.verifying_key().clone(),
            suites: vec![SUITE_1],
            max_lifetime_ms: 24 * HOUR_MS,
            sign_confirmation: signed,
        };
        let responder = Responder {
            dids: vec![did(bob.verifying_key())],
            verifying_key: bob.verifying_key().clone(),
            challenge_key: ChallengeKey::new(&[7; 32]),
            require_challenge: false,
            require_signed_confirmation: signed,
        };
        Self { alice, bob, initiator, responder }
    }

    /// Both sessions, the responder's still half-open, and M3.
    fn handshake(&self) -> (Session, Session, Vec<u8>) {
        let random = &mut SystemRandom;
        let (attempt, m1) = self.initiator.initiate(&self.alice, b"", b"", NOW, random).expect("initiate");
        let mut request = self.responder.read(&m1, None, NOW).expect("read");
        request.authenticate(None).expect("authenticate");
        let accepted = request.accept(&self.bob, HOUR_MS, 600, NOW, random).expect("accept");
        let finished = attempt.finish(&accepted.message, Some(&self.alice), |_| false, NOW).expect("finish");
        (finished.session, accepted.session, finished.confirmation)
    }
}

fn seal(session: &mut Session, plaintext: &[u8]) -> Result<Vec<u8>, SessionError> {
    seal_answering(session, plaintext, None)
}

fn seal_answering(
    session: &mut Session,
    plaintext: &[u8],
    answers_epoch: Option<u32>,
) -> Result<Vec<u8>, SessionError> {
    let mut out = vec![MaybeUninit::uninit(); plaintext.len() + RECORD_OVERHEAD];
    let options = SealOptions { answers_epoch, ..SealOptions::default() };
    session.seal(plaintext, options, NOW, &mut SystemRandom, &mut out)?;
    Ok(filled(&out))
}

fn open(session: &mut Session, record: &[u8]) -> Result<Vec<u8>, SessionError> {
    open_at(session, record, NOW)
}

fn open_at(session: &mut Session, record: &[u8], now_ms: u64) -> Result<Vec<u8>, SessionError> {
    let mut out = vec![MaybeUninit::uninit(); record.len() - RECORD_OVERHEAD];
    session.open(record, b"", now_ms, &mut out)?;
    Ok(filled(&out))
}

fn window_table() -> Arc<WindowTable> {
    let table =
        WindowTable::open(None, 100, 24 * HOUR_MS, Moment::at(NOW), &mut SystemRandom).expect("a table");
    Arc::new(table)
}

#[allow(unsafe_code)]
fn filled(bytes: &[MaybeUninit<u8>]) -> Vec<u8> {
    // SAFETY: called only after seal or open succeeded, which write every byte.
    bytes.iter().map(|byte| unsafe { byte.assume_init() }).collect()
}

#[test]
fn the_first_record_confirms() {
    let (mut client, mut server, _) = Agents::new(false).handshake();
    assert_eq!(server.state(), State::HalfOpen);
    assert_eq!(seal(&mut server, b"too early"), Err(SessionError::HalfOpen));
    let record = seal(&mut client, b"hello").expect("seal");
    assert_eq!(open(&mut server, &record).as_deref(), Ok(&b"hello"[..]));
    assert_eq!(server.state(), State::Open);
    assert_eq!(open(&mut server, &record), Err(SessionError::Replayed));
    let answer = seal(&mut server, b"hi").expect("seal");
    assert_eq!(open(&mut client, &answer).as_deref(), Ok(&b"hi"[..]));
}

#[test]
fn only_a_signed_confirmation_opens_under_policy_signature() {
    let (mut client, mut server, m3) = Agents::new(true).handshake();
    let record = seal(&mut client, b"hello").expect("seal");
    assert_eq!(open(&mut server, &record), Err(SessionError::HalfOpen));
    assert_eq!(server.confirm(&m3[16..48], NOW), Err(SessionError::AuthenticationFailed));
    server.confirm(&m3[16..], NOW).expect("confirm");
    server.confirm(&m3[16..], NOW + 9_999).expect("the right one may come again");
    assert_eq!(server.confirm(&m3[16..], NOW + 10_000), Err(SessionError::AuthenticationFailed));
    open(&mut server, &record).expect("open");
}

#[test]
fn half_open_sessions_die_after_ten_seconds() {
    let (_, mut server, m3) = Agents::new(false).handshake();
    assert_eq!(server.confirm(&m3[16..], NOW + 10_000), Err(SessionError::Expired));
    assert_eq!(server.state(), State::Expired);
}

#[test]
fn rekey_moves_both_sides_and_late_messages_are_told_apart() {
    let (mut client, mut server, m3) = Agents::new(false).handshake();
    server.confirm(&m3[16..], NOW).expect("confirm");
    let random = &mut SystemRandom;
    let before = seal(&mut client, b"before").expect("seal");
    open(&mut server, &before).expect("open");
    let answer = seal(&mut server, b"answer").expect("seal");
    open(&mut client, &answer).expect("the client knows the server's incarnation from here on");
    let late_request = seal(&mut client, b"late request").expect("seal");
    let late_answer = seal(&mut server, b"late answer").expect("seal");
    let r1 = client.rekey_request(NOW, random).expect("R1");
    assert_eq!(client.rekey_request(NOW, random).expect("R1"), r1, "R1 repeats unchanged");
    let r2 = server.answer_rekey(&r1, NOW, random).expect("R2");
    assert_eq!(server.answer_rekey(&r1, NOW, random).expect("R2"), r2, "one R2 for one R1");
    client.accept_rekey(&r2, NOW).expect("accept");
    assert_eq!((client.epoch(), server.epoch()), (Some(1), Some(1)));
    assert_eq!(open(&mut server, &late_request), Err(SessionError::RekeyRequired));
    assert_eq!(open(&mut client, &late_answer).as_deref(), Ok(&b"late answer"[..]));
    let answer = seal_answering(&mut server, b"answer of epoch 0", Some(0)).expect("seal");
    assert_eq!(open(&mut client, &answer).as_deref(), Ok(&b"answer of epoch 0"[..]));
    let after = seal(&mut client, b"after").expect("seal");
    open(&mut server, &after).expect("open");
    assert_eq!(server.answer_rekey(&r1, NOW, random), Err(SessionError::AuthenticationFailed));
}

#[test]
fn a_second_request_adopts_the_committed_rekey() {
    let agents = Agents::new(false);
    let (mut client, mut server, m3) = agents.handshake();
    server.confirm(&m3[16..], NOW).expect("confirm");
    let random = &mut SystemRandom;
    let kek = KeyEncryptionKey::new("kek-1", &[9; 32]).expect("id");
    let row = client.wrap(&kek, "test", NOW, random).expect("wrap");
    let lost = client.rekey_request(NOW, random).expect("R1");
    server.answer_rekey(&lost, NOW, random).expect("R2, lost on the way");
    // The client restarts from its store and has forgotten its R1.
    let mut client = row.unwrap(&kek, "test", None, NOW).expect("unwrap");
    assert_eq!(seal(&mut client, b"too early"), Err(SessionError::Restored));
    let again = client.rekey_request(NOW, random).expect("R1");
    assert_ne!(again, lost);
    let reply = server.answer_rekey(&again, NOW, random).expect("R2 and the committed R1");
    assert_eq!(reply.len(), 64 + 84);
    client.accept_rekey(&reply, NOW).expect("adopts");
    let record = seal(&mut client, b"together again").expect("seal");
    assert_eq!(open(&mut server, &record).as_deref(), Ok(&b"together again"[..]));
}

#[test]
fn a_restored_server_demands_a_rekey_and_delivers_nothing_twice() {
    let (mut client, mut server, m3) = Agents::new(false).handshake();
    server.confirm(&m3[16..], NOW).expect("confirm");
    let random = &mut SystemRandom;
    let kek = KeyEncryptionKey::new("kek-1", &[9; 32]).expect("id");
    let record = seal(&mut client, b"once").expect("seal");
    open(&mut server, &record).expect("open");
    let row = server.wrap(&kek, "test", NOW, random).expect("wrap");
    let mut restored = row.unwrap(&kek, "test", None, NOW).expect("unwrap");
    assert_eq!(open(&mut restored, &record), Err(SessionError::RekeyRequired));
    let mut forged = record.clone();
    forged[50] ^= 1;
    assert_eq!(open(&mut restored, &forged), Err(SessionError::AuthenticationFailed));
    let r1 = client.rekey_request(NOW, random).expect("R1");
    let r2 = restored.answer_rekey(&r1, NOW, random).expect("R2");
    client.accept_rekey(&r2, NOW).expect("accept");
    let record = seal(&mut client, b"twice").expect("seal");
    assert_eq!(open(&mut restored, &record).as_deref(), Ok(&b"twice"[..]));
}

#[test]
fn a_restored_client_takes_no_answer_twice() {
    let (mut client, mut server, m3) = Agents::new(false).handshake();
    server.confirm(&m3[16..], NOW).expect("confirm");
    let random = &mut SystemRandom;
    let kek = KeyEncryptionKey::new("kek-1", &[9; 32]).expect("id");
    let answer = seal(&mut server, b"once").expect("seal");
    open(&mut client, &answer).expect("open");
    let row = client.wrap(&kek, "test", NOW, random).expect("wrap");
    let mut client = row.unwrap(&kek, "test", None, NOW).expect("unwrap");
    assert_eq!(open(&mut client, &answer), Err(SessionError::RekeyRequired));
    let r1 = client.rekey_request(NOW, random).expect("R1");
    let r2 = server.answer_rekey(&r1, NOW, random).expect("R2");
    client.accept_rekey(&r2, NOW).expect("accept");
    assert_eq!(open(&mut client, &answer), Err(SessionError::AuthenticationFailed));
}

#[test]
fn a_late_request_is_told_whether_it_was_executed() {
    let (mut client, mut server, _) = Agents::new(false).handshake();
    let random = &mut SystemRandom;
    let executed = seal(&mut client, b"executed").expect("seal");
    open(&mut server, &executed).expect("open");
    let late = seal(&mut client, b"late").expect("seal");
    let r1 = client.rekey_request(NOW, random).expect("R1");
    server.answer_rekey(&r1, NOW, random).expect("R2");
    for _ in 0..2 {
        assert_eq!(open(&mut server, &executed), Err(SessionError::Replayed));
        assert_eq!(open(&mut server, &late), Err(SessionError::RekeyRequired));
    }
}

#[test]
fn a_rekey_prepared_for_the_store_survives_a_crash_before_its_answer() {
    let (mut client, mut server, m3) = Agents::new(false).handshake();
    server.confirm(&m3[16..], NOW).expect("confirm");
    let random = &mut SystemRandom;
    let kek = KeyEncryptionKey::new("kek-1", &[9; 32]).expect("id");
    let r1 = client.rekey_request(NOW, random).expect("R1");
    let prepared = server.prepare_rekey(&r1, NOW, random).expect("prepare");
    let row = server.wrap_prepared(&prepared, &kek, "test", NOW, random).expect("wrap").expect("new");
    assert_eq!((server.epoch(), row.epoch), (Some(0), 1));
    // The compare-and-set won, the process died before it answered.
    drop(server);
    let mut server = row.unwrap(&kek, "test", None, NOW).expect("unwrap");
    let r2 = server.answer_rekey(&r1, NOW, random).expect("the committed R2");
    client.accept_rekey(&r2, NOW).expect("accept");
    assert_eq!((client.epoch(), server.epoch()), (Some(1), Some(1)));
}

#[test]
fn a_row_opens_only_where_it_belongs() {
    let (_, mut server, m3) = Agents::new(false).handshake();
    server.confirm(&m3[16..], NOW).expect("confirm");
    let random = &mut SystemRandom;
    let kek = KeyEncryptionKey::new("kek-1", &[9; 32]).expect("id");
    let new = KeyEncryptionKey::new("kek-2", &[8; 32]).expect("id");
    let row = server.wrap(&kek, "test", NOW, random).expect("wrap");
    assert!(row.unwrap(&kek, "test", None, NOW).is_ok());
    assert!(row.unwrap(&kek, "other", None, NOW).is_err());
    assert!(row.unwrap(&new, "test", None, NOW).is_err());
    let mut longer = row.clone();
    longer.expires_ms += 1;
    assert!(longer.unwrap(&kek, "test", None, NOW).is_err());
    let rewrapped = row.rewrap(&kek, &new, "test", random).expect("rewrap");
    assert!(rewrapped.unwrap(&new, "test", None, NOW).is_ok());
    assert!(rewrapped.unwrap(&kek, "test", None, NOW).is_err());
}

#[test]
fn a_close_record_ends_both_sides() {
    let (mut client, mut server, _) = Agents::new(false).handshake();
    let mut record = [MaybeUninit::uninit(); RECORD_OVERHEAD];
    client.seal_close(SealOptions::default(), NOW, &mut SystemRandom, &mut record).expect("close");
    assert_eq!(client.state(), State::Closed);
    assert_eq!(open(&mut server, &filled(&record)).as_deref(), Ok(&b""[..]));
    assert_eq!(server.state(), State::Closed);
    assert_eq!(seal(&mut server, b""), Err(SessionError::Closed));
}

#[test]
fn budgets_ask_then_refuse() {
    let (mut client, mut server, _) = Agents::new(false).handshake();
    let random = &mut SystemRandom;
    client.skip((1 << 20) - 1, 0, NOW, random).expect("skip");
    let last_quiet = seal(&mut client, b"").expect("seal");
    assert_eq!(last_quiet[3], 0);
    assert!(client.rekey_wanted());
    let asking = seal(&mut client, b"").expect("seal");
    assert_eq!(asking[3], 2);
    open(&mut server, &asking).expect("open");
    assert!(server.rekey_wanted());
    client.skip(1 << 24, 0, NOW, random).expect("skip");
    assert_eq!(seal(&mut client, b""), Err(SessionError::BudgetSpent));
}

#[test]
fn exporters_agree_and_differ_by_label() {
    let (mut client, mut server, m3) = Agents::new(false).handshake();
    server.confirm(&m3[16..], NOW).expect("confirm");
    let (mut ours, mut theirs, mut other) = ([0; 32], [0; 32], [0; 32]);
    client.export("app", b"context", NOW, &mut ours).expect("export");
    server.export("app", b"context", NOW, &mut theirs).expect("export");
    client.export("app2", b"context", NOW, &mut other).expect("export");
    assert_eq!(ours, theirs);
    assert_ne!(ours, other);
}

#[test]
fn challenges_bind_both_names_and_expire() {
    let mut agents = Agents::new(false);
    agents.responder.require_challenge = true;
    let random = &mut SystemRandom;
    let begin = |challenge: &[u8], now| {
        agents.initiator.initiate(&agents.alice, challenge, b"", now, &mut SystemRandom).expect("initiate").1
    };
    let Err(HandshakeError::ChallengeRequired { challenge }) =
        agents.responder.read(&begin(b"", NOW), None, NOW)
    else {
        panic!("no challenge was asked for");
    };
    assert!(agents.responder.read(&begin(&challenge, NOW), None, NOW).is_ok());
    let late = NOW + 60_000;
    assert!(matches!(
        agents.responder.read(&begin(&challenge, late), None, late),
        Err(HandshakeError::ChallengeRequired { .. })
    ));
    let other = SigningKey::generate(random).expect("random");
    agents.initiator.client_did = did(other.verifying_key());
    let foreign = agents.initiator.initiate(&other, &challenge, b"", NOW, random).expect("initiate").1;
    assert!(matches!(
        agents.responder.read(&foreign, None, NOW),
        Err(HandshakeError::ChallengeRequired { .. })
    ));
}

#[test]
fn record_keys_of_the_epoch_before_go_after_a_minute_of_any_use() {
    let (mut client, mut server, m3) = Agents::new(false).handshake();
    server.confirm(&m3[16..], NOW).expect("confirm");
    let random = &mut SystemRandom;
    let r1 = client.rekey_request(NOW, random).expect("R1");
    let r2 = server.answer_rekey(&r1, NOW, random).expect("R2");
    client.accept_rekey(&r2, NOW).expect("accept");
    seal_answering(&mut server, b"in time", Some(0)).expect("the old key is still there");
    let mut out = [MaybeUninit::uninit(); RECORD_OVERHEAD];
    server.seal(b"", SealOptions::default(), NOW + 60_000, random, &mut out).expect("seal");
    // Even a clock that steps back does not bring it back.
    assert_eq!(seal_answering(&mut server, b"late", Some(0)), Err(SessionError::RekeyRequired));
}

#[test]
fn a_session_put_to_rest_goes_on_where_it_stopped() {
    let (mut client, mut server, m3) = Agents::new(false).handshake();
    server.confirm(&m3[16..], NOW).expect("confirm");
    let records: Vec<_> = (0..3_u8).map(|n| seal(&mut client, &[n]).expect("seal")).collect();
    open(&mut server, &records[1]).expect("open");
    let answers: Vec<_> = (0..3_u8).map(|n| seal(&mut server, &[n]).expect("seal")).collect();
    open(&mut client, &answers[0]).expect("open");

    for session in [&mut client, &mut server] {
        session.sweep(NOW + REST_AFTER_MS);
    }
    assert_eq!(open(&mut server, &records[1]), Err(SessionError::Replayed));
    assert_eq!(open(&mut server, &records[2]).as_deref(), Ok(&[2][..]));
    let next = seal(&mut server, b"next").expect("seal");
    assert_eq!(open(&mut client, &next).as_deref(), Ok(&b"next"[..]));
    for number in 4..7 {
        let record = seal(&mut client, &[number]).expect("seal");
        assert_eq!(open(&mut server, &record).as_deref(), Ok(&[number][..]), "no sequence number twice");
    }

    // Keys of an epoch that was at rest when it ended still open what is under way.
    for session in [&mut client, &mut server] {
        session.sweep(NOW + 2 * REST_AFTER_MS);
    }
    let r1 = client.rekey_request(NOW, &mut SystemRandom).expect("R1");
    let r2 = server.answer_rekey(&r1, NOW, &mut SystemRandom).expect("R2");
    client.accept_rekey(&r2, NOW).expect("accept");
    assert_eq!(open(&mut client, &answers[1]).as_deref(), Ok(&[1][..]));
    assert_eq!(open(&mut client, &answers[0]), Err(SessionError::Replayed));
    assert_eq!(open(&mut server, &records[0]), Err(SessionError::RekeyRequired));
}

#[test]
fn two_workers_share_a_session_through_its_row_and_a_table() {
    let (mut client, mut first, m3) = Agents::new(false).handshake();
    let (table, kek) = (window_table(), KeyEncryptionKey::new("kek", &[1; 32]).expect("an id"));
    first.share_windows(Arc::clone(&table), NOW).expect("before the first record");
    first.confirm(&m3[16..], NOW).expect("confirm");
    let row = first.wrap(&kek, "test", NOW, &mut SystemRandom).expect("wrap");
    let mut second = row.unwrap(&kek, "test", Some(Arc::clone(&table)), NOW).expect("unwrap");

    let records: Vec<_> = (0..4_u8).map(|n| seal(&mut client, &[n]).expect("seal")).collect();
    open(&mut first, &records[0]).expect("open");
    assert_eq!(open(&mut second, &records[0]), Err(SessionError::Replayed));
    open(&mut second, &records[1]).expect("no rekey is needed");
    assert_eq!(open(&mut first, &records[1]), Err(SessionError::Replayed));
    // Each seals under an incarnation of its own.
    for worker in [&mut first, &mut second] {
        let answer = seal(worker, b"answer").expect("seal");
        assert_eq!(open(&mut client, &answer).as_deref(), Ok(&b"answer"[..]));
    }

    // With another table, or none, the windows are lost.
    for other in [Some(window_table()), None] {
        let mut lost = row.unwrap(&kek, "test", other.clone(), NOW).expect("unwrap");
        assert_eq!(open(&mut lost, &records[2]), Err(SessionError::RekeyRequired));
        // A row of a session whose windows are lost does not say that they lie in its table.
        let row = lost.wrap(&kek, "test", NOW, &mut SystemRandom).expect("wrap");
        let mut again = row.unwrap(&kek, "test", other, NOW).expect("unwrap");
        assert_eq!(open(&mut again, &records[2]), Err(SessionError::RekeyRequired));
    }
    open(&mut second, &records[2]).expect("open");
}

#[test]
fn a_rekey_leads_a_restored_session_into_the_table() {
    let (mut client, mut server, m3) = Agents::new(false).handshake();
    server.confirm(&m3[16..], NOW).expect("confirm");
    let (table, kek) = (window_table(), KeyEncryptionKey::new("kek", &[1; 32]).expect("an id"));
    let random = &mut SystemRandom;
    let row = server.wrap(&kek, "test", NOW, random).expect("wrap");
    let mut restored = row.unwrap(&kek, "test", Some(Arc::clone(&table)), NOW).expect("unwrap");
    let r1 = client.rekey_request(NOW, random).expect("R1");
    let prepared = restored.prepare_rekey(&r1, NOW, random).expect("prepared");
    let row = restored.wrap_prepared(&prepared, &kek, "test", NOW, random).expect("wrap").expect("a row");
    let r2 = restored.commit_rekey(prepared, NOW, random).expect("R2");
    client.accept_rekey(&r2, NOW).expect("accept");

    let mut other = row.unwrap(&kek, "test", Some(Arc::clone(&table)), NOW).expect("unwrap");
    let record = seal(&mut client, b"once").expect("seal");
    open(&mut other, &record).expect("the row of the new epoch names the table");
    assert_eq!(open(&mut restored, &record), Err(SessionError::Replayed));
}

#[test]
fn windows_are_shared_before_the_first_record_or_not_at_all() {
    let (mut client, mut server, m3) = Agents::new(false).handshake();
    server.confirm(&m3[16..], NOW).expect("confirm");
    let short = WindowTable::open(None, 1, 1000, Moment::at(NOW), &mut SystemRandom).expect("a table");
    let refused = server.share_windows(Arc::new(short), NOW);
    assert!(matches!(refused, Err(SessionError::Input(_))), "{refused:?}");
    let record = seal(&mut client, b"first").expect("seal");
    open(&mut server, &record).expect("open");
    let refused = server.share_windows(window_table(), NOW);
    assert!(matches!(refused, Err(SessionError::OutOfOrder(_))), "{refused:?}");
}

#[test]
fn a_full_table_of_windows_refuses_another_sender_and_forgets_none() {
    let table = Arc::new(
        WindowTable::open(None, 1, 24 * HOUR_MS, Moment::at(NOW), &mut SystemRandom).expect("a table"),
    );
    let (mut opened, mut full) = (0, 0);
    for _ in 0..20 {
        let (mut client, mut server, m3) = Agents::new(false).handshake();
        server.share_windows(Arc::clone(&table), NOW).expect("share");
        server.confirm(&m3[16..], NOW).expect("confirm");
        let record = seal(&mut client, b"first").expect("seal");
        match open(&mut server, &record) {
            Ok(_) => {
                opened += 1;
                assert_eq!(open(&mut server, &record), Err(SessionError::Replayed));
            }
            Err(error) => {
                full += 1;
                assert_eq!(error, SessionError::WindowsFull);
            }
        }
    }
    assert_eq!((opened, full), (7, 13), "one line of seven");
}

#[test]
fn a_retired_session_only_answers_what_is_under_way() {
    let (mut client, mut first, m3) = Agents::new(false).handshake();
    let (table, kek) = (window_table(), KeyEncryptionKey::new("kek", &[1; 32]).expect("an id"));
    let random = &mut SystemRandom;
    first.share_windows(Arc::clone(&table), NOW).expect("before the first record");
    first.confirm(&m3[16..], NOW).expect("confirm");
    let row = first.wrap(&kek, "test", NOW, random).expect("wrap");
    let mut second = row.unwrap(&kek, "test", Some(table), NOW).expect("unwrap");
    let late = seal(&mut client, b"late").expect("seal");
    let r1 = client.rekey_request(NOW, random).expect("R1");
    let r2 = second.answer_rekey(&r1, NOW, random).expect("R2");

    // It has opened and sealed nothing, and owes an answer all the same.
    first.retire(NOW, random).expect("retire");
    let answer = seal_answering(&mut first, b"answer", Some(0)).expect("an answer under way");
    assert_eq!(open(&mut client, &answer).as_deref(), Ok(&b"answer"[..]));
    assert!(matches!(seal(&mut first, b"more"), Err(SessionError::Restored)));
    assert!(matches!(seal_answering(&mut first, b"more", Some(1)), Err(SessionError::Restored)));
    assert!(open(&mut first, &late).is_err());
    assert!(first.prepare_rekey(&r1, NOW, random).is_err());
    client.accept_rekey(&r2, NOW).expect("accept");
    let next = seal(&mut client, b"next").expect("seal");
    assert_eq!(open(&mut first, &next), Err(SessionError::AuthenticationFailed));
    open(&mut second, &next).expect("the other goes on");
    let r1 = client.rekey_request(NOW, random).expect("R1");
    assert!(first.prepare_rekey(&r1, NOW, random).is_err());

    first.sweep(NOW + 59_999);
    seal_answering(&mut first, b"answer", Some(0)).expect("for a minute");
    first.sweep(NOW + 60_000);
    assert!(seal_answering(&mut first, b"answer", Some(0)).is_err());
    assert!(Agents::new(false).handshake().1.retire(NOW, random).is_err(), "half-open");
}

#[test]
fn a_session_out_of_a_backup_demands_a_rekey_wherever_its_windows_lie() {
    let (mut client, mut server, m3) = Agents::new(false).handshake();
    let (table, kek) = (window_table(), KeyEncryptionKey::new("kek", &[1; 32]).expect("an id"));
    let random = &mut SystemRandom;
    server.share_windows(Arc::clone(&table), NOW).expect("before the first record");
    server.confirm(&m3[16..], NOW).expect("confirm");
    let row = server.wrap(&kek, "test", NOW, random).expect("wrap");
    let mut restored = row.unwrap(&kek, "test", Some(Arc::clone(&table)), NOW).expect("unwrap");
    restored.demand_rekey();
    let record = seal(&mut client, b"record").expect("seal");
    assert_eq!(open(&mut restored, &record), Err(SessionError::RekeyRequired));
    assert!(matches!(seal(&mut restored, b"more"), Err(SessionError::Restored)));
    let r1 = client.rekey_request(NOW, random).expect("R1");
    let r2 = restored.answer_rekey(&r1, NOW, random).expect("R2");
    client.accept_rekey(&r2, NOW).expect("accept");
    open(&mut restored, &seal(&mut client, b"record").expect("seal")).expect("open");
    // From here on its windows lie in the table.
    let row = restored.wrap(&kek, "test", NOW, random).expect("wrap");
    let mut other = row.unwrap(&kek, "test", Some(table), NOW).expect("unwrap");
    open(&mut other, &seal(&mut client, b"record").expect("seal")).expect("open");
}

#[test]
fn a_session_ends_with_its_message_budget() {
    let (mut client, mut server, m3) = Agents::new(false).handshake();
    server.confirm(&m3[16..], NOW).expect("confirm");
    server.limit_messages(5, 0);
    let mut say = |server: &mut Session| open(server, &seal(&mut client, b"record").expect("seal"));
    say(&mut server).expect("1");
    seal(&mut server, b"answer").expect("2");
    assert_eq!(server.messages(), 2);
    // Two more were counted elsewhere, so one is left.
    server.limit_messages(5, 2);
    assert!(open(&mut server, &[0; 100]).is_err(), "what is refused does not count");
    say(&mut server).expect("5");
    assert_eq!(say(&mut server), Err(SessionError::Expired));
    assert!(matches!(seal(&mut server, b"answer"), Err(SessionError::Expired)));
    assert_eq!((server.state(), server.last_activity_ms()), (State::Expired, None));
    assert_eq!((server.messages(), server.last_use_ms()), (3, NOW), "to be written behind still");
}

#[test]
fn the_last_use_is_the_last_record() {
    let (mut client, mut server, m3) = Agents::new(false).handshake();
    server.confirm(&m3[16..], NOW + 1).expect("confirm");
    assert_eq!((server.messages(), server.last_activity_ms()), (0, Some(NOW)));
    let record = seal(&mut client, b"record").expect("seal");
    open_at(&mut server, &record, NOW + 5).expect("open");
    assert!(open_at(&mut server, &record, NOW + 9).is_err());
    assert_eq!((server.messages(), server.last_activity_ms()), (1, Some(NOW + 5)));
}
