//! Store rows written by hand: the one public door through which chosen epoch secrets come in.
//! What is written here is the form of `wrap.rs`, so this also pins it.

use sage_core::ed25519::SigningKey;
use sage_core::kek::KeyEncryptionKey;
use sage_core::random::SystemRandom;
use sage_core::session::{Role, Session};
use sage_core::wrap::WrappedSession;

const STORE: &str = "vectors";
const FAR_MS: u64 = 1 << 52;

/// A restored session with these secrets, as `role` sees it.
pub fn session(role: Role, session_id: [u8; 16], epoch: u32, c2s: [u8; 32], s2c: [u8; 32]) -> Session {
    let kek = KeyEncryptionKey::new("kek", &[1; 32]).expect("an id");
    let (client, server) = (SigningKey::from_seed(&[2; 32]), SigningKey::from_seed(&[3; 32]));
    let (client, server) = (client.verifying_key(), server.verifying_key());
    let mut row = WrappedSession {
        session_id,
        client_did: client.did(),
        server_did: server.did(),
        created_ms: 0,
        expires_ms: FAR_MS,
        epoch,
        kek_id: kek.id().into(),
        wrapped_secret: Vec::new(),
    };
    let (role_byte, send, receive) = match role {
        Role::Initiator => (0, c2s, s2c),
        Role::Responder => (1, s2c, c2s),
    };
    let (suite, idle_timeout_s, windows_id) = (1_u16.to_be_bytes(), u32::MAX.to_be_bytes(), [0; 16]);
    let keys = [*client.as_bytes(), *server.as_bytes(), send, receive].concat();
    let secret = [&[2, role_byte], &suite[..], &idle_timeout_s, &windows_id, &keys].concat();
    row.wrapped_secret = kek.seal(&associated(&row), &secret, &mut SystemRandom).expect("sealed");
    row.unwrap(&kek, STORE, None, 0).expect("a row like those of wrap.rs")
}

fn associated(row: &WrappedSession) -> Vec<u8> {
    let fields: [&[u8]; 8] = [
        STORE.as_bytes(),
        &row.session_id,
        row.client_did.as_str().as_bytes(),
        row.server_did.as_str().as_bytes(),
        &row.created_ms.to_be_bytes(),
        &row.expires_ms.to_be_bytes(),
        &row.epoch.to_be_bytes(),
        row.kek_id.as_bytes(),
    ];
    let lp = |field: &&[u8]| {
        let len = u16::try_from(field.len()).expect("short");
        [&len.to_be_bytes(), *field].concat()
    };
    fields.iter().flat_map(lp).collect()
}
