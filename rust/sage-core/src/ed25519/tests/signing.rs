//! Signing by every way.

use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::super::*;
use crate::shares::{SHARE_MIN_NS, Shares, Threads};

const UP_TO_3: Threads = Threads::UpTo(NonZeroUsize::new(3).expect("not zero"));

proptest! {
    /// The kernels, the batch, its shares, each path's lanes and AWS-LC write the same signatures, and dalek agrees with them.
    #[test]
    fn every_way_to_sign_gives_the_same_bytes(
        seed: [u8; 32],
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..70),
    ) {
        let key = SigningKey::from_seed(&seed);
        let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let batch = sign_many(&key, &messages).expect("no message is a handshake");
        let shares = Shares::new(UP_TO_3, messages.iter().map(|_| SHARE_MIN_NS));
        let left = AtomicUsize::new(0);
        let shared = sign_shares(&key, &messages, &shares, || { left.fetch_add(1, Ordering::Relaxed); });
        prop_assert_eq!(&shared.expect("as above"), &batch);
        prop_assert_eq!(left.into_inner(), messages.len().clamp(1, 3));
        #[cfg(target_arch = "x86_64")]
        for lanes in curve25519::BaseLanes::of_every_path() {
            let in_lanes = key.expanded.sign_many(lanes, key.verifying_key().as_bytes(), &messages);
            prop_assert_eq!(&in_lanes, &batch, "{:?}", lanes);
        }
        for (message, signature) in messages.iter().zip(&batch) {
            prop_assert_eq!(&key.sign(message).expect("as above"), signature);
            prop_assert_eq!(&aws_lc::ed25519_sign(key.private.expose(), message), signature);
            prop_assert!(key.verifying_key().verify(message, signature));
            let dalek = ed25519_dalek::VerifyingKey::from_bytes(key.verifying_key().as_bytes()).expect("a point");
            prop_assert!(dalek.verify_strict(message, &(*signature).into()).is_ok());
        }
    }
}

/// Lanes that are full, lanes that are not, and what is left beside them.
#[test]
fn batches_of_every_length_are_signed_as_one_by_one() {
    let key = SigningKey::from_seed(&[70; 32]);
    let texts: Vec<Vec<u8>> = (0..70).map(|n| vec![100 + n as u8; n * n % 311]).collect();
    let messages: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    let expected: Vec<_> =
        messages.iter().map(|message| aws_lc::ed25519_sign(key.private.expose(), message)).collect();
    for len in 0..=messages.len() {
        let (messages, expected) = (&messages[..len], &expected[..len]);
        assert_eq!(sign_many(&key, messages).expect("no handshake"), expected);
        #[cfg(target_arch = "x86_64")]
        for lanes in curve25519::BaseLanes::of_every_path() {
            let in_lanes = key.expanded.sign_many(lanes, key.verifying_key().as_bytes(), messages);
            assert_eq!(in_lanes, expected, "{lanes:?}");
            assert!((len.saturating_sub(5)..=len).contains(&lanes.worthwhile_count(len)));
        }
    }
}
