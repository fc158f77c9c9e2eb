//! AES-128 of one block: a pseudo-random function of 16 bytes.
//!
//! Where the processor has the instructions it is ten of them, without a table and without a branch.
//! Elsewhere it is AWS-LC's. Both give the same bytes, so processes with different ones may share a
//! table.

use crate::aws_lc::Aes128;

/// A key, ready to be used.
pub(super) enum Cipher {
    #[cfg(target_arch = "x86_64")]
    Rounds(x86::Rounds),
    Library(Aes128),
}

impl Cipher {
    pub(super) fn new(key: u128) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(rounds) = x86::Rounds::new(key) {
            return Self::Rounds(rounds);
        }
        Self::Library(Aes128::new(&key.to_le_bytes()))
    }

    /// The block as it is encrypted, both in memory order.
    #[inline]
    pub(super) fn encrypt(&self, block: u128) -> u128 {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Rounds(rounds) => rounds.encrypt(block),
            Self::Library(key) => u128::from_le_bytes(key.encrypt(&block.to_le_bytes())),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![allow(unsafe_code)]

    use core::arch::x86_64::{
        __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_set1_epi32,
        _mm_shuffle_epi8, _mm_slli_si128, _mm_unpackhi_epi64, _mm_xor_si128,
    };

    use crate::processor;

    /// The round keys. There are none where the processor lacks the instructions.
    pub(in super::super) struct Rounds([__m128i; 11]);

    impl Rounds {
        pub(super) fn new(key: u128) -> Option<Self> {
            let is_there = is_x86_feature_detected!("aes") && is_x86_feature_detected!("ssse3");
            // SAFETY: the processor has the instructions.
            (is_there && !processor::is_portable()).then(|| unsafe { expand(key) })
        }

        #[inline]
        pub(super) fn encrypt(&self, block: u128) -> u128 {
            // SAFETY: there are round keys, so the processor has the instructions.
            unsafe { encrypt(self, block) }
        }
    }

    #[target_feature(enable = "aes")]
    fn encrypt(Rounds([first, middle @ .., last]): &Rounds, block: u128) -> u128 {
        let block = middle
            .iter()
            .fold(_mm_xor_si128(vector(block), *first), |block, round| _mm_aesenc_si128(block, *round));
        let block = _mm_aesenclast_si128(block, *last);
        let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(block, block));
        u128::from(high as u64) << 64 | u128::from(_mm_cvtsi128_si64(block) as u64)
    }

    /// FIPS 197, 5.2; `aead/x86/schedule.rs` says how these instructions do it.
    #[target_feature(enable = "aes,ssse3")]
    fn expand(key: u128) -> Rounds {
        const CONSTANTS: [i32; 10] = [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36];
        const ROTATED: i32 = 0x0c0f_0e0d;
        let mut rounds = [vector(key); 11];
        for (at, constant) in CONSTANTS.into_iter().enumerate() {
            let before = rounds[at];
            let word = _mm_shuffle_epi8(before, _mm_set1_epi32(ROTATED));
            let word = _mm_aesenclast_si128(word, _mm_set1_epi32(constant));
            let sum = _mm_xor_si128(before, _mm_slli_si128::<4>(before));
            let sum = _mm_xor_si128(sum, _mm_slli_si128::<8>(sum));
            rounds[at + 1] = _mm_xor_si128(sum, word);
        }
        Rounds(rounds)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn vector(block: u128) -> __m128i {
        _mm_set_epi64x((block >> 64) as i64, block as i64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// FIPS 197, appendix B.
    #[test]
    fn encrypts_as_published() {
        let key = u128::from_be_bytes(0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_le_bytes());
        let block = u128::from_be_bytes(0x3243_f6a8_885a_308d_3131_98a2_e037_0734_u128.to_le_bytes());
        let expected = u128::from_be_bytes(0x3925_841d_02dc_09fb_dc11_8597_196a_0b32_u128.to_le_bytes());
        assert_eq!(Cipher::new(key).encrypt(block), expected);
    }

    proptest! {
        #[test]
        fn both_ways_give_the_same(key: u128, block: u128) {
            let library = Cipher::Library(Aes128::new(&key.to_le_bytes()));
            prop_assert_eq!(Cipher::new(key).encrypt(block), library.encrypt(block));
        }
    }
}
