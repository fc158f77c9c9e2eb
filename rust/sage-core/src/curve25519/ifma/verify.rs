//! The equation of Ed25519 verification for a key not seen before, in variable time: all is public.
//!
//! # Method
//!
//! Straus: one run of doublings serves both scalars, and the digits of their non-adjacent forms
//! ([`super::naf`]) add odd multiples of B, from a table built once (width 8), and of -A, from one built on
//! the spot (width 5). R is decoded together with A, at no cost ([`super::decompress`]), which saves the
//! inversion that encoding the sum would take.
//!
//! Additions are those of [`super::fixed_base`]. Both operations are two products deep, four lanes each,
//! and *factors* (h, e, g, f) are what lies between the products: the point is X = e f, Y = g h, Z = f g,
//! T = e h. Which second product is taken depends on what comes next: an addition wants (Y + X, Y - X, Z,
//! T), a doubling (Y, Y + X, X, Z), where squares suffice:
//!
//! ```text
//! second:  Y = h g        X = e f        X = e f        Z = f g        and Y + X in the second lane
//! first:   yy = Y^2       s = (Y + X)^2  xx = X^2       zz = Z^2
//!          h = yy + xx    e = s - h      g = yy - xx    f = 2 zz - g
//! ```
//!
//! # Why no case is exceptional
//!
//! With a = -1 a square and d not one, d x x' y y' is never 1 or -1 for points of the curve, whatever their
//! order. So in every addition, with Z and Z' not 0, f = 2 Z Z' (1 - d x x' y y') and g = 2 Z Z' (1 + ..) are
//! not 0, and x = e / g, y = h / f is the sum. A doubling has g = Z^2 (y^2 - x^2) = Z^2 (1 + d x^2 y^2) and
//! f = Z^2 (1 - d x^2 y^2), not 0 either. By induction no Z is 0, whatever A, s and k.
//!
//! # Why comparing points compares encodings
//!
//! A point has one canonical encoding. If `r` is it for some point, it equals the sum's encoding exactly
//! if that point is the sum, that is, e = x g and h = y f. If `r` is no such encoding, none equals it.
//!
//! # Bounds
//!
//! With M = 267 * 2^52 < 2^60.07 for a product and bias limbs between 2^61 - 2^15 and 2^61 ("Bias" in
//! [`super::field`]): in a doubling yy carries the bias, so that h and g are between 0 and 2^61 + 2 M <
//! 2^62.04; s and 2 zz start from four times the bias, at least 2^63 - 2^17, so that e and f are between 0
//! and 2^63 + 2 M < 2^63.4. Y + X is below 2 M. All are then carried. Limbs of the tables' entries are below
//! 2^51 + 2^18, and 2 p less such a limb is between 0 and 2^52: negated entries are tight.

use core::arch::x86_64::*;
use std::sync::OnceLock;

use super::Ifma;
use super::decompress::{Affine, decompress_two};
use super::element::Element;
use super::field::{NONE, Tight4, Wide4};
use super::fixed_base::{factors, sum};
use super::naf;
use super::point::{Point, TWICE_D, invert_all, twice_dxy};

/// Widths of the non-adjacent forms of k and of s.
const KEY_WIDTH: u32 = 5;
const BASE_WIDTH: u32 = 8;
/// 1, 3, .., 15 times -A, and 1, 3, .., 127 times B.
const KEY_ENTRY_COUNT: usize = 1 << (KEY_WIDTH - 2);
const BASE_ENTRY_COUNT: usize = 1 << (BASE_WIDTH - 2);

const ZERO: Element = Element([0; 5]);
const TWO: Element = Element([2, 0, 0, 0, 0]);

/// True if `public` encodes a point A, and [s]B - [k]A is the point that `r` encodes canonically.
///
/// This is the equation of RFC 8032, 5.1.7, without cofactor, for any 256-bit little-endian integers s and
/// k and a point A of any order. The caller answers for the rest of a verdict: s below the order of B,
/// `public` canonical, neither point of small order, and k. Variable time.
#[must_use]
pub fn verify_equation(ifma: Ifma, public: &[u8; 32], r: &[u8; 32], s: &[u8; 32], k: &[u8; 32]) -> bool {
    let [Some(a), Some(expected)] = decompress_two(ifma, [public, r]) else { return false };
    let (s_digits, k_digits) = (naf::digits::<BASE_WIDTH>(s), naf::digits::<KEY_WIDTH>(k));
    // SAFETY: an `Ifma` exists only where the four features do.
    let [h, e, g, f] = unsafe { combination(base_multiples(ifma), &s_digits, &a, &k_digits) };
    let mut canonical_y = *r;
    canonical_y[31] &= 0x7f;
    e.equals(&expected.x.mul(&g)) && h.equals(&expected.y.mul(&f)) && expected.y.to_bytes() == canonical_y
}

