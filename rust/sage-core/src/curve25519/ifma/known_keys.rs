//! Eight sums of multiples of two points with tables ([`super::comb`]), one to a lane, in variable time.
//!
//! # Method
//!
//! As in [`super::batch`]: nothing is ever moved between lanes but entries of tables. Those are read eight at
//! a time and transposed in registers, from eight rows of twelve words to twelve vectors: loads and shuffles
//! take less than gathering, and as long on every processor.
//!
//! # Bounds
//!
//! Entries as in [`super::known_key`], sums as in [`super::batch`].

use core::arch::x86_64::*;

use super::Ifma;
use super::batch::{Sums, add, double, from_factors, neutral};
use super::comb::{Comb, Digits, Entry, MAX_COLUMN_COUNT};
use super::element::Element;
use super::field::{Tight8, Wide8};
use super::point::Point;

pub const LANE_COUNT: usize = 8;

/// Two terms for each lane: all first ones, then all second ones; combs of one shape each.
pub type Terms<'a> = [[(&'a Comb, Digits); LANE_COUNT]; 2];

/// Eight sums of multiples of two points. Variable time.
pub fn combinations(_ifma: Ifma, terms: &Terms<'_>) -> [Point; LANE_COUNT] {
    // SAFETY: an `Ifma` exists only where the four features do.
    unsafe { eight_sums(terms) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn eight_sums(terms: &Terms<'_>) -> [Point; LANE_COUNT] {
    let mut sums = neutral();
    for column in (0..MAX_COLUMN_COUNT).rev() {
        if column < MAX_COLUMN_COUNT - 1 {
            sums = doubled(&sums);
        }
        for term in terms {
            for table in 0..term[0].0.table_count(column) {
                let mut negative = 0;
                let entries = core::array::from_fn(|lane| {
                    let (comb, digits) = &term[lane];
                    let (entry, is_negative) = comb.entry(digits, table, column);
                    negative |= u8::from(is_negative) << lane;
                    entry
                });
                sums = add(&sums, &limbs(&entries, negative));
            }
        }
    }
    for term in terms {
        let mut wanted = 0;
        let entries = core::array::from_fn(|lane| {
            wanted |= u8::from(term[lane].1.is_one_too_many) << lane;
            term[lane].0.point()
        });
        sums = chosen(wanted, &add(&sums, &limbs(&entries, 0xff)), &sums);
    }
    points(&sums)
}

#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn points(sums: &Sums) -> [Point; LANE_COUNT] {
    let [plus, minus, z, t] = [sums.y_plus_x, sums.y_minus_x, sums.z, sums.t].map(|limbs| limbs.to_lanes());
    core::array::from_fn(|n| Point::from_sum_and_difference([plus[n], minus[n], z[n], t[n]].map(Element)))
}

/// Twice each sum: of twice each coordinate, which is the same point.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
fn doubled(sums: &Sums) -> Sums {
    let [plus, minus, z] = [sums.y_plus_x, sums.y_minus_x, sums.z].map(|limbs| Wide8::from_tight(&limbs));
    let x = plus.add(&Wide8::bias()).sub(&minus).carry();
    let y = plus.add(&minus).carry();
    let (e, f, g, h) = double(&x, &y, &z.add(&z).carry());
    from_factors(&e, &f, &g, &h)
}

/// Lane by lane the first where `wanted` has a bit, the second elsewhere.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn chosen(wanted: __mmask8, first: &Sums, second: &Sums) -> Sums {
    let choose = |first: &Tight8, second: &Tight8| {
        Tight8(core::array::from_fn(|k| _mm512_mask_mov_epi64(second.0[k], wanted, first.0[k])))
    };
    Sums {
        y_plus_x: choose(&first.y_plus_x, &second.y_plus_x),
        y_minus_x: choose(&first.y_minus_x, &second.y_minus_x),
        z: choose(&first.z, &second.z),
        t: choose(&first.t, &second.t),
    }
}

