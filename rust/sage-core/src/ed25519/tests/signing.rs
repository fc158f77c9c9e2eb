//! Signing by every way.

use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::super::*;
use crate::shares::{SHARE_MIN_NS, Shares, Threads};

const UP_TO_3: Threads = Threads::UpTo(NonZeroUsize::new(3).expect("not zero"));

proptest! {
    /// The kernels, the batch, its shares and AWS-LC write the same signatures, and dalek agrees with them.
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
        for (message, signature) in messages.iter().zip(&batch) {
            prop_assert_eq!(&key.sign(message).expect("as above"), signature);
            prop_assert_eq!(&aws_lc::ed25519_sign(key.private.expose(), message), signature);
            prop_assert!(key.verifying_key().verify(message, signature));
            let dalek = ed25519_dalek::VerifyingKey::from_bytes(key.verifying_key().as_bytes()).expect("a point");
            prop_assert!(dalek.verify_strict(message, &(*signature).into()).is_ok());
        }
    }
}
