//! AES-256 key expansion (FIPS 197, 5.2).
//!
//! A new round key is the running XOR of the words of the one two before it, XORed with one word of the one
//! before: rotated, substituted and given a round constant in even places, only substituted in odd ones. The
//! word is spread over all four columns; then ShiftRows moves nothing, and the last-round instruction is
//! exactly "substitute, then XOR a key", where the key is the round constant. That is faster than the
//! instruction made for the purpose, and as free of secret-dependent addresses and timing.

use super::bytes::{load_bytes, to_u128};
use core::arch::x86_64::*;

const ROTATED: i32 = 0x0c0f_0e0d;
const STRAIGHT: i32 = 0x0f0e_0d0c;

/// The fifteen round keys, in memory order.
#[inline]
#[target_feature(enable = "aes,avx")]
pub(super) fn expand(key: &[u8; 32], rounds: &mut [u128; 15]) {
    let (halves, _) = key.as_chunks::<16>();
    let (mut even, mut odd) = (load_bytes(&halves[0]), load_bytes(&halves[1]));
    rounds[0] = to_u128(even);
    rounds[1] = to_u128(odd);
    for step in 1..=6 {
        even = next_key(even, odd, ROTATED, 1 << (step - 1));
        odd = next_key(odd, even, STRAIGHT, 0);
        rounds[2 * step] = to_u128(even);
        rounds[2 * step + 1] = to_u128(odd);
    }
    rounds[14] = to_u128(next_key(even, odd, ROTATED, 1 << 6));
}

#[inline]
#[target_feature(enable = "aes,avx")]
fn next_key(before: __m128i, last: __m128i, spread: i32, constant: i32) -> __m128i {
    let word = _mm_shuffle_epi8(last, _mm_set1_epi32(spread));
    let word = _mm_aesenclast_si128(word, _mm_set1_epi32(constant));
    let sum = _mm_xor_si128(before, _mm_slli_si128::<4>(before));
    let sum = _mm_xor_si128(sum, _mm_slli_si128::<8>(sum));
    _mm_xor_si128(sum, word)
}
