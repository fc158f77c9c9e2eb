//! Combs and decoding in ordinary registers, and the vector kernels over combs, against curve25519-dalek.

#[cfg(target_arch = "x86_64")]
pub(crate) mod shares;

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::Identity;
use curve25519_dalek::{EdwardsPoint, Scalar};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::comb::{Comb, combination};
use super::decompress::decompress;
use super::inversion::inverse;
use super::point::Point;

#[cfg(target_arch = "x86_64")]
pub mod scalars;

/// Any 256-bit integer times a point of any order, by doubling and adding.
fn times(integer: &[u8; 32], point: &EdwardsPoint) -> EdwardsPoint {
    (0..256).rev().fold(EdwardsPoint::identity(), |sum, bit| {
        let twice = sum + sum;
        if integer[bit / 8] >> (bit % 8) & 1 == 1 { twice + point } else { twice }
    })
}

fn comb_of_negative(point: &EdwardsPoint) -> Comb {
    Comb::of_negative(&decompress(point.compress().as_bytes()).expect("a point"))
}

fn encoded(point: &Point) -> [u8; 32] {
    point.compressed(&inverse(&point.z))
}

/// By each path of this processor.
fn sums(s: &[u8; 32], k: &[u8; 32], comb: &Comb) -> Vec<[u8; 32]> {
    let base = Comb::of_base();
    let terms = || [(base, base.digits(s)), (comb, comb.digits(k))];
    #[allow(unused_mut, reason = "other processors have one path")]
    let mut points = vec![combination(&terms())];
    #[cfg(target_arch = "x86_64")]
    if let Some(ifma) = super::ifma::Ifma::detect() {
        let small = Comb::of_base_small();
        points.push(super::ifma::combination(ifma, &[(small, small.digits(s)), (comb, comb.digits(k))]));
    }
    #[cfg(target_arch = "x86_64")]
    for unit in super::Path::available().into_iter().filter_map(super::Path::unit) {
        use core::array::from_fn;
        // The second half of the lanes has the numbers in the other places, so that neighbours differ.
        let numbers = |lane: usize| if lane < 4 { (s, k) } else { (k, s) };
        let in_lanes = [
            from_fn(|lane| (base, base.digits(numbers(lane).0))),
            from_fn(|lane| (comb, comb.digits(numbers(lane).1))),
        ];
        let in_lanes = unit.combinations(&in_lanes);
        points.extend(&in_lanes[..4]);
        let exchanged = combination(&[(base, base.digits(k)), (comb, comb.digits(s))]);
        assert!(in_lanes[4..].iter().all(|point| encoded(point) == encoded(&exchanged)));
    }
    points.iter().map(encoded).collect()
}

fn check(a: &EdwardsPoint, s: &[u8; 32], k: &[u8; 32]) {
    let expected = (times(s, &ED25519_BASEPOINT_POINT) - times(k, a)).compress().to_bytes();
    for sum in sums(s, k, &comb_of_negative(a)) {
        assert_eq!(sum, expected, "A {:x?} s {s:x?} k {k:x?}", a.compress());
    }
}

#[test]
fn sums_of_random_multiples_agree_with_dalek() {
    let mut rng = StdRng::seed_from_u64(16);
    for n in 0..200 {
        let a = EdwardsPoint::mul_base(&Scalar::from_bytes_mod_order(rng.random())) + EIGHT_TORSION[n % 8];
        check(&a, &rng.random(), &rng.random());
    }
}

#[test]
fn sums_at_the_edges_agree_with_dalek() {
    let mut rng = StdRng::seed_from_u64(128);
    let random = EdwardsPoint::mul_base(&Scalar::from_bytes_mod_order(rng.random()));
    let mut edges = vec![[0; 32], [0xff; 32], [0x55; 32], [0xaa; 32], (-Scalar::ONE).to_bytes()];
    for small in 1..20 {
        edges.push(Scalar::from(small as u64).to_bytes());
        edges.push((-Scalar::from(small as u64)).to_bytes());
    }
    for bit in 0..256 {
        let mut power = [0; 32];
        power[bit / 8] = 1 << (bit % 8);
        edges.push(power);
    }
    for (n, edge) in edges.iter().enumerate() {
        let a = random + EIGHT_TORSION[n % 8];
        check(&a, edge, &rng.random());
        check(&a, &rng.random(), edge);
        check(&ED25519_BASEPOINT_POINT, edge, edge);
        check(&EIGHT_TORSION[n % 8], edge, &edges[(n + 100) % edges.len()]);
    }
}

#[test]
fn decoding_agrees_with_dalek() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut encodings: Vec<[u8; 32]> = EIGHT_TORSION.map(|point| point.compress().to_bytes()).to_vec();
    for low in 0..=255 {
        for (rest, top) in [(0, 0), (0, 0x80), (0xff, 0x7f), (0xff, 0xff)] {
            let mut encoded = [rest; 32];
            (encoded[0], encoded[31]) = (low, top);
            encodings.push(encoded);
        }
    }
    encodings.extend((0..10_000).map(|_| rng.random::<[u8; 32]>()));
    for encoded in &encodings {
        // dalek takes "minus zero" for zero; here, as in RFC 8032, it is refused.
        let expected = CompressedEdwardsY(*encoded)
            .decompress()
            .map(|point| point.compress().to_bytes())
            .filter(|bytes| bytes[31] >> 7 == encoded[31] >> 7);
        let found = decompress(encoded).map(|point| {
            let mut bytes = point.y.to_bytes();
            bytes[31] |= point.x.to_bytes()[0] << 7;
            bytes
        });
        assert_eq!(found, expected, "{encoded:x?}");
    }
}
