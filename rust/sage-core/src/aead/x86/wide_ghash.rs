//! GHASH with four blocks a register; the theory is in `ghash`.
//!
//! Lane by lane, blocks are multiplied by four falling powers; the lanes are added up once, before the
//! reduction. Registers that are not full are padded with zeros, which add nothing to the sum whatever their
//! power.

use super::bytes::{Joined, load, load_blocks};
use super::ghash::{FOLD, GROUP_LEN, Powers, Sum};
use core::arch::x86_64::*;

/// H^16, ..., H^1, four a register.
pub(super) type WidePowers = [__m512i; 4];

/// The hash over the associated data. Kept out of line: nearly always a register holds all of it, see
/// `wide::Before`.
#[inline(never)]
#[target_feature(enable = "pclmulqdq,avx,vpclmulqdq,avx512f,avx512bw")]
pub(super) fn hash_aad(powers: &Powers, aad: [&[u8]; 2]) -> __m128i {
    let mut aad = Joined::new(aad);
    let mut y = _mm_setzero_si128();
    while aad.len() > 0 {
        let used = aad.len().div_ceil(16).min(GROUP_LEN);
        let mut sum = WideSum::product(turn(aad.next_quad(), y), load_blocks(&powers[GROUP_LEN - used..]));
        if let Some(more) = used.checked_sub(4).filter(|more| *more > 0) {
            let none = _mm_setzero_si128();
            sum = sum
                .add(WideSum::product(turn(aad.next_quad(), none), load_blocks(&powers[GROUP_LEN - more..])));
        }
        y = sum.fold().reduce();
    }
    y
}

/// H^16, ..., H^1. Only records above one batch need the upper half, and it is ready before their first
/// rounds are.
#[inline]
#[target_feature(enable = "pclmulqdq,avx,vpclmulqdq,avx512f,avx512bw")]
pub(super) fn sixteen_powers(powers: &Powers) -> WidePowers {
    let [first, second] = lift(powers, load(&powers[0]));
    [first, second, load_blocks(powers), load_blocks(&powers[4..])]
}

/// All eight powers times one more.
#[inline]
#[target_feature(enable = "pclmulqdq,avx,vpclmulqdq,avx512f,avx512bw")]
pub(super) fn lift(powers: &Powers, power: __m128i) -> [__m512i; 2] {
    let power = _mm512_broadcast_i32x4(power);
    [load_blocks(powers), load_blocks(&powers[4..])].map(|quad| WideSum::product(quad, power).reduce())
}

#[inline]
#[target_feature(enable = "pclmulqdq,avx,vpclmulqdq,avx512f,avx512bw")]
pub(super) fn hash_sixteen(powers: WidePowers, y: __m128i, text: [__m512i; 4]) -> __m128i {
    let none = _mm_setzero_si128();
    let later = WideSum::product(turn(text[1], none), powers[1])
        .add(WideSum::product(turn(text[2], none), powers[2]))
        .add(WideSum::product(turn(text[3], none), powers[3]));
    WideSum::product(turn(text[0], y), powers[0]).add(later).fold().reduce()
}

/// Four blocks with reversed bytes; the hash so far is added to the first.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn turn(text: __m512i, y: __m128i) -> __m512i {
    let order = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
    let turned = _mm512_shuffle_epi8(text, _mm512_broadcast_i32x4(order));
    _mm512_xor_si512(turned, _mm512_zextsi128_si512(y))
}

/// Four sums of unreduced products, one a lane.
#[derive(Clone, Copy)]
pub(super) struct WideSum {
    low: __m512i,
    middle: __m512i,
    high: __m512i,
}

impl WideSum {
    #[inline]
    #[target_feature(enable = "vpclmulqdq,avx512f")]
    pub(super) fn product(a: __m512i, b: __m512i) -> Self {
        let cross = (_mm512_clmulepi64_epi128::<0x01>(a, b), _mm512_clmulepi64_epi128::<0x10>(a, b));
        Self {
            low: _mm512_clmulepi64_epi128::<0x00>(a, b),
            middle: _mm512_xor_si512(cross.0, cross.1),
            high: _mm512_clmulepi64_epi128::<0x11>(a, b),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn add(self, other: Self) -> Self {
        Self {
            low: _mm512_xor_si512(self.low, other.low),
            middle: _mm512_xor_si512(self.middle, other.middle),
            high: _mm512_xor_si512(self.high, other.high),
        }
    }

    /// As `Sum::reduce`, lane by lane.
    #[inline]
    #[target_feature(enable = "vpclmulqdq,avx512f,avx512bw")]
    fn reduce(self) -> __m512i {
        let fold = _mm512_set1_epi64(FOLD as i64);
        let low = _mm512_xor_si512(self.low, _mm512_bslli_epi128::<8>(self.middle));
        let high = _mm512_xor_si512(self.high, _mm512_bsrli_epi128::<8>(self.middle));
        let once = _mm512_clmulepi64_epi128::<0x00>(low, fold);
        let low = _mm512_xor_si512(_mm512_shuffle_epi32::<0x4e>(low), once);
        let twice = _mm512_clmulepi64_epi128::<0x00>(low, fold);
        _mm512_xor_si512(_mm512_xor_si512(high, _mm512_shuffle_epi32::<0x4e>(low)), twice)
    }

    /// The sum over the lanes.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn fold(self) -> Sum {
        Sum { low: fold(self.low), middle: fold(self.middle), high: fold(self.high) }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn fold(quad: __m512i) -> __m128i {
    let pair = _mm256_xor_si256(_mm512_castsi512_si256(quad), _mm512_extracti64x4_epi64::<1>(quad));
    _mm_xor_si128(_mm256_castsi256_si128(pair), _mm256_extracti128_si256::<1>(pair))
}
