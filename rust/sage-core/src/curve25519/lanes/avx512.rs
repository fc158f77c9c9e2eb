//! Eight lanes in a vector of 512 bits, with nothing but AVX-512 F.
//!
//! # Entries
//!
//! Entries of tables are read whole, a row of twelve words each, and transposed in registers: loads and shuffles
//! take less than gathering, and as long on every processor.

#![allow(unsafe_code, reason = "entered only behind `Avx512`; each block has its proof")]

use core::arch::x86_64::*;

use super::super::comb::Entry;
use super::super::ifma::Ifma;
use super::super::windows::Row;
use super::vectors::{ENTRY_WORD_COUNT, Vectors, alike_on_every_unit};
use super::{LANE_COUNT, Work};

/// Proof that this processor, and its operating system, run AVX-512 F.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    /// Ask the processor.
    #[must_use]
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }
}

impl From<Ifma> for Avx512 {
    /// IFMA extends AVX-512 F.
    #[inline(always)]
    fn from(_: Ifma) -> Self {
        Self(())
    }
}

// SAFETY of all blocks below: an `Avx512` exists only where AVX-512 F does.
impl Vectors for Avx512 {
    type Vector = __m512i;

    alike_on_every_unit!("avx512f");

    #[inline(always)]
    fn all(self, word: u64) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_set1_epi64(word.cast_signed()) }
    }

    #[inline(always)]
    fn of_bytes(self, bytes: [u8; LANE_COUNT]) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_cvtepu8_epi64(_mm_cvtsi64_si128(i64::from_le_bytes(bytes))) }
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_add_epi64(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_sub_epi64(a, b) }
    }

    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_and_si512(a, b) }
    }

    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_or_si512(a, b) }
    }

    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_xor_si512(a, b) }
    }

    #[inline(always)]
    fn left(self, a: __m512i, count: i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_sll_epi64(a, _mm_cvtsi32_si128(count)) }
    }

    #[inline(always)]
    fn right(self, a: __m512i, count: i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_srl_epi64(a, _mm_cvtsi32_si128(count)) }
    }

    #[inline(always)]
    fn mul_32(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_mul_epu32(a, b) }
    }

    #[inline(always)]
    fn add_doubles(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_castpd_si512(_mm512_add_pd(_mm512_castsi512_pd(a), _mm512_castsi512_pd(b))) }
    }

    #[inline(always)]
    fn sub_doubles(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_castpd_si512(_mm512_sub_pd(_mm512_castsi512_pd(a), _mm512_castsi512_pd(b))) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe {
            let (a, b) = (_mm512_castsi512_pd(a), _mm512_castsi512_pd(b));
            _mm512_castpd_si512(_mm512_fmadd_pd(a, b, _mm512_castsi512_pd(c)))
        }
    }

    #[inline(always)]
    fn chosen(self, wanted: u8, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_mask_mov_epi64(b, wanted, a) }
    }

    #[inline(always)]
    fn looked_up(self, row: &Row, places: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_permutexvar_epi64(places, self.of_lanes(row.0)) }
    }

    #[inline(always)]
    fn transposed(self, entries: &[&Entry; LANE_COUNT]) -> [__m512i; ENTRY_WORD_COUNT] {
        // SAFETY: see above.
        unsafe { transposed(entries) }
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn transposed(entries: &[&Entry; LANE_COUNT]) -> [__m512i; ENTRY_WORD_COUNT] {
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
    let [a, b, c] = [
        [low(0), low(1), low(2), low(3)],
        [high(0), high(1), high(2), high(3)],
        [joined(0), joined(1), joined(2), joined(3)],
    ]
    .map(|four| quarter(four));
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3]]
}

/// Of four vectors, each four words of row n and four of row n + 4: word m of rows 0..8, for four m.
#[target_feature(enable = "avx512f")]
#[inline]
fn quarter([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
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
