//! The lanes of each path against RFC 7748 and AWS-LC, which the single ladder is held to as well.

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::curve25519::tests::shares::{
    LOW_ORDER_SHARE_COUNT, RFC_7748_START, aws, edge_shares, rfc_7748, rfc_7748_once, rfc_7748_thousand,
};
use crate::curve25519::{BaseLanes, x25519_many, x25519_public_many};

/// Secrets and shares.
type Pairs = Vec<([u8; 32], [u8; 32])>;

fn agree(lanes: LadderLanes, pairs: &Pairs) -> Vec<[u8; 32]> {
    let mut shared = vec![[1; 32]; pairs.len()];
    lanes.agree(&borrowed(pairs), &mut shared);
    shared
}

fn borrowed(pairs: &Pairs) -> Vec<Agreement<'_>> {
    pairs.iter().map(|(secret, share)| (secret, share)).collect()
}

fn check(lanes: LadderLanes, pairs: &Pairs) -> Vec<[u8; 32]> {
    let shared = agree(lanes, pairs);
    for ((secret, share), shared) in pairs.iter().zip(&shared) {
        assert_eq!(*shared, aws(secret, share), "{lanes:?} {secret:x?} {share:x?}");
    }
    shared
}

#[test]
fn rfc_7748_vectors_in_each_lane() {
    for lanes in LadderLanes::of_every_path() {
        for (secret, share, expected) in rfc_7748() {
            assert_eq!(agree(lanes, &vec![(secret, share); LANE_COUNT]), [expected; LANE_COUNT], "{lanes:?}");
        }
    }
}

#[test]
fn rfc_7748_iterations_in_each_lane() {
    for lanes in LadderLanes::of_every_path() {
        let mut pairs = vec![(RFC_7748_START, RFC_7748_START); LANE_COUNT];
        for round in 1..=1_000 {
            let shared = agree(lanes, &pairs);
            pairs = shared.iter().zip(&pairs).map(|(shared, (secret, _))| (*shared, *secret)).collect();
            assert!(round != 1 || shared == [rfc_7748_once(); LANE_COUNT], "{lanes:?}");
        }
        assert!(pairs.iter().all(|(secret, _)| *secret == rfc_7748_thousand()), "{lanes:?}");
    }
}

#[test]
fn random_inputs_agree_with_aws_lc() {
    let mut rng = StdRng::seed_from_u64(77_488);
    for lanes in LadderLanes::of_every_path() {
        for _ in 0..320 {
            check(lanes, &(0..100).map(|_| rng.random()).collect());
        }
    }
}

/// Every edge beside every other in a group, which share an inversion, under scalars of all kinds.
#[test]
fn edge_inputs_agree_with_aws_lc() {
    let mut rng = StdRng::seed_from_u64(2_555);
    let mut secrets = vec![[0; 32], [0xff; 32], [0x55; 32], [0xaa; 32]];
    secrets.extend((0..20).map(|_| rng.random::<[u8; 32]>()));
    for lanes in LadderLanes::of_every_path() {
        let pairs =
            edge_shares().into_iter().flat_map(|share| secrets.iter().map(move |secret| (*secret, share)));
        let shared = check(lanes, &pairs.collect());
        let zero_count = shared.iter().filter(|shared| **shared == [0; 32]).count();
        assert_eq!(zero_count, LOW_ORDER_SHARE_COUNT * secrets.len(), "{lanes:?}");
    }
}

/// A share of low order in each place of batches of each size changes nothing for its neighbours.
#[test]
fn a_share_of_low_order_is_alone() {
    let mut rng = StdRng::seed_from_u64(8);
    for lanes in LadderLanes::of_every_path() {
        for len in 1..=20 {
            for place in 0..len {
                let mut pairs: Pairs = (0..len).map(|_| rng.random()).collect();
                pairs[place].1 = [0; 32];
                let shared = check(lanes, &pairs);
                assert_eq!(shared.iter().position(|shared| *shared == [0; 32]), Some(place));
            }
        }
    }
}

/// A public share is the agreement with the base point.
#[test]
fn public_shares_are_those_of_the_ladder() {
    let mut rng = StdRng::seed_from_u64(9);
    let mut secrets = vec![[0; 32], [0xff; 32], [0x55; 32], [0xaa; 32]];
    secrets.extend((0..146).map(|_| rng.random::<[u8; 32]>()));
    for len in 0..=secrets.len() {
        let secrets: Vec<_> = secrets[secrets.len() - len..].iter().rev().collect();
        let expected: Vec<_> = secrets.iter().map(|secret| aws(secret, &RFC_7748_START)).collect();
        assert_eq!(x25519_public_many(&secrets), expected);
        for lanes in BaseLanes::of_every_path() {
            assert_eq!(lanes.shares(&secrets), expected, "{lanes:?}");
        }
    }
}

#[test]
fn batches_of_every_length_agree() {
    let mut rng = StdRng::seed_from_u64(150);
    for len in 0..=150_usize {
        let pairs: Pairs = (0..len).map(|_| rng.random()).collect();
        let expected: Vec<_> = pairs.iter().map(|(secret, share)| aws(secret, share)).collect();
        assert_eq!(*x25519_many(&borrowed(&pairs)), expected);
        for lanes in LadderLanes::of_every_path() {
            check(lanes, &pairs);
            assert!((len.saturating_sub(LANE_COUNT - 1)..=len).contains(&lanes.worthwhile_count(len)));
        }
    }
}
