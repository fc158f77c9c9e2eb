//! Several elements of the field of 2^255 - 19 side by side, one to a 64-bit lane.
//!
//! # Representation
//!
//! Five vectors; lane `n` of vector `k` is limb `k` of element `n`, of weight 2^(51 k). Two types:
//!
//! * *tight* ([`Tight2`], [`Tight4`], [`Tight8`]): every limb below 2^52. The multiply-add
//!   instruction reads the low 52 bits of its factors, so exactly these may be multiplied.
//! * *wide* ([`Wide2`] and so on): any limbs that fit 64 bits. Products leave so, uncarried; sums and
//!   differences are taken so, and one carry serves a product and the addition behind it.
//!
//! # Why radix 2^51
//!
//! Radix 2^52 would suit the instruction, which splits a product at bit 52, but leaves no room: a
//! carried limb may exceed 2^52 by a little, and a sum always does. At radix 2^51 the high half of
//! a product has weight 2^52 = 2 * 2^51, one doubling for each of nine columns, and a carried limb
//! has a spare bit.
//!
//! # Bounds
//!
//! *Product.* Let u = 2^52. Column k, for k = 0..=9, gathers n(k) low halves and n(k - 1) high
//! halves, with n = 1 2 3 4 5 4 3 2 1 0, each below u; its value is below (n(k) + 2 n(k - 1)) u =
//! 1 4 7 10 13 14 11 8 5 2 times u. Columns 5..=9 come back times 19, as 2^255 = 19. So limbs 0..=4
//! stay below 267 213 159 105 51 times u; all are below 267 u < 2^60.07.
//!
//! *Bias.* A product from which another is to be subtracted starts not from zero but from [`BIAS`],
//! 2^10 times the prime, limb by limb, whose limbs are at least 2^61 - 2^15: more than any product.
//! So `(bias + a) - b` of two products stays above zero, and below 2^61 + 2^60.07; `(bias + a) + b`
//! is below 2^61 + 2^61.07 < 2^62.04.
//!
//! *Carry.* Each limb keeps 51 bits and receives its neighbour's excess, below 2^13; limb 0 receives
//! 19 times that, below 2^17.3. Limbs end below 2^51 + 2^18 < 2^52: tight. One pass, no chain.
//!
//! # Timing
//!
//! Straight-line vector arithmetic: no branch, no address and no mask register depends on a value.

use core::arch::x86_64::*;
use core::array::from_fn;

/// 2^10 p in five limbs: see "Bias" above.
const BIAS: [u64; 5] = [
    ((1 << 51) - 19) << 10,
    ((1 << 51) - 1) << 10,
    ((1 << 51) - 1) << 10,
    ((1 << 51) - 1) << 10,
    ((1 << 51) - 1) << 10,
];

const LOW_51: i64 = (1 << 51) - 1;

/// Lanes 0, 2, 4, 6, as a constant lane mask.
pub const EVEN: __mmask8 = 0b0101_0101;
/// All lanes, and none.
pub const ALL: __mmask8 = 0xff;
pub const NONE: __mmask8 = 0;
/// Lanes 1, 3, 5, 7.
const ODD: __mmask8 = 0b1010_1010;

/// The two 64-bit lanes of each 128-bit half, exchanged.
const SWAP_PAIR: i32 = 0b01_00_11_10;