/// The factors of [s]B - [k]A.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn combination(
    base_multiples: &[Tight4; BASE_ENTRY_COUNT],
    s_digits: &[i8; naf::DIGIT_COUNT],
    a: &Affine,
    k_digits: &[i8; naf::DIGIT_COUNT],
) -> [Element; 4] {
    let key_multiples = negated_multiples(a);
    let terms = [(s_digits, &base_multiples[..]), (k_digits, &key_multiples[..])];
    // The neutral element: X = 0, Y = Z = 1.
    let mut factors = in_lanes([Element::ONE, ZERO, Element::ONE, Element::ONE]);
    let mut doubling_count = 0;
    let first = (0..naf::DIGIT_COUNT).rev().find(|&n| s_digits[n] != 0 || k_digits[n] != 0).unwrap_or(0);
    for position in (0..=first).rev() {
        for (digits, odd_multiples) in &terms {
            if digits[position] != 0 {
                factors = add(&doubled(factors, doubling_count), odd_multiples, digits[position]);
                doubling_count = 0;
            }
        }
        doubling_count += 1;
    }
    factors = doubled(factors, doubling_count - 1);
    factors.to_lanes().map(Element)
}

/// The factors of the point of `factors` plus `digit` times the point of which there are odd multiples.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
fn add(point: &Tight4, odd_multiples: &[Tight4], digit: i8) -> Tight4 {
    const TWICE_P: [i64; 5] = [(1 << 52) - 38, (1 << 52) - 2, (1 << 52) - 2, (1 << 52) - 2, (1 << 52) - 2];
    // Of a negative: Y + X and Y - X exchanged (as 32-bit lanes), T negated.
    let (exchanged, negated) = if digit < 0 { (0b0000_1111, 0b1000) } else { (0, 0) };
    let entry = &odd_multiples[usize::from(digit.unsigned_abs()) / 2];
    let entry = Tight4(core::array::from_fn(|k| {
        let limb = entry.0[k];
        let limb = _mm256_mask_shuffle_epi32::<0b01_00_11_10>(limb, exchanged, limb);
        _mm256_mask_sub_epi64(limb, negated, _mm256_set1_epi64x(TWICE_P[k]), limb)
    }));
    factors(&sum(point), &entry)
}

/// The factors of 2^count times a point. A function of its own, so that the loop stays in registers.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline(never)]
fn doubled(mut factors: Tight4, count: u32) -> Tight4 {
    for _ in 0..count {
        factors = double(&factors);
    }
    factors
}

/// The factors of a point's double.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
fn double(factors: &Tight4) -> Tight4 {
    const SECOND: __mmask8 = 0b0010;
    // (h, e, e, f) times (g, f, f, g) is (Y, X, X, Z).
    let left = Tight4(factors.0.map(|limb| _mm256_permute4x64_epi64::<0b11_01_01_00>(limb)));
    let right = Tight4(factors.0.map(|limb| _mm256_permute4x64_epi64::<0b10_11_11_10>(limb)));
    let coordinates = left.mul(&right, NONE);
    let with_sum = Wide4(coordinates.0.map(|limb| {
        let swapped = _mm256_shuffle_epi32::<0b01_00_11_10>(limb);
        _mm256_mask_add_epi64(limb, SECOND, limb, swapped)
    }));
    double_factors(&with_sum.carry())
}

/// The factors of the double of a point (Y, Y + X, X, Z).
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
fn double_factors(point: &Tight4) -> Tight4 {
    const FIRST: __mmask8 = 0b0001;
    const LAST: __mmask8 = 0b1000;
    const UPPER: __mmask8 = 0b1100;
    const MINUENDS: __mmask8 = 0b1010;
    // (yy, s, xx, zz), the bias in yy.
    let squares = point.square(FIRST);
    let four_biases = Wide4::four_biases();
    Wide4(core::array::from_fn(|k| {
        let limb = squares.0[k];
        let yy = _mm256_permute4x64_epi64::<0b00_00_00_00>(limb);
        let xx = _mm256_permute4x64_epi64::<0b10_10_10_10>(limb);
        // (h, h, g, g)
        let subtrahends = _mm256_mask_sub_epi64(_mm256_add_epi64(yy, xx), UPPER, yy, xx);
        // (.., s, .., 2 zz)
        let minuends = _mm256_mask_add_epi64(limb, LAST, limb, limb);
        let minuends = _mm256_add_epi64(minuends, four_biases.0[k]);
        _mm256_mask_sub_epi64(subtrahends, MINUENDS, minuends, subtrahends)
    }))
    .carry()
}

