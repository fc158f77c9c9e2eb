//! Eight lanes in two vectors of 256 bits, with AVX2 and FMA.
//!
//! Halves never meet: whatever is done to a vector is done to both, lanes 0..=3 and 4..=7.

#![allow(unsafe_code, reason = "entered only behind `Avx2`; each block has its proof")]

use core::arch::x86_64::*;
use core::array::from_fn;

use super::super::comb::Entry;
use super::super::windows::Row;
use super::vectors::{ENTRY_WORD_COUNT, Vectors, alike_on_every_unit};
use super::{LANE_COUNT, Work};

/// Lanes of one half.
const HALF_COUNT: usize = LANE_COUNT / 2;

/// Both halves.
type Halves = [__m256i; 2];

/// One expression for each half, since a closure would be compiled without the unit.
macro_rules! each_half {
    ($n:ident => $half:expr) => {
        // SAFETY: an `Avx2` exists only where AVX2 and FMA do.
        unsafe {
            [
                {
                    let $n = 0;
                    $half
                },
                {
                    let $n = 1;
                    $half
                },
            ]
        }
    };
}

/// Proof that this processor, and its operating system, run AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// Ask the processor; `None` where either is missing.
    #[must_use]
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

// SAFETY of all blocks below: an `Avx2` exists only where AVX2 and FMA do.
impl Vectors for Avx2 {
    type Vector = Halves;

    alike_on_every_unit!("avx2,fma");

    #[inline(always)]
    fn all(self, word: u64) -> Halves {
        // SAFETY: see above.
        [unsafe { _mm256_set1_epi64x(word.cast_signed()) }; 2]
    }

    #[inline(always)]
    fn of_bytes(self, bytes: [u8; LANE_COUNT]) -> Halves {
        let word = u64::from_le_bytes(bytes);
        each_half!(n => _mm256_cvtepu8_epi64(_mm_cvtsi64_si128((word >> (32 * n)).cast_signed())))
    }

    #[inline(always)]
    fn add(self, a: Halves, b: Halves) -> Halves {
        each_half!(n => _mm256_add_epi64(a[n], b[n]))
    }

    #[inline(always)]
    fn sub(self, a: Halves, b: Halves) -> Halves {
        each_half!(n => _mm256_sub_epi64(a[n], b[n]))
    }

    #[inline(always)]
    fn and(self, a: Halves, b: Halves) -> Halves {
        each_half!(n => _mm256_and_si256(a[n], b[n]))
    }

    #[inline(always)]
    fn or(self, a: Halves, b: Halves) -> Halves {
        each_half!(n => _mm256_or_si256(a[n], b[n]))
    }

    #[inline(always)]
    fn xor(self, a: Halves, b: Halves) -> Halves {
        each_half!(n => _mm256_xor_si256(a[n], b[n]))
    }

    #[inline(always)]
    fn left(self, a: Halves, count: i32) -> Halves {
        each_half!(n => _mm256_sll_epi64(a[n], _mm_cvtsi32_si128(count)))
    }

    #[inline(always)]
    fn right(self, a: Halves, count: i32) -> Halves {
        each_half!(n => _mm256_srl_epi64(a[n], _mm_cvtsi32_si128(count)))
    }

    #[inline(always)]
    fn mul_32(self, a: Halves, b: Halves) -> Halves {
        each_half!(n => _mm256_mul_epu32(a[n], b[n]))
    }

    #[inline(always)]
    fn add_doubles(self, a: Halves, b: Halves) -> Halves {
        each_half!(n => _mm256_castpd_si256(_mm256_add_pd(_mm256_castsi256_pd(a[n]), _mm256_castsi256_pd(b[n]))))
    }

    #[inline(always)]
    fn sub_doubles(self, a: Halves, b: Halves) -> Halves {
        each_half!(n => _mm256_castpd_si256(_mm256_sub_pd(_mm256_castsi256_pd(a[n]), _mm256_castsi256_pd(b[n]))))
    }

