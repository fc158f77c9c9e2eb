//! Fixed-base multiplication against curve25519-dalek and, for key pairs, AWS-LC.

use super::super::{mul_base_compressed, mul_base_compressed_many, x25519, x25519_base};
use crate::aws_lc;
use curve25519_dalek::{EdwardsPoint, Scalar};
use rand::{Rng, SeedableRng, rngs::StdRng};

fn reference(scalar: &[u8; 32]) -> [u8; 32] {
    EdwardsPoint::mul_base(&Scalar::from_bytes_mod_order(*scalar)).compress().to_bytes()
}

const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn edge_scalars() -> Vec<[u8; 32]> {
    let mut scalars = vec![[0; 32], [0xff; 32], [0x88; 32], [0x77; 32], [0x80; 32], [0x08; 32]];
    for value in 0..=255 {
        let mut small = [0; 32];
        small[0] = value;
        scalars.push(small);
        let mut near_order = ORDER;
        near_order[0] = value;
        scalars.push(near_order);
        for top in [0x7f, 0x80, 0x8f, 0x90, 0xff, 0xef, 0xf0] {
            let mut large = [0xff; 32];
            large[0] = value;
            large[31] = top;
            scalars.push(large);
            let mut hollow = [0; 32];
            hollow[0] = value;
            hollow[31] = top;
            scalars.push(hollow);
        }
    }
    for bit in 0..256 {
        let mut power = [0; 32];
        power[bit / 8] = 1 << (bit % 8);
        scalars.push(power);
    }
    scalars
}

#[test]
fn edge_scalars_agree_with_dalek() {
    let Some(ifma) = super::detect() else { return };
    for scalar in edge_scalars() {
        assert_eq!(mul_base_compressed(ifma, &scalar), reference(&scalar), "{scalar:x?}");
    }
}

#[test]
fn random_scalars_agree_with_dalek() {
    let Some(ifma) = super::detect() else { return };
    let mut rng = StdRng::seed_from_u64(8032);
    for _ in 0..100_000 {
        let scalar: [u8; 32] = rng.random();
        assert_eq!(mul_base_compressed(ifma, &scalar), reference(&scalar), "{scalar:x?}");
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

#[test]
fn batches_agree_with_single_calls() {
    let Some(ifma) = super::detect() else { return };
    let mut rng = StdRng::seed_from_u64(64);
    let mut scalars = edge_scalars();
    scalars.extend((0..20_000).map(|_| rng.random::<[u8; 32]>()));
    let check = |scalars: &[[u8; 32]]| {
        let mut points = vec![[0; 32]; scalars.len()];
        mul_base_compressed_many(ifma, scalars, &mut points);
        for (scalar, point) in scalars.iter().zip(&points) {
            assert_eq!(*point, reference(scalar), "{scalar:x?}");
        }
    };
    check(&scalars);
    for len in 0..=130 {
        check(&scalars[3 * len..4 * len]);
    }
}
