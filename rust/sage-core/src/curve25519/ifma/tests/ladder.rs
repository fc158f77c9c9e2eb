//! X25519 against RFC 7748 and AWS-LC.

use super::super::x25519;
use crate::curve25519::tests::shares::{
    LOW_ORDER_SHARE_COUNT, RFC_7748_START, aws, edge_shares, rfc_7748, rfc_7748_once, rfc_7748_thousand,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

#[test]
fn rfc_7748_vectors() {
    let Some(ifma) = super::detect() else { return };
    for (scalar, u, expected) in rfc_7748() {
        assert_eq!(x25519(ifma, &scalar, &u), expected);
    }
}

#[test]
fn rfc_7748_iterations() {
    let Some(ifma) = super::detect() else { return };
    let (mut k, mut u) = (RFC_7748_START, RFC_7748_START);
    for round in 1..=1_000 {
        (k, u) = (x25519(ifma, &k, &u), k);
        assert!(round != 1 || k == rfc_7748_once());
    }
    assert_eq!(k, rfc_7748_thousand());
}

#[test]
fn random_inputs_agree_with_aws_lc() {
    let Some(ifma) = super::detect() else { return };
    let mut rng = StdRng::seed_from_u64(7748);
    for _ in 0..100_000 {
        let (scalar, u): ([u8; 32], [u8; 32]) = (rng.random(), rng.random());
        assert_eq!(x25519(ifma, &scalar, &u), aws(&scalar, &u), "{scalar:x?} {u:x?}");
    }
}

#[test]
fn edge_inputs_agree_with_aws_lc() {
    let Some(ifma) = super::detect() else { return };
    let mut rng = StdRng::seed_from_u64(255);
    let mut scalars = vec![[0; 32], [0xff; 32], [0x55; 32], [0xaa; 32]];
    scalars.extend((0..20).map(|_| rng.random::<[u8; 32]>()));
    let mut zeros = 0;
    for u in edge_shares() {
        for scalar in &scalars {
            let ours = x25519(ifma, scalar, &u);
            assert_eq!(ours, aws(scalar, &u), "{scalar:x?} {u:x?}");
            zeros += usize::from(ours == [0; 32]);
        }
    }
    assert_eq!(zeros, LOW_ORDER_SHARE_COUNT * scalars.len());
}
