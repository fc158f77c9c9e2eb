//! [s]B - [k]A in lanes against curve25519-dalek: keys not seen before, edges, torsion, what is no point.

use core::array::from_fn;

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::Identity;
use curve25519_dalek::{EdwardsPoint, Scalar};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::super::super::Path;
use super::super::super::inversion::inverse;
use super::super::{Equations, LANE_COUNT, Unit};

fn units() -> Vec<Unit> {
    Path::units().collect()
}

/// Any 256-bit integer times a point of any order, by doubling and adding.
fn times(integer: &[u8; 32], point: &EdwardsPoint) -> EdwardsPoint {
    (0..256).rev().fold(EdwardsPoint::identity(), |sum, bit| {
        let twice = sum + sum;
        if integer[bit / 8] >> (bit % 8) & 1 == 1 { twice + point } else { twice }
    })
}

/// Eight equations at once, on every unit.
fn check(keys: &[[u8; 32]; LANE_COUNT], s: &[[u8; 32]; LANE_COUNT], k: &[[u8; 32]; LANE_COUNT]) {
    let expected: [Option<[u8; 32]>; LANE_COUNT] = from_fn(|lane| {
        let key = CompressedEdwardsY(keys[lane]).decompress()?;
        // dalek takes "minus zero" for zero; here, as in RFC 8032, it is refused.
        if key.compress().as_bytes()[31] >> 7 != keys[lane][31] >> 7 {
            return None;
        }
        Some((times(&s[lane], &ED25519_BASEPOINT_POINT) - times(&k[lane], &key)).compress().to_bytes())
    });
    let equations = Equations { keys: keys.each_ref(), s: s.each_ref(), k: k.each_ref() };
    for unit in units() {
        let found = unit.cold_combinations(&equations);
        for lane in 0..LANE_COUNT {
            let found = found[lane].map(|point| point.compressed(&inverse(&point.z)));
            let (key, s, k) = (keys[lane], s[lane], k[lane]);
            assert_eq!(found, expected[lane], "{unit:?} {lane} A {key:x?} s {s:x?} k {k:x?}");
        }
    }
}

fn below_2_255(mut number: [u8; 32]) -> [u8; 32] {
    number[31] &= 0x7f;
    number
}

#[test]
fn random_equations_agree_with_dalek() {
    let mut rng = StdRng::seed_from_u64(8);
    for _ in 0..200 {
        let key = |lane: usize| {
            let a = Scalar::from_bytes_mod_order(rng.random());
            (EdwardsPoint::mul_base(&a) + EIGHT_TORSION[lane]).compress().to_bytes()
        };
        let keys = from_fn(key);
        check(&keys, &from_fn(|_| rng.random()), &from_fn(|_| below_2_255(rng.random())));
    }
}

#[test]
fn edges_agree_with_dalek() {
    let mut rng = StdRng::seed_from_u64(127);
    let mut edges = vec![[0; 32], [0xff; 32], [0x88; 32], [0x77; 32], [0x80; 32], (-Scalar::ONE).to_bytes()];
    for small in 1..40u64 {
        edges.extend([Scalar::from(small).to_bytes(), (-Scalar::from(small)).to_bytes()]);
    }
    for bit in 0..256 {
        let mut power = [0; 32];
        power[bit / 8] = 1 << (bit % 8);
        edges.push(power);
    }
    let random = EdwardsPoint::mul_base(&Scalar::from_bytes_mod_order(rng.random()));
    for n in 0..edges.len() {
        let edge = |lane: usize| edges[(n + 37 * lane) % edges.len()];
        // Of mixed order, of small order, and the base point, with which partial sums meet themselves.
        let key = |lane: usize| match (n + lane) % 3 {
            0 => random + EIGHT_TORSION[(n + lane) % 8],
            1 => EIGHT_TORSION[(n + lane) % 8],
            _ => ED25519_BASEPOINT_POINT,
        };
        let keys = from_fn(|lane| key(lane).compress().to_bytes());
        check(&keys, &from_fn(edge), &from_fn(|lane| below_2_255(edge(7 - lane))));
    }
}

#[test]
fn what_is_no_point_has_no_sum_and_spoils_no_neighbour() {
    let mut rng = StdRng::seed_from_u64(6);
    for n in 0..100u8 {
        let mut keys: [[u8; 32]; LANE_COUNT] = from_fn(|_| rng.random());
        // The encodings next to 0 and to p, minus zero among them.
        let (rest, top) = [(0, 0), (0, 0x80), (0xff, 0x7f), (0xff, 0xff)][usize::from(n % 4)];
        keys[3] = [rest; 32];
        (keys[3][0], keys[3][31]) = (if rest == 0 { n / 4 } else { 255 - n / 4 }, top);
        check(&keys, &from_fn(|_| rng.random()), &from_fn(|_| below_2_255(rng.random())));
    }
}
