//! A genuine record, altered: it never opens, changes nothing, and the genuine one still does,
//! exactly once.
#![no_main]

mod agents;

use std::cell::RefCell;
use std::mem::MaybeUninit;

use libfuzzer_sys::fuzz_target;
use sage_core::error::SessionError;
use sage_core::random::SystemRandom;
use sage_core::record::RECORD_OVERHEAD;
use sage_core::session::{SealOptions, Session};

use agents::{Agents, NOW_MS};

thread_local! {
    static PAIR: RefCell<(Session, Session)> = RefCell::new(pair());
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, rest)) = input.split_first() else { return };
    PAIR.with_borrow_mut(|(client, server)| {
        let plaintext = &rest[..rest.len() / 2];
        let genuine = seal(client, plaintext);
        let altered = alter(choice, &genuine, rest);
        if altered != genuine {
            assert!(open(server, &altered).is_err(), "an altered record was opened");
        }
        assert_eq!(open(server, &genuine).as_deref(), Ok(plaintext));
        assert_eq!(open(server, &genuine), Err(SessionError::Replayed));
        if client.rekey_wanted() {
            rekey(client, server);
        }
    });
});

fn alter(choice: u8, genuine: &[u8], patch: &[u8]) -> Vec<u8> {
    let mut record = genuine.to_vec();
    match choice % 4 {
        0 => record = patch.to_vec(),
        1 => record.truncate(patch.len()),
        2 => record.extend_from_slice(patch),
        _ => {
            for at in patch.chunks_exact(3) {
                let index = usize::from(u16::from_be_bytes([at[0], at[1]])) % record.len();
                record[index] ^= at[2];
            }
        }
    }
    record
}

fn pair() -> (Session, Session) {
    let Agents { client, server, initiator, responder } = Agents::new();
    let random = &mut SystemRandom;
    let (attempt, m1) = initiator.initiate(&client, b"", b"", NOW_MS, random).expect("M1");
    let mut request = responder.read(&m1, None, NOW_MS).expect("read");
    request.authenticate(None).expect("authentic");
    let accepted = request.accept(&server, 1 << 40, u32::MAX, NOW_MS, random).expect("M2");
    let finished = attempt.finish(&accepted.message, None, |_| false, NOW_MS).expect("M3");
    (finished.session, accepted.session)
}

fn rekey(client: &mut Session, server: &mut Session) {
    let random = &mut SystemRandom;
    let request = client.rekey_request(NOW_MS, random).expect("R1");
    let reply = server.answer_rekey(&request, NOW_MS, random).expect("R2");
    client.accept_rekey(&reply, NOW_MS).expect("accepted");
}

fn seal(session: &mut Session, plaintext: &[u8]) -> Vec<u8> {
    let mut out = vec![MaybeUninit::uninit(); plaintext.len() + RECORD_OVERHEAD];
    let options = SealOptions::default();
    session.seal(plaintext, options, NOW_MS, &mut SystemRandom, &mut out).expect("sealed");
    filled(&out)
}

fn open(session: &mut Session, record: &[u8]) -> Result<Vec<u8>, SessionError> {
    let mut out = vec![MaybeUninit::uninit(); record.len().saturating_sub(RECORD_OVERHEAD)];
    session.open(record, b"", NOW_MS, &mut out)?;
    Ok(filled(&out))
}

fn filled(bytes: &[MaybeUninit<u8>]) -> Vec<u8> {
    // SAFETY: called only after seal or open succeeded, which write every byte.
    bytes.iter().map(|byte| unsafe { byte.assume_init() }).collect()
}
