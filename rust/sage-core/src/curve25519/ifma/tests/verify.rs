//! The verification equation against curve25519-dalek and AWS-LC; decoding and digits by themselves.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::{Identity, IsIdentity};
use curve25519_dalek::{EdwardsPoint, Scalar};
use num_bigint::{BigInt, BigUint, Sign};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::super::decompress::decompress_two;
use super::super::{naf, verify_equation};
use crate::aws_lc;

const CASE_COUNT: usize = 100_000;

fn order() -> BigUint {
    (BigUint::from(1u8) << 252) + 27_742_317_777_372_353_535_851_937_790_883_648_493u128
}

fn to_bytes(number: &BigUint) -> [u8; 32] {
    let mut bytes = [0; 32];
    let digits = number.to_bytes_le();
    bytes[..digits.len()].copy_from_slice(&digits);
    bytes
}

/// The integer times the point, which may have any order: integers from l on matter for torsion.
fn times(integer: &[u8; 32], point: &EdwardsPoint) -> EdwardsPoint {
    let quotient = u64::try_from(BigUint::from_bytes_le(integer) / order()).expect("at most 15");
    let remainder = Scalar::from_bytes_mod_order(*integer);
    let order_times = -Scalar::ONE * point + point;
    remainder * point + Scalar::from(quotient) * order_times
}

/// [s]B - [k]A by the reference.
fn reference(s: &[u8; 32], k: &[u8; 32], a: &EdwardsPoint) -> EdwardsPoint {
    let canonical = |bytes: &[u8; 32]| Option::<Scalar>::from(Scalar::from_canonical_bytes(*bytes));
    match (canonical(s), canonical(k)) {
        (Some(s), Some(k)) => EdwardsPoint::vartime_double_scalar_mul_basepoint(&k, &-a, &s),
        _ => times(s, &ED25519_BASEPOINT_POINT) - times(k, a),
    }
}

/// Numbers whose digits are extreme: runs, gaps of every width, ends of the range.
fn edge_integers() -> Vec<[u8; 32]> {
    let one = BigUint::from(1u8);
    let mut integers: Vec<BigUint> = (0..300u32).map(BigUint::from).collect();
    for bit in 0..253 {
        integers.extend([&one << bit, (&one << bit) - 1u8, (&one << 253) - (&one << bit)]);
    }
    for offset in 0..40u8 {
        integers.extend([
            order() - offset,
            order() + offset,
            (&one << 253) - 1u8 - offset,
            order() / 2u8 + offset,
        ]);
    }
    // One pattern of 2 to 18 bits all along.
    for width in 2..=18 {
        let patterns =
            [1u32, 3, (1 << width) - 1, 1 << (width - 1), (1 << (width - 1)) + 1, (1 << width) - 3];
        for pattern in patterns {
            let repeated = (0..253 / width).fold(BigUint::ZERO, |sum, _| (sum << width) + pattern);
            integers.push(repeated % (&one << 253));
        }
    }
    integers.iter().map(to_bytes).collect()
}

fn check(ifma: super::super::Ifma, a: &EdwardsPoint, s: &[u8; 32], k: &[u8; 32]) {
    let public = a.compress().to_bytes();
    let r = reference(s, k, a).compress().to_bytes();
    assert!(verify_equation(ifma, &public, &r, s, k), "A {public:x?} s {s:x?} k {k:x?}");
    let mut wrong = r;
    wrong[31] ^= 0x80;
    assert!(!verify_equation(ifma, &public, &wrong, s, k));
    wrong = (reference(s, k, a) + ED25519_BASEPOINT_POINT).compress().to_bytes();
    assert!(!verify_equation(ifma, &public, &wrong, s, k));
}

