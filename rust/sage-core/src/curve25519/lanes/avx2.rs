//! Eight lanes in two vectors of 256 bits, with AVX2 and FMA.
//!
//! Halves never meet: whatever is done to a vector is done to both, lanes 0..=3 and 4..=7.

#![allow(unsafe_code, reason = "entered only behind `Avx2`; each block has its proof")]

use core::arch::x86_64::*;
use core::array::from_fn;
use core::mem::transmute;

use super::super::comb::Entry;
use super::vectors::{ENTRY_WORD_COUNT, Vectors};
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

    #[inline(always)]
    fn apart<W: Work>(self, work: W) -> W::Output {
        #[target_feature(enable = "avx2,fma")]
        fn run<W: Work>(work: W) -> W::Output {
            work.run()
        }
        // Of no unit, since `never` is not heeded on a function with features.
        #[inline(never)]
        fn enter<W: Work>(work: W) -> W::Output {
            // SAFETY: see above.
            unsafe { run(work) }
        }
        enter(work)
    }

    #[inline(always)]
    fn of_lanes(self, words: [u64; LANE_COUNT]) -> Halves {
        // SAFETY: plain integers on both sides, of the same size.
        unsafe { transmute(words) }
    }

    #[inline(always)]
    fn to_lanes(self, vector: Halves) -> [u64; LANE_COUNT] {
        // SAFETY: plain integers on both sides, of the same size.
        unsafe { transmute(vector) }
    }

    #[inline(always)]
    fn all(self, word: u64) -> Halves {
        // SAFETY: see above.
        [unsafe { _mm256_set1_epi64x(word.cast_signed()) }; 2]
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
    fn transposed(self, entries: &[&Entry; LANE_COUNT]) -> [Halves; ENTRY_WORD_COUNT] {
        let halves = entries.as_chunks::<HALF_COUNT>().0;
        // SAFETY: see above.
        let [low, high] = [0, 1].map(|n| unsafe { transposed(&halves[n]) });
        from_fn(|n| [low[n], high[n]])
    }
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