    #[inline(always)]
    fn multiply_add(self, a: Halves, b: Halves, c: Halves) -> Halves {
        each_half!(n => {
            let (a, b) = (_mm256_castsi256_pd(a[n]), _mm256_castsi256_pd(b[n]));
            _mm256_castpd_si256(_mm256_fmadd_pd(a, b, _mm256_castsi256_pd(c[n])))
        })
    }

    #[inline(always)]
    fn chosen(self, wanted: u8, a: Halves, b: Halves) -> Halves {
        each_half!(n => {
            let bit = 1 << (HALF_COUNT * n);
            let bits = _mm256_setr_epi64x(bit, bit << 1, bit << 2, bit << 3);
            let mask = _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(wanted.into()), bits), bits);
            _mm256_blendv_epi8(b[n], a[n], mask)
        })
    }

    #[inline(always)]
    fn looked_up(self, row: &Row, places: Halves) -> Halves {
        // SAFETY: see above.
        unsafe { looked_up(self.of_lanes(row.0), places) }
    }

    #[inline(always)]
    fn transposed(self, entries: &[&Entry; LANE_COUNT]) -> [Halves; ENTRY_WORD_COUNT] {
        let halves = entries.as_chunks::<HALF_COUNT>().0;
        // SAFETY: see above.
        let [low, high] = [0, 1].map(|n| unsafe { transposed(&halves[n]) });
        from_fn(|n| [low[n], high[n]])
    }
}

/// In each lane the word at its place, 0 to 7, as the two halves of 32 bits that one permutation looks up for
/// all lanes.
///
/// Of pairs of vectors, (a, b) to the words a0 b0 a1 b1 ..: places are in the order 0 4 1 5 2 6 3 7, so a place is turned left
/// by a bit, of three; and lanes likewise, in and out.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn looked_up(words: Halves, places: Halves) -> Halves {
    let turned =
        places.map(|place| _mm256_or_si256(_mm256_slli_epi64::<1>(place), _mm256_srli_epi64::<2>(place)));
    // Of each place the permutation reads three bits.
    let index = low_words(turned);
    let low = _mm256_permutevar8x32_epi32(low_words(words), index);
    let high = _mm256_permutevar8x32_epi32(high_words(words), index);
    [low_words([low, high]), high_words([low, high])]
}

/// The low halves of the words of both.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn low_words([a, b]: Halves) -> __m256i {
    _mm256_blend_epi32::<0b1010_1010>(a, _mm256_slli_epi64::<32>(b))
}

/// The high halves of the words of both.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn high_words([a, b]: Halves) -> __m256i {
    _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(a), b)
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn transposed(entries: &[&Entry; HALF_COUNT]) -> [__m256i; ENTRY_WORD_COUNT] {
    let [a, b, c] = [0, 4, 8].map(|at| {
        quarter(entries.map(|entry| {
            let four: &[u64; 4] = entry.0.as_flattened()[at..].first_chunk().expect("4 of 12 words");
            // SAFETY: 32 readable bytes; the load asks for no alignment.
            unsafe { _mm256_loadu_si256(four.as_ptr().cast()) }
        }))
    });
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3]]
}

/// Four rows of four words, transposed.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn quarter([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    // (a0 b0 a2 b2), (a1 b1 a3 b3)
    let (even_ab, odd_ab) = (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    let (even_cd, odd_cd) = (_mm256_unpacklo_epi64(c, d), _mm256_unpackhi_epi64(c, d));
    [
        _mm256_permute2x128_si256::<0x20>(even_ab, even_cd),
        _mm256_permute2x128_si256::<0x20>(odd_ab, odd_cd),
        _mm256_permute2x128_si256::<0x31>(even_ab, even_cd),
        _mm256_permute2x128_si256::<0x31>(odd_ab, odd_cd),
    ]
}