#[test]
fn random_equations_agree_with_dalek() {
    let Some(ifma) = super::detect() else { return };
    let mut rng = StdRng::seed_from_u64(8032);
    for n in 0..CASE_COUNT {
        let [a, s, k] = [0; 3].map(|_| Scalar::from_bytes_mod_order(rng.random()));
        let point = EdwardsPoint::mul_base(&a) + EIGHT_TORSION[n % 8];
        let sum = reference(s.as_bytes(), k.as_bytes(), &point);
        let mut bytes = [point.compress().to_bytes(), sum.compress().to_bytes(), s.to_bytes(), k.to_bytes()];
        let verdict =
            |bytes: &[[u8; 32]; 4]| verify_equation(ifma, &bytes[0], &bytes[1], &bytes[2], &bytes[3]);
        assert!(verdict(&bytes), "{bytes:x?}");
        // One flipped bit, within the ranges; the flip of A or k may hit the same sum by torsion only.
        let (which, bit) = (n % 4, rng.random_range(0..253));
        bytes[which][bit / 8] ^= 1 << (bit % 8);
        let expected = CompressedEdwardsY(bytes[0])
            .decompress()
            .is_some_and(|a| reference(&bytes[2], &bytes[3], &a).compress().to_bytes() == bytes[1]);
        assert_eq!(verdict(&bytes), expected, "{bytes:x?}");
    }
}

#[test]
fn edge_integers_agree_with_dalek() {
    let Some(ifma) = super::detect() else { return };
    let mut rng = StdRng::seed_from_u64(252);
    let integers = edge_integers();
    let random = EdwardsPoint::mul_base(&Scalar::from_bytes_mod_order(rng.random()));
    for (n, edge) in integers.iter().enumerate() {
        let other = integers[rng.random_range(0..integers.len())];
        let any = Scalar::from_bytes_mod_order(rng.random()).to_bytes();
        let mixed = random + EIGHT_TORSION[n % 8];
        for (s, k) in [(edge, &any), (&any, edge), (edge, edge), (edge, &other)] {
            check(ifma, &mixed, s, k);
        }
        check(ifma, &ED25519_BASEPOINT_POINT, edge, &other);
        check(ifma, &EIGHT_TORSION[n % 8], edge, &other);
    }
    // Full words, beyond what is asked for.
    for s in [[0xff; 32], [0x55; 32], [0xaa; 32], [0x80; 32], [0x7f; 32]] {
        check(ifma, &random, &s, &[0xff; 32]);
        check(ifma, &(random + EIGHT_TORSION[1]), &[0xfe; 32], &s);
    }
}

#[test]
fn sums_that_meet_themselves_agree_with_dalek() {
    let Some(ifma) = super::detect() else { return };
    // A is a small multiple of B, of either sign and with torsion: partial sums double and cancel.
    for multiple in 1..=16u64 {
        for torsion in EIGHT_TORSION {
            let b = Scalar::from(multiple) * ED25519_BASEPOINT_POINT;
            for a in [b + torsion, torsion - b] {
                for k in 0..17u64 {
                    let k = Scalar::from(k);
                    let product = Scalar::from(multiple) * k;
                    for s in [product, -product, product + Scalar::ONE, k, -k, Scalar::ZERO, -Scalar::ONE] {
                        check(ifma, &a, s.as_bytes(), k.as_bytes());
                        check(ifma, &a, s.as_bytes(), (-k).as_bytes());
                    }
                }
            }
        }
    }
}

#[test]
fn the_neutral_element_is_met_by_its_one_encoding_only() {
    let Some(ifma) = super::detect() else { return };
    let mut rng = StdRng::seed_from_u64(1);
    let neutral = EdwardsPoint::identity().compress().to_bytes();
    let mut negative = neutral;
    negative[31] |= 0x80;
    let mut above_p = [0xff; 32];
    (above_p[0], above_p[31]) = (0xee, 0x7f);
    for _ in 0..1_000 {
        let [a, k] = [0; 2].map(|_| Scalar::from_bytes_mod_order(rng.random()));
        let public = EdwardsPoint::mul_base(&a).compress().to_bytes();
        let s = a * k;
        for (r, expected) in [(neutral, true), (negative, false), (above_p, false)] {
            assert_eq!(verify_equation(ifma, &public, &r, s.as_bytes(), k.as_bytes()), expected);
        }
    }
    for (r, expected) in [(neutral, true), (negative, false), (above_p, false)] {
        assert_eq!(verify_equation(ifma, &[0x66; 32], &r, &[0; 32], &[0; 32]), {
            CompressedEdwardsY([0x66; 32]).decompress().is_some() && expected
        });
    }
}