/// 1, 3, .., 15 times -A as entries.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn negated_multiples(a: &Affine) -> [Tight4; KEY_ENTRY_COUNT] {
    let Affine { x, y } = a;
    let (sum_of_both, difference) = (y.add(x).carried(), y.sub(x).carried());
    let minus_x = ZERO.sub(x).carried();
    // -A is (-x, y), and here Z = 1.
    let mut multiple = in_lanes([difference, sum_of_both, Element::ONE, minus_x.mul(y)]);
    let to_double = in_lanes([*y, difference, minus_x, Element::ONE]);
    let twice = entry(&sum(&double_factors(&to_double)));
    let mut entries = [entry(&multiple); KEY_ENTRY_COUNT];
    for next in &mut entries[1..] {
        multiple = sum(&factors(&multiple, &twice));
        *next = entry(&multiple);
    }
    entries
}

/// (Y + X, Y - X, 2 Z, 2 d T) of a point (Y + X, Y - X, Z, T): what an addition multiplies by.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn entry(point: &Tight4) -> Tight4 {
    let constants = in_lanes([Element::ONE, Element::ONE, TWO, TWICE_D]);
    point.mul(&constants, NONE).carry()
}

/// 1, 3, .., 127 times B as entries with Z = 1, 10 KiB, built at first use.
fn base_multiples(_ifma: Ifma) -> &'static [Tight4; BASE_ENTRY_COUNT] {
    static MULTIPLES: OnceLock<[Tight4; BASE_ENTRY_COUNT]> = OnceLock::new();
    MULTIPLES.get_or_init(|| {
        let twice = Point::BASE.double();
        let mut points = [Point::BASE; BASE_ENTRY_COUNT];
        for n in 1..BASE_ENTRY_COUNT {
            points[n] = points[n - 1].add(&twice);
        }
        let mut inverses = points.map(|point| point.z);
        invert_all(&mut inverses, &mut [Element::ONE; BASE_ENTRY_COUNT]);
        core::array::from_fn(|n| {
            let (x, y) = (points[n].x.mul(&inverses[n]), points[n].y.mul(&inverses[n]));
            // SAFETY: an `Ifma` exists only where the four features do.
            unsafe { in_lanes([y.add(&x).carried(), y.sub(&x).carried(), TWO, twice_dxy(&x, &y)]) }
        })
    })
}

/// Carried elements, one to a lane.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
fn in_lanes(elements: [Element; 4]) -> Tight4 {
    Tight4::from_lanes(elements.map(|element| element.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tight limbs whose products have both halves next to 2^52: (2^52 - c)^2 with c^2 just below 2^52.
    const WORST: Element = Element([(1 << 52) - (1 << 26) + 1; 5]);

    /// Lanes of zeros and of the worst limbs in every combination, against ordinary registers.
    #[test]
    fn doubling_holds_at_the_bounds() {
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
        fn lanes_of(elements: [Element; 4]) -> [Element; 4] {
            double_factors(&in_lanes(elements)).to_lanes().map(Element)
        }
        if Ifma::detect().is_none() {
            return;
        }
        for choice in 0..16 {
            let elements @ [y, y_plus_x, x, z] =
                [0, 1, 2, 3].map(|lane| if choice >> lane & 1 == 1 { WORST } else { ZERO });
            // SAFETY: the four features were asked for.
            let [h, e, g, f] = unsafe { lanes_of(elements) };
            let [yy, s, xx, zz] = [y, y_plus_x, x, z].map(|element| element.square());
            let expected_g = yy.sub(&xx).carried();
            let expected_h = yy.add(&xx);
            assert!(h.equals(&expected_h) && e.equals(&s.sub(&expected_h)));
            assert!(g.equals(&expected_g) && f.equals(&zz.add(&zz).sub(&expected_g)));
            let largest = [h, e, g, f].into_iter().flat_map(|element| element.0).max();
            assert!(largest < Some((1 << 51) + (1 << 18)));
        }
    }
}
