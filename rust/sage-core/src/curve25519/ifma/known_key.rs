//! The sum of multiples of two points with tables ([`super::comb`]), in variable time: all is public.
//!
//! # Method
//!
//! Two sums run side by side, one a point, so that each hides the other's latency: four lanes each, additions
//! and doublings as in [`super::fixed_base`]. At the end they are joined in ordinary registers.
//!
//! An entry comes as four words of 64 bits in three lanes and is taken apart into limbs of 51 bits. A negative
//! one has y + x and y - x exchanged, which is one choice of two permutations, and 2 d x y negated.
//!
//! # Bounds
//!
//! Entries are fully reduced, so their limbs are below 2^51, and 2 p less such a limb is between 0 and 2^52:
//! negated entries are tight. The rest is as in [`super::fixed_base`].

use core::arch::x86_64::*;

use super::Ifma;
use super::comb::{Comb, Digits, Entry, KEY_TABLE_COUNT, MAX_COLUMN_COUNT};
use super::element::Element;
use super::field::Tight4;
use super::fixed_base::{doubling_factors, factors, sum};
use super::point::Point;

/// The sum of multiples of two points, both with combs in the shape of a key's. Variable time.
pub fn combination(_ifma: Ifma, terms: &[(&Comb, Digits); 2]) -> Point {
    // SAFETY: an `Ifma` exists only where the four features do.
    let lanes = unsafe { two_sums(terms) };
    let [first, second] = lanes.map(|coordinates| Point::from_sum_and_difference(coordinates.map(Element)));
    first.add(&second)
}

#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn two_sums(terms: &[(&Comb, Digits); 2]) -> [[[u64; 5]; 4]; 2] {
    // The neutral element: Y + X, Y - X, Z, T.
    let mut neutral = Tight4([_mm256_setzero_si256(); 5]);
    neutral.0[0] = _mm256_setr_epi64x(1, 1, 1, 0);
    let mut sums = [neutral; 2];
    for column in (0..MAX_COLUMN_COUNT).rev() {
        if column < MAX_COLUMN_COUNT - 1 {
            sums = sums.map(|point| doubling_factors(&point)).map(|factors| sum(&factors));
        }
        for table in 0..KEY_TABLE_COUNT {
            let entries = terms.each_ref().map(|(comb, digits)| {
                let (entry, is_negative) = comb.entry(digits, table, column);
                limbs(entry, is_negative)
            });
            let next = [factors(&sums[0], &entries[0]), factors(&sums[1], &entries[1])];
            sums = next.map(|factors| sum(&factors));
        }
    }
    for (point, (comb, digits)) in sums.iter_mut().zip(terms) {
        if digits.is_one_too_many {
            *point = sum(&factors(point, &limbs(comb.point(), true)));
        }
    }
    sums.map(|point| point.to_lanes())
}

/// The lanes (y + x, y - x, 2, 2 d x y) of an entry or its negative.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
fn limbs(entry: &Entry, is_negative: bool) -> Tight4 {
    const TWICE_P: [i64; 5] = [(1 << 52) - 38, (1 << 52) - 2, (1 << 52) - 2, (1 << 52) - 2, (1 << 52) - 2];
    const CONSTANT: __mmask8 = 0b0100;
    let low_51 = _mm256_set1_epi64x((1 << 51) - 1);
    let (order, last_order, negated) = if is_negative {
        (_mm256_setr_epi64x(1, 0, 0, 2), _mm256_setr_epi64x(2, 1, 1, 3), 0b1000)
    } else {
        (_mm256_setr_epi64x(0, 1, 0, 2), _mm256_setr_epi64x(1, 2, 1, 3), 0)
    };
    let flat = entry.0.as_flattened();
    let read = |at: usize| {
        let four: &[u64; 4] = flat[at..].first_chunk().expect("at most 8 of 12 words in");
        // SAFETY: 32 readable bytes; the load asks for no alignment.
        unsafe { _mm256_loadu_si256(four.as_ptr().cast()) }
    };
    // The last three words are read with one before them, to stay within the entry.
    let words = [
        _mm256_permutexvar_epi64(order, read(0)),
        _mm256_permutexvar_epi64(order, read(3)),
        _mm256_permutexvar_epi64(order, read(6)),
        _mm256_permutexvar_epi64(last_order, read(8)),
    ];
    let limbs = [
        words[0],
        _mm256_or_si256(_mm256_srli_epi64::<51>(words[0]), _mm256_slli_epi64::<13>(words[1])),
        _mm256_or_si256(_mm256_srli_epi64::<38>(words[1]), _mm256_slli_epi64::<26>(words[2])),
        _mm256_or_si256(_mm256_srli_epi64::<25>(words[2]), _mm256_slli_epi64::<39>(words[3])),
        _mm256_srli_epi64::<12>(words[3]),
    ];
    Tight4(core::array::from_fn(|k| {
        let constant = _mm256_set1_epi64x(if k == 0 { 2 } else { 0 });
        let limb = _mm256_and_si256(limbs[k], low_51);
        let limb = _mm256_mask_sub_epi64(limb, negated, _mm256_set1_epi64x(TWICE_P[k]), limb);
        _mm256_mask_mov_epi64(limb, CONSTANT, constant)
    }))
}