/// y + x, y - x and 2 d x y of eight entries, or of the negatives of those with a bit in `negative`.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
fn limbs(entries: &[&Entry; LANE_COUNT], negative: __mmask8) -> [Tight8; 3] {
    const TWICE_P: [i64; 5] = [(1 << 52) - 38, (1 << 52) - 2, (1 << 52) - 2, (1 << 52) - 2, (1 << 52) - 2];
    let w = words(entries);
    let exchanged = |a: __m512i, b: __m512i| _mm512_mask_mov_epi64(a, negative, b);
    let y_plus_x = [0, 3, 6, 9].map(|n| exchanged(w[n], w[n + 1]));
    let y_minus_x = [0, 3, 6, 9].map(|n| exchanged(w[n + 1], w[n]));
    let twice_dxy = Tight8(core::array::from_fn(|k| {
        let limb = split([w[2], w[5], w[8], w[11]]).0[k];
        _mm512_mask_sub_epi64(limb, negative, _mm512_set1_epi64(TWICE_P[k]), limb)
    }));
    [split(y_plus_x), split(y_minus_x), twice_dxy]
}

/// Limbs of 51 bits from words of 64.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
fn split(w: [__m512i; 4]) -> Tight8 {
    let low_51 = _mm512_set1_epi64((1 << 51) - 1);
    let limbs = [
        w[0],
        _mm512_or_si512(_mm512_srli_epi64::<51>(w[0]), _mm512_slli_epi64::<13>(w[1])),
        _mm512_or_si512(_mm512_srli_epi64::<38>(w[1]), _mm512_slli_epi64::<26>(w[2])),
        _mm512_or_si512(_mm512_srli_epi64::<25>(w[2]), _mm512_slli_epi64::<39>(w[3])),
        _mm512_srli_epi64::<12>(w[3]),
    ];
    Tight8(limbs.map(|limb| _mm512_and_si512(limb, low_51)))
}

/// The twelve words of each entry: vector n has word n of all eight.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
fn words(entries: &[&Entry; LANE_COUNT]) -> [__m512i; 12] {
    let rows = entries.map(|entry| {
        let flat = entry.0.as_flattened();
        let eight: &[u64; 8] = flat.first_chunk().expect("8 of 12 words");
        // SAFETY: 64 readable bytes; the load asks for no alignment.
        unsafe { _mm512_loadu_si512(eight.as_ptr().cast()) }
    });
    let tails = entries.map(|entry| {
        let four: &[u64; 4] = entry.0.as_flattened().last_chunk().expect("4 of 12 words");
        // SAFETY: 32 readable bytes; the load asks for no alignment.
        unsafe { _mm256_loadu_si256(four.as_ptr().cast()) }
    });
    // Rows n and n + 4 side by side; each four words then are transposed by themselves.
    let joined = |n: usize| _mm512_inserti64x4::<1>(_mm512_castsi256_si512(tails[n]), tails[n + 4]);
    let low = |n: usize| _mm512_shuffle_i64x2::<0b01_00_01_00>(rows[n], rows[n + 4]);
    let high = |n: usize| _mm512_shuffle_i64x2::<0b11_10_11_10>(rows[n], rows[n + 4]);
    let quarters = [
        [low(0), low(1), low(2), low(3)],
        [high(0), high(1), high(2), high(3)],
        [joined(0), joined(1), joined(2), joined(3)],
    ]
    .map(|four| transposed(four));
    let mut words = [_mm512_setzero_si512(); 12];
    for (n, quarter) in quarters.into_iter().enumerate() {
        words[4 * n..4 * n + 4].copy_from_slice(&quarter);
    }
    words
}

/// Of four vectors, each four words of row n and four of row n + 4: word m of rows 0..8, for four m.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
fn transposed([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    // (a0 b0 a2 b2 | a4' ..), (a1 b1 a3 b3 | ..)
    let (even_ab, odd_ab) = (_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    let (even_cd, odd_cd) = (_mm512_unpacklo_epi64(c, d), _mm512_unpackhi_epi64(c, d));
    let first = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    let second = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    [
        _mm512_permutex2var_epi64(even_ab, first, even_cd),
        _mm512_permutex2var_epi64(odd_ab, first, odd_cd),
        _mm512_permutex2var_epi64(even_ab, second, even_cd),
        _mm512_permutex2var_epi64(odd_ab, second, odd_cd),
    ]
}