#[test]
fn every_torsion_defect_of_key_and_signature_agrees_with_dalek() {
    let Some(ifma) = super::detect() else { return };
    let mut rng = StdRng::seed_from_u64(64);
    for _ in 0..100 {
        let [a, r, mut k] = [0; 3].map(|_| Scalar::from_bytes_mod_order(rng.random()));
        for _ in 0..8 {
            k += Scalar::ONE;
            let s = r + k * a;
            for a_torsion in EIGHT_TORSION {
                for r_torsion in EIGHT_TORSION {
                    let public = EdwardsPoint::mul_base(&a) + a_torsion;
                    let signed = EdwardsPoint::mul_base(&r) + r_torsion;
                    let expected = times(k.as_bytes(), &a_torsion) == -r_torsion;
                    let [public, signed] = [public, signed].map(|point| point.compress().to_bytes());
                    let verdict = verify_equation(ifma, &public, &signed, s.as_bytes(), k.as_bytes());
                    assert_eq!(verdict, expected);
                }
            }
        }
    }
}

/// Whether the checks before the equation let this through; their own tests are elsewhere.
fn is_strict(public: &[u8; 32], signature: &[u8; 64]) -> bool {
    let point = |bytes: &[u8; 32]| match CompressedEdwardsY(*bytes).decompress() {
        Some(point) => point.compress().as_bytes() == bytes && !point.is_small_order(),
        None => true,
    };
    let (r, s) = halves(signature);
    point(public) && point(r) && bool::from(Scalar::from_canonical_bytes(*s).is_some())
}

fn halves(signature: &[u8; 64]) -> (&[u8; 32], &[u8; 32]) {
    (signature.first_chunk().unwrap(), signature.last_chunk().unwrap())
}

fn verdict(ifma: super::super::Ifma, public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let (r, s) = halves(signature);
    let k = Scalar::from_bytes_mod_order_wide(&aws_lc::sha512(&[r, public, message]));
    verify_equation(ifma, public, r, s, k.as_bytes())
}

#[test]
fn signatures_whole_and_damaged_agree_with_aws_lc() {
    let Some(ifma) = super::detect() else { return };
    let mut rng = StdRng::seed_from_u64(25519);
    let (mut compared, mut accepted) = (0, 0);
    for n in 0..CASE_COUNT {
        let mut private = [0; 64];
        let mut public = aws_lc::ed25519_expand(&rng.random(), &mut private);
        let mut message: Vec<u8> = (0..rng.random_range(1..80)).map(|_| rng.random()).collect();
        let mut signature = aws_lc::ed25519_sign(&private, &message);
        match n % 8 {
            0 => public[rng.random_range(0..32)] ^= 1 << rng.random_range(0..8),
            1 => signature[rng.random_range(0..64)] ^= 1 << rng.random_range(0..8),
            2 => message[0] ^= 1,
            3 => public = aws_lc::ed25519_expand(&rng.random(), &mut private),
            4 => signature[..32].copy_from_slice(&rng.random::<[u8; 32]>()),
            _ => {}
        }
        if is_strict(&public, &signature) {
            let expected = aws_lc::ed25519_verify(&public, &message, &signature);
            assert_eq!(verdict(ifma, &public, &message, &signature), expected, "{public:x?} {signature:x?}");
            compared += 1;
            accepted += usize::from(expected);
        }
    }
    assert!(compared > CASE_COUNT / 10 * 9 && accepted >= CASE_COUNT / 8 * 3, "{compared} {accepted}");
}

#[test]
fn signatures_with_torsion_agree_with_aws_lc() {
    let Some(ifma) = super::detect() else { return };
    let mut rng = StdRng::seed_from_u64(8);
    let mut accepted = 0;
    for _ in 0..200 {
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
                let expected = aws_lc::ed25519_verify(&public, &message, &signature);
                assert_eq!(verdict(ifma, &public, &message, &signature), expected);
                accepted += usize::from(expected);
            }
        }
    }
    // An eighth on average.
    assert!((1_200..2_000).contains(&accepted), "{accepted}");
}

