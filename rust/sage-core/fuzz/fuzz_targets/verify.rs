//! A genuine signature, its key and its message, altered: every way to verify gives one verdict, and it is
//! that of ed25519-dalek's `verify_strict`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sage_core::ed25519::{KeyRef, SigningKey, VerifyingKey, VerifyingKeyCache, verify_many};

/// Eight lanes of a vector, and one beside them.
const COUNT: usize = 9;

fuzz_target!(|input: &[u8]| {
    let Some((&[seed, message_len], patch)) = input.split_first_chunk() else { return };
    let signing = SigningKey::from_seed(&[seed; 32]);
    let message = vec![seed; usize::from(message_len)];
    // It refuses what could pass for a handshake.
    let Ok(genuine) = signing.sign(&message) else { return };
    let mut case = [signing.verifying_key().as_bytes(), &genuine[..], &message].concat();
    if let Some((whole, patch)) = patch.split_first_chunk::<96>().filter(|_| message_len % 8 == 7) {
        case[..96].copy_from_slice(whole);
        alter(&mut case, patch);
    } else {
        alter(&mut case, patch);
    }
    let (key, rest) = case.split_first_chunk::<32>().expect("32 of 96 bytes");
    let (signature, message) = rest.split_first_chunk::<64>().expect("64 of 64 bytes");
    let expected = ed25519_dalek::VerifyingKey::from_bytes(key)
        .is_ok_and(|key| key.verify_strict(message, &(*signature).into()).is_ok());
    check(key, message, signature, expected);
});

fn alter(case: &mut [u8], patch: &[u8]) {
    for at in patch.as_chunks::<3>().0 {
        let index = usize::from(u16::from_be_bytes([at[0], at[1]])) % case.len();
        case[index] ^= at[2];
    }
}

fn check(bytes: &[u8; 32], message: &[u8], signature: &[u8; 64], expected: bool) {
    let batch = |key| verify_many(&[key; COUNT], &[&signature[..]; COUNT], &[message; COUNT]);
    assert_eq!(batch(KeyRef::Raw(bytes)), [expected; COUNT]);
    let Ok(key) = VerifyingKey::from_bytes(bytes) else { return assert!(!expected) };
    assert_eq!(key.verify(message, signature), expected);
    let Ok(expanded) = key.expand() else { return assert!(!expected) };
    assert_eq!(expanded.verify(message, signature), expected);
    assert_eq!(batch(KeyRef::Checked(&expanded)), [expected; COUNT]);
    let cache = VerifyingKeyCache::new(1 << 16);
    cache.register(&key).expect("a point, as it was expanded");
    for _ in 0..4 {
        assert_eq!(cache.verify(&key, message, signature), expected);
    }
    assert_eq!(cache.statistics().expanded, usize::from(expected));
}
