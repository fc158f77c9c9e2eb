//! Fixed-base multiplication against curve25519-dalek and, for key pairs, AWS-LC.

use super::super::{mul_base_compressed, x25519, x25519_base};
use crate::aws_lc;
use crate::curve25519::tests::scalars::{base_multiple, edge_scalars};
use rand::{Rng, SeedableRng, rngs::StdRng};

#[test]
fn edge_scalars_agree_with_dalek() {
    let Some(ifma) = super::detect() else { return };
    for scalar in edge_scalars() {
        assert_eq!(mul_base_compressed(ifma, &scalar), base_multiple(&scalar), "{scalar:x?}");
    }
}

#[test]
fn random_scalars_agree_with_dalek() {
    let Some(ifma) = super::detect() else { return };
    let mut rng = StdRng::seed_from_u64(8032);
    for _ in 0..100_000 {
        let scalar: [u8; 32] = rng.random();
        assert_eq!(mul_base_compressed(ifma, &scalar), base_multiple(&scalar), "{scalar:x?}");
    }
}

#[test]
fn key_pairs_agree_with_aws_lc_and_the_ladder() {
    let Some(ifma) = super::detect() else { return };
    let mut rng = StdRng::seed_from_u64(9);
    let mut scalars = edge_scalars();
    scalars.extend((0..100_000).map(|_| rng.random::<[u8; 32]>()));
    let mut nine = [0; 32];
    nine[0] = 9;
    for (n, scalar) in scalars.iter().enumerate() {
        let expected = aws_lc::x25519_public(scalar);
        assert_eq!(x25519_base(ifma, scalar), expected, "{scalar:x?}");
        if n % 16 == 0 {
            assert_eq!(x25519(ifma, scalar, &nine), expected, "{scalar:x?}");
        }
    }
}