#[test]
fn decoding_agrees_with_dalek() {
    let Some(ifma) = super::detect() else { return };
    let mut rng = StdRng::seed_from_u64(5);
    let mut encodings: Vec<[u8; 32]> = EIGHT_TORSION.map(|point| point.compress().to_bytes()).to_vec();
    for low in 0..=255 {
        for (rest, top) in [(0, 0), (0, 0x80), (0xff, 0x7f), (0xff, 0xff)] {
            let mut encoded = [rest; 32];
            (encoded[0], encoded[31]) = (low, top);
            encodings.push(encoded);
        }
    }
    encodings.extend((0..CASE_COUNT).map(|_| rng.random::<[u8; 32]>()));
    for (n, encoded) in encodings.iter().enumerate() {
        let beside = &encodings[(n + 7) % encodings.len()];
        let [point, _] = decompress_two(ifma, [encoded, beside]);
        let [_, same] = decompress_two(ifma, [beside, encoded]);
        // dalek takes "minus zero" for zero; here, as in RFC 8032, it is refused.
        let minus_zero = |bytes: &[u8; 32]| bytes[31] & 0x80 != 0;
        let expected = CompressedEdwardsY(*encoded)
            .decompress()
            .map(|point| point.compress().to_bytes())
            .filter(|bytes| minus_zero(bytes) == minus_zero(encoded));
        for point in [point, same] {
            let found = point.map(|point| {
                let mut bytes = point.y.to_bytes();
                bytes[31] |= point.x.to_bytes()[0] << 7;
                bytes
            });
            assert_eq!(found, expected, "{encoded:x?}");
        }
    }
}

#[test]
fn what_is_not_on_the_curve_is_refused() {
    let Some(ifma) = super::detect() else { return };
    let mut rng = StdRng::seed_from_u64(6);
    let zero = [0; 32];
    let neutral = EdwardsPoint::identity().compress().to_bytes();
    let mut refused = 0;
    for _ in 0..2_000 {
        let encoded: [u8; 32] = rng.random();
        let on_curve = CompressedEdwardsY(encoded).decompress();
        // 0 B - 0 A is the neutral element whatever A is, if it is.
        assert_eq!(verify_equation(ifma, &encoded, &neutral, &zero, &zero), on_curve.is_some());
        assert!(!verify_equation(ifma, &[0x58; 32], &encoded, &zero, &zero));
        refused += usize::from(on_curve.is_none());
        assert!(on_curve.is_none_or(|point| !point.is_identity()));
    }
    assert!((800..1_200).contains(&refused));
}

#[test]
fn digits_are_a_non_adjacent_form() {
    fn check<const WIDTH: u32>(scalar: &[u8; 32]) {
        let digits = naf::digits::<WIDTH>(scalar);
        let sum = digits.iter().rev().fold(BigInt::ZERO, |sum, digit| (sum << 1) + *digit);
        assert_eq!(sum, BigInt::from_bytes_le(Sign::Plus, scalar));
        let mut free_from = 0;
        for (position, digit) in digits.iter().enumerate().filter(|(_, digit)| **digit != 0) {
            assert!(digit % 2 != 0 && u32::from(digit.unsigned_abs()) < 1 << (WIDTH - 1));
            assert!(position >= free_from);
            free_from = position + WIDTH as usize;
        }
    }
    let mut rng = StdRng::seed_from_u64(7);
    let mut scalars = edge_integers();
    for value in 0..=255 {
        scalars.extend([[value; 32], [[value; 16], [0xff; 16]].concat().try_into().unwrap()]);
    }
    scalars.extend((0..CASE_COUNT).map(|_| rng.random::<[u8; 32]>()));
    for scalar in &scalars {
        check::<2>(scalar);
        check::<5>(scalar);
        check::<8>(scalar);
    }
}
