//! How a secret digit selects among the odd multiples of the base point ([`super::windows`]), for two sums side by side.
//!
//! # Selection and timing
//!
//! A lane selects by a permutation *inside registers* (`vpermq`, `vpermi2q`), whose time does not
//! depend on its indices. All 15 vectors of a window are read in full whatever the digit; addresses
//! depend on the window alone. A negative digit exchanges y + x and y - x, which is one bit of the index, and
//! negates 2 d x y under a vector mask.

use core::arch::x86_64::*;

use super::field::Tight8;
use super::windows::{Row, Window};

/// What a lane's digit says: which multiple, and whether to negate it.
struct Choice {
    index: __m512i,
    negative: __m512i,
}

impl Choice {
    /// From b in the low four bits of each lane; higher bits are ignored.
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
    #[inline]
    fn new(nibbles: __m512i) -> Self {
        // b >= 8: multiple 2 (b - 8) + 1; b < 8: minus multiple 2 (7 - b) + 1, and 7 - b = !b & 7.
        let flipped = _mm512_xor_si512(nibbles, _mm512_set1_epi64(8));
        let negative = _mm512_srai_epi64::<63>(_mm512_slli_epi64::<60>(flipped));
        let index = _mm512_and_si512(_mm512_xor_si512(nibbles, negative), _mm512_set1_epi64(7));
        Self { index, negative }
    }
}

/// 2 p + 1 in limbs: with it, `!x + 2 p + 1 = 2 p - x` limb by limb, from 1 to 2^52 - 2 for x < 2^51.
const TWICE_P_PLUS_1: [i64; 5] = [(1 << 52) - 37, (1 << 52) - 1, (1 << 52) - 1, (1 << 52) - 1, (1 << 52) - 1];

/// From a nibble in lanes 0..=3 and one in lanes 4..=7, the lanes (y + x, y - x, 2, 2 d x y) of each.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
pub fn select_two(window: &Window, nibbles: __m512i) -> Tight8 {
    const SIGNED: __mmask8 = 0b0011_0011;
    const LAST: __mmask8 = 0b1000_1000;
    let choice = Choice::new(nibbles);
    let odd_lanes = _mm512_setr_epi64(0, -1, 0, -1, 0, -1, 0, -1);
    // Into y + x followed by y - x. Odd lanes want y - x; a negative digit takes the other.
    let is_second = _mm512_xor_si512(choice.negative, odd_lanes);
    let signed_index = _mm512_or_si512(choice.index, _mm512_and_si512(is_second, _mm512_set1_epi64(8)));
    let negative = _mm512_maskz_mov_epi64(LAST, choice.negative);
    let two = _mm512_setr_epi64(0, 0, 2, 0, 0, 0, 2, 0);
    Tight8(core::array::from_fn(|k| {
        let [plus, minus] = [&window.y_plus_x[k], &window.y_minus_x[k]].map(|row| vector(row));
        let signed = _mm512_maskz_permutex2var_epi64(SIGNED, plus, signed_index, minus);
        let last = vector(&window.twice_dxy[k]);
        let entry = _mm512_mask_permutexvar_epi64(signed, LAST, choice.index, last);
        let twice_p = _mm512_and_si512(negative, _mm512_set1_epi64(TWICE_P_PLUS_1[k]));
        let more = if k == 0 { _mm512_or_si512(twice_p, two) } else { twice_p };
        _mm512_add_epi64(_mm512_xor_si512(entry, negative), more)
    }))
}

#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
fn vector(row: &Row) -> __m512i {
    // SAFETY: 64 readable bytes, aligned as the load asks.
    unsafe { _mm512_load_si512(row.0.as_ptr().cast()) }
}
