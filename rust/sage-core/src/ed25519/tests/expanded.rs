//! An expanded key says what a plain one says, and what AWS-LC and dalek say.

use std::sync::OnceLock;

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::{EdwardsPoint, Scalar};
use num_bigint::BigUint;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::super::*;

/// The one verdict of every way there is, for a key that may be off the curve.
pub(super) fn verdict(public: &[u8], message: &[u8], signature: &[u8; 64]) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(public) else {
        assert_eq!(verify_many(&[KeyRef::Raw(public)], &[signature], &[message]), [false]);
        return false;
    };
    let valid = key.verify(message, signature);
    let bytes = key.as_bytes();
    let of_aws = strict::is_signature_form(signature) && aws_lc::ed25519_verify(bytes, message, signature);
    assert_eq!(valid, of_aws, "{public:x?} {signature:x?}");
    let dalek = ed25519_dalek::VerifyingKey::from_bytes(bytes)
        .is_ok_and(|key| key.verify_strict(message, &(*signature).into()).is_ok());
    assert_eq!(valid, dalek, "{public:x?} {signature:x?}");
    let Ok(expanded) = key.expand() else {
        assert!(!valid);
        #[cfg(target_arch = "x86_64")]
        assert_cold(&key, message, signature, false);
        return false;
    };
    assert_eq!(valid, expanded.verify(message, signature), "expanded {public:x?} {signature:x?}");
    if strict::is_signature_form(signature) {
        let table = expanded.table.as_ref().expect("just built");
        let paths = curve25519::verdicts_by_every_path(&expanded.claim(table, message, signature));
        assert!(paths.iter().all(|path| *path == valid), "{paths:?} {public:x?} {signature:x?}");
        #[cfg(target_arch = "x86_64")]
        assert_cold(&key, message, signature, valid);
    }
    // In a batch, between neighbours that verify.
    let (good_key, of_good) = good();
    let mut keys = vec![KeyRef::Checked(good_key); 17];
    let mut signatures = [&of_good[..]; 17];
    let mut messages = [&b"good"[..]; 17];
    (keys[5], signatures[5], messages[5]) = (KeyRef::Checked(&expanded), signature, message);
    (keys[6], signatures[6], messages[6]) = (KeyRef::Checked(&key), signature, message);
    (keys[16], signatures[16], messages[16]) = (KeyRef::Checked(&expanded), signature, message);
    let mut expected = [true; 17];
    for place in [5, 6, 16] {
        expected[place] = valid;
    }
    assert_eq!(verify_many(&keys, &signatures, &messages), expected);
    // Without tables, between neighbours that verify: full lanes, then four of eight.
    keys = vec![KeyRef::Raw(good_key.as_bytes()); 12];
    (keys[3], keys[9]) = (KeyRef::Raw(public), KeyRef::Checked(&key));
    let mut expected = [true; 12];
    for place in [3, 9] {
        (signatures[place], messages[place], expected[place]) = (signature, message, valid);
    }
    (signatures[5], messages[5], signatures[6], messages[6]) = (of_good, b"good", of_good, b"good");
    assert_eq!(verify_many(&keys, &signatures[..12], &messages[..12]), expected);
    valid
}

/// In each lane of each unit.
#[cfg(target_arch = "x86_64")]
fn assert_cold(key: &VerifyingKey, message: &[u8], signature: &[u8; 64], valid: bool) {
    let paths = curve25519::cold_verdicts_by_every_path(&key.cold_claim(message, signature));
    assert!(paths.iter().all(|path| *path == valid), "{paths:?} {key:?} {signature:x?}");
}

/// An expanded key and its signature of "good".
fn good() -> &'static (VerifyingKey, [u8; 64]) {
    static GOOD: OnceLock<(VerifyingKey, [u8; 64])> = OnceLock::new();
    GOOD.get_or_init(|| {
        let key = SigningKey::from_seed(&[1; 32]);
        (key.verifying_key().expand().expect("a point"), key.sign(b"good").expect("no handshake"))
    })
}

#[test]
fn an_expanded_key_is_the_same_key() {
    let key = SigningKey::from_seed(&[7; 32]);
    let plain = key.verifying_key();
    let expanded = plain.expand().expect("a point");
    assert!(expanded == *plain && expanded.is_expanded() && !plain.is_expanded());
    assert!(expanded.expand().expect("a point").is_expanded());
    const { assert!(VerifyingKey::TABLE_LEN <= 25 << 10) };
    assert!(plain.for_signatures(1_000).is_expanded() && !plain.for_signatures(2).is_expanded());
    let off_the_curve = VerifyingKey::from_bytes(&[[2; 1].as_slice(), &[0; 31]].concat()).expect("canonical");
    assert!(off_the_curve.expand().is_err() && !off_the_curve.for_signatures(1_000).is_expanded());
}

