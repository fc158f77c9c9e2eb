//! GHASH as POLYVAL, one block a register.
//!
//! GHASH (SP 800-38D, 6.4) numbers the bits of a block backwards. Read with its bytes reversed, a block is a
//! polynomial with bit i the coefficient of x^i, and GHASH becomes POLYVAL (RFC 8452, Appendix A) under the
//! key x * H, with the product a * b * x^-128 modulo x^128 + x^127 + x^126 + x^121 + 1. The factor x^-128
//! makes reduction short: the low half of a product is cleared 64 bits at a time by adding a multiple of the
//! modulus, which costs one carry-less multiplication by x^63 + x^62 + x^57 each time.
//!
//! The chain y = (y + block) * H unrolls to a sum of blocks times falling powers of H. Products are summed
//! unreduced and a group of up to eight blocks is reduced once. Carry-less multiplication takes the same time
//! for all operands.

use super::bytes::{load, to_u128};
use core::arch::x86_64::*;

/// The most blocks that one reduction serves.
pub(super) const GROUP_LEN: usize = 8;

/// H^8, H^7, ..., H^1: a group of n blocks uses the last n in order.
pub(super) type Powers = [u128; GROUP_LEN];

/// x^63 + x^62 + x^57.
pub(super) const FOLD: u64 = 0xc2 << 56;

/// The powers of the hash key, which is the encryption of the zero block.
#[inline]
#[target_feature(enable = "pclmulqdq,avx")]
pub(super) fn expand(hash_key: __m128i, powers: &mut Powers) {
    let h = to_u128(reverse(hash_key));
    let carry = (h >> 127).wrapping_neg();
    let h = h << 1 ^ carry & (u128::from(FOLD) << 64 | 1);
    let h1 = load(&h);
    let h2 = Sum::product(h1, h1).reduce();
    let h3 = Sum::product(h2, h1).reduce();
    let h4 = Sum::product(h2, h2).reduce();
    let high = [h4, h3, h2, h1].map(|low| to_u128(Sum::product(h4, low).reduce()));
    *powers = [high[0], high[1], high[2], high[3], to_u128(h4), to_u128(h3), to_u128(h2), h];
}

/// The bytes of a block in reverse order.
#[inline]
#[target_feature(enable = "avx")]
pub(super) fn reverse(block: __m128i) -> __m128i {
    _mm_shuffle_epi8(block, _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f))
}

/// The block of both lengths in bits, already reversed.
#[inline(always)]
pub(super) fn lengths(aad_len: usize, text_len: usize) -> u128 {
    (aad_len as u128) << 67 | (text_len as u128) << 3
}

/// A sum of unreduced products: 128 bits at x^0, x^64 and x^128.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    pub(super) low: __m128i,
    pub(super) middle: __m128i,
    pub(super) high: __m128i,
}

impl Sum {
    #[inline]
    #[target_feature(enable = "pclmulqdq,avx")]
    pub(super) fn zero() -> Self {
        let zero = _mm_setzero_si128();
        Self { low: zero, middle: zero, high: zero }
    }

    #[inline]
    #[target_feature(enable = "pclmulqdq,avx")]
    pub(super) fn product(a: __m128i, b: __m128i) -> Self {
        let cross = (_mm_clmulepi64_si128::<0x01>(a, b), _mm_clmulepi64_si128::<0x10>(a, b));
        Self {
            low: _mm_clmulepi64_si128::<0x00>(a, b),
            middle: _mm_xor_si128(cross.0, cross.1),
            high: _mm_clmulepi64_si128::<0x11>(a, b),
        }
    }

    #[inline]
    #[target_feature(enable = "pclmulqdq,avx")]
    pub(super) fn add(self, other: Self) -> Self {
        Self {
            low: _mm_xor_si128(self.low, other.low),
            middle: _mm_xor_si128(self.middle, other.middle),
            high: _mm_xor_si128(self.high, other.high),
        }
    }

    /// The sum times x^-128, below x^128.
    #[inline]
    #[target_feature(enable = "pclmulqdq,avx")]
    pub(super) fn reduce(self) -> __m128i {
        let fold = _mm_set_epi64x(0, FOLD as i64);
        let low = _mm_xor_si128(self.low, _mm_slli_si128::<8>(self.middle));
        let high = _mm_xor_si128(self.high, _mm_srli_si128::<8>(self.middle));
        let low = _mm_xor_si128(_mm_shuffle_epi32::<0x4e>(low), _mm_clmulepi64_si128::<0x00>(low, fold));
        let once = _mm_xor_si128(high, _mm_shuffle_epi32::<0x4e>(low));
        _mm_xor_si128(once, _mm_clmulepi64_si128::<0x00>(low, fold))
    }
}