macro_rules! lanes {
    (
        $tight:ident, $wide:ident, $vector:ty, $count:literal $lane_count:literal, set1 $set1:ident, zero $zero:ident,
        add $add:ident, and $and:ident, right $right:ident, left $left:ident,
        low $low:ident, high $high:ident,
        times $times:ident, pick $pick:ident, swap $swap:ident, pick_sub $pick_sub:ident
    ) => {
        #[doc = concat!($count, " elements with limbs below 2^52.")]
        #[derive(Clone, Copy)]
        pub struct $tight(pub [$vector; 5]);

        #[doc = concat!($count, " elements with limbs below 2^64.")]
        #[derive(Clone, Copy)]
        pub struct $wide(pub [$vector; 5]);

        #[allow(dead_code, reason = "not every width uses every operation")]
        impl $tight {
            /// The product, lane by lane, with the bias in the lanes of the constant `minuends`.
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
            #[inline]
            pub fn mul(&self, other: &Self, minuends: __mmask8) -> $wide {
                let mut columns = $wide::half_bias(minuends);
                for i in 0..5 {
                    for j in 0..5 {
                        columns[i + j + 1] = $high(columns[i + j + 1], self.0[i], other.0[j]);
                    }
                }
                columns = columns.map(|column| $add(column, column));
                for i in 0..5 {
                    for j in 0..5 {
                        columns[i + j] = $low(columns[i + j], self.0[i], other.0[j]);
                    }
                }
                $wide::fold(&columns)
            }

            /// The square, likewise: each cross product once, then doubled.
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
            #[inline]
            pub fn square(&self, minuends: __mmask8) -> $wide {
                // Column = ones + 2 twos + 4 fours.
                let mut ones = [$zero(); 10];
                let mut twos = $wide::half_bias(minuends);
                let mut fours = [$zero(); 10];
                for i in 0..5 {
                    for j in i + 1..5 {
                        fours[i + j + 1] = $high(fours[i + j + 1], self.0[i], self.0[j]);
                        twos[i + j] = $low(twos[i + j], self.0[i], self.0[j]);
                    }
                    ones[2 * i] = $low(ones[2 * i], self.0[i], self.0[i]);
                    twos[2 * i + 1] = $high(twos[2 * i + 1], self.0[i], self.0[i]);
                }
                for k in 0..10 {
                    twos[k] = $add(twos[k], $add(fours[k], fours[k]));
                    ones[k] = $add(ones[k], $add(twos[k], twos[k]));
                }
                $wide::fold(&ones)
            }
        }

        #[allow(dead_code, reason = "not every width uses every operation")]
        impl $tight {
            /// One element to a lane, from limbs below 2^52.
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
            #[inline]
            pub fn from_lanes(lanes: [[u64; 5]; $lane_count]) -> Self {
                Self(core::array::from_fn(|k| {
                    // SAFETY: both are plain integers of the same total size.
                    unsafe { core::mem::transmute(lanes.map(|limbs| limbs[k])) }
                }))
            }

            /// The limbs of the element in each lane.
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
            pub fn to_lanes(self) -> [[u64; 5]; $lane_count] {
                let mut lanes = [[0; 5]; $lane_count];
                for (k, limb) in self.0.into_iter().enumerate() {
                    // SAFETY: both are plain integers of the same total size.
                    let words: [u64; $lane_count] = unsafe { core::mem::transmute(limb) };
                    for (lane, word) in lanes.iter_mut().zip(words) {
                        lane[k] = word;
                    }
                }
                lanes
            }
        }

        #[allow(dead_code, reason = "not every width uses every operation")]
        impl $wide {
            /// Columns that, doubled, are the bias in the lanes of `minuends` and 0 in the others.
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
            #[inline]
            fn half_bias(minuends: __mmask8) -> [$vector; 10] {
                let mut columns = [$zero(); 10];
                for k in 0..5 {
                    columns[k] = $pick(minuends, $set1((BIAS[k] / 2).cast_signed()));
                }
                columns
            }

            /// Of each pair of lanes (a, b), a with the bias in it: (a + b, a - b).
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
            #[inline]
            pub fn sums_and_differences(&self) -> Self {
                Self(self.0.map(|limb| {
                    let swapped = $swap::<SWAP_PAIR>(limb);
                    $pick_sub($add(limb, swapped), ODD, swapped, limb)
                }))
            }

            /// Bring columns 5..=9 down, times 19 = 16 + 2 + 1.
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
            #[inline]
            fn fold(columns: &[$vector; 10]) -> Self {
                let mut limbs = [$zero(); 5];
                for k in 0..5 {
                    limbs[k] = $add(columns[k], $times(columns[k + 5], $set1(19)));
                }
                Self(limbs)
            }

            /// Limbs back below 2^52, by one parallel pass.
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
            #[inline]
            pub fn carry(&self) -> $tight {
                let kept = self.0.map(|limb| $and(limb, $set1(LOW_51)));
                let over = self.0.map(|limb| $right::<51>(limb));
                $tight([
                    $low(kept[0], over[4], $set1(19)),
                    $add(kept[1], over[0]),
                    $add(kept[2], over[1]),
                    $add(kept[3], over[2]),
                    $add(kept[4], over[3]),
                ])
            }
        }
    };
}