#[test]
fn every_torsion_defect_of_key_and_signature_gets_one_verdict() {
    let mut rng = StdRng::seed_from_u64(64);
    let mut accepted = 0;
    for _ in 0..20 {
        let [a, r] = [0; 2].map(|_| Scalar::from_bytes_mod_order(rng.random()));
        for a_torsion in EIGHT_TORSION {
            for r_torsion in EIGHT_TORSION {
                let public = (EdwardsPoint::mul_base(&a) + a_torsion).compress().to_bytes();
                let mut signature = [0; 64];
                let signed = (EdwardsPoint::mul_base(&r) + r_torsion).compress().to_bytes();
                signature[..32].copy_from_slice(&signed);
                let message: [u8; 9] = rng.random();
                let k = Scalar::from_bytes_mod_order_wide(&aws_lc::sha512(&[&signed, &public, &message]));
                signature[32..].copy_from_slice((r + k * a).as_bytes());
                accepted += usize::from(verdict(&public, &message, &signature));
            }
        }
    }
    // An eighth on average.
    assert!((100..220).contains(&accepted), "{accepted}");
}

#[test]
fn small_order_keys_and_signatures_get_one_verdict() {
    let mut rng = StdRng::seed_from_u64(3);
    for torsion in EIGHT_TORSION {
        let small = torsion.compress().to_bytes();
        let key = SigningKey::from_seed(&rng.random());
        let mut signature = key.sign(b"m").expect("no handshake");
        assert!(!verdict(&small, b"m", &signature));
        signature[..32].copy_from_slice(&small);
        assert!(!verdict(key.verifying_key().as_bytes(), b"m", &signature));
        signature[32..].fill(0);
        assert!(!verdict(&small, b"m", &signature));
    }
}

#[test]
fn s_from_the_group_order_up_is_refused() {
    let key = SigningKey::from_seed(&[9; 32]);
    let signature = key.sign(b"m").expect("no handshake");
    let order = (BigUint::from(1u8) << 252) + 27_742_317_777_372_353_535_851_937_790_883_648_493u128;
    let mut s = BigUint::from_bytes_le(&signature[32..]);
    assert!(verdict(key.verifying_key().as_bytes(), b"m", &signature));
    loop {
        s += &order;
        let bytes = s.to_bytes_le();
        if bytes.len() > 32 {
            break;
        }
        let mut beyond = signature;
        beyond[32..].fill(0);
        beyond[32..32 + bytes.len()].copy_from_slice(&bytes);
        assert!(!verdict(key.verifying_key().as_bytes(), b"m", &beyond));
    }
    for offset in [-1_i8, 0, 1] {
        let mut at = signature;
        at[32..].copy_from_slice(&order.to_bytes_le());
        at[32] = at[32].wrapping_add_signed(offset);
        assert!(!verdict(key.verifying_key().as_bytes(), b"m", &at));
    }
}

#[test]
fn encodings_that_are_not_canonical_get_one_verdict() {
    let key = SigningKey::from_seed(&[5; 32]);
    let signature = key.sign(b"m").expect("no handshake");
    for low in 0xed..=0xff {
        for top in [0x7f, 0xff] {
            let mut encoded = [0xff; 32];
            (encoded[0], encoded[31]) = (low, top);
            assert!(!verdict(&encoded, b"m", &signature));
            let mut changed = signature;
            changed[..32].copy_from_slice(&encoded);
            assert!(!verdict(key.verifying_key().as_bytes(), b"m", &changed));
        }
    }
}

/// How many, unless the environment asks for more: `make` has a target for a million.
pub(super) fn mutation_count() -> usize {
    std::env::var("SAGE_MUTATIONS").map_or(10_000, |count| count.parse().expect("a number"))
}

#[test]
fn random_mutations_get_one_verdict() {
    let mut rng = StdRng::seed_from_u64(25519);
    let mut accepted = 0;
    let count = mutation_count();
    for n in 0..count {
        let key = SigningKey::from_seed(&rng.random());
        let mut public = *key.verifying_key().as_bytes();
        let mut message: Vec<u8> = (0..rng.random_range(1..80)).map(|_| rng.random()).collect();
        let mut signature = key.sign(&message).expect("no handshake");
        let bit = |rng: &mut StdRng| 1 << rng.random_range(0..8);
        match n % 6 {
            0 => public[rng.random_range(0..32)] ^= bit(&mut rng),
            1 => signature[rng.random_range(0..64)] ^= bit(&mut rng),
            2 => message[0] ^= bit(&mut rng),
            3 => signature[..32].copy_from_slice(&rng.random::<[u8; 32]>()),
            4 => signature[63] ^= bit(&mut rng),
            _ => {}
        }
        accepted += usize::from(verdict(&public, &message, &signature));
    }
    assert_eq!(accepted, count / 6);
}