lanes!(
    Tight2, Wide2, __m128i, "Two" 2, set1 _mm_set1_epi64x, zero _mm_setzero_si128,
    add _mm_add_epi64, and _mm_and_si128, right _mm_srli_epi64, left _mm_slli_epi64,
    low _mm_madd52lo_epu64, high _mm_madd52hi_epu64,
    times _mm_mullo_epi64, pick _mm_maskz_mov_epi64, swap _mm_shuffle_epi32, pick_sub _mm_mask_sub_epi64
);
lanes!(
    Tight4, Wide4, __m256i, "Four" 4, set1 _mm256_set1_epi64x, zero _mm256_setzero_si256,
    add _mm256_add_epi64, and _mm256_and_si256, right _mm256_srli_epi64, left _mm256_slli_epi64,
    low _mm256_madd52lo_epu64, high _mm256_madd52hi_epu64,
    times _mm256_mullo_epi64, pick _mm256_maskz_mov_epi64, swap _mm256_shuffle_epi32, pick_sub _mm256_mask_sub_epi64
);
lanes!(
    Tight8, Wide8, __m512i, "Eight" 8, set1 _mm512_set1_epi64, zero _mm512_setzero_si512,
    add _mm512_add_epi64, and _mm512_and_si512, right _mm512_srli_epi64, left _mm512_slli_epi64,
    low _mm512_madd52lo_epu64, high _mm512_madd52hi_epu64,
    times _mm512_mullo_epi64, pick _mm512_maskz_mov_epi64, swap _mm512_shuffle_epi32, pick_sub _mm512_mask_sub_epi64
);

impl Wide8 {
    /// Plus `factor` times an element; the high halves have weight 2^52, and the last one comes back times 2 * 19.
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
    #[inline]
    pub fn plus_multiple(&self, a: &Tight8, factor: u64) -> Self {
        let factor = _mm512_set1_epi64(factor.cast_signed());
        let high: [__m512i; 5] = from_fn(|k| _mm512_madd52hi_epu64(_mm512_setzero_si512(), a.0[k], factor));
        let low: [__m512i; 5] = from_fn(|k| _mm512_madd52lo_epu64(self.0[k], a.0[k], factor));
        let twice = |high| _mm512_add_epi64(high, high);
        Self([
            _mm512_madd52lo_epu64(low[0], high[4], _mm512_set1_epi64(2 * 19)),
            _mm512_add_epi64(low[1], twice(high[0])),
            _mm512_add_epi64(low[2], twice(high[1])),
            _mm512_add_epi64(low[3], twice(high[2])),
            _mm512_add_epi64(low[4], twice(high[3])),
        ])
    }

    /// One, and the bias, in every lane.
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
    #[inline]
    pub fn one_with_bias() -> Self {
        Self(from_fn(|k| _mm512_set1_epi64((BIAS[k] + u64::from(k == 0)).cast_signed())))
    }
}

impl Wide4 {
    /// Zero, as four times the bias in every lane.
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
    #[inline]
    pub fn four_biases() -> Self {
        Self(BIAS.map(|limb| _mm256_set1_epi64x((4 * limb).cast_signed())))
    }
}

impl Tight8 {
    /// The elements of lanes 0..=3 and of lanes 4..=7.
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
    #[inline]
    pub fn halves(&self) -> (Tight4, Tight4) {
        (
            Tight4(self.0.map(|limb| _mm512_castsi512_si256(limb))),
            Tight4(self.0.map(|limb| _mm512_extracti64x4_epi64::<1>(limb))),
        )
    }
}
