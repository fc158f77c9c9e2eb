//! AES-256-GCM (NIST SP 800-38D) for short records.
//!
//! General libraries are made for long messages: for 64 bytes most of their time is set-up. Here the expanded
//! key and the powers of the hash key are kept, the two parts of the associated data are read where they lie,
//! and all blocks of a short record go through the rounds together. There are two kernels: `narrow` needs
//! AES-NI, PCLMULQDQ and AVX; `wide` holds four blocks a register and needs VAES, VPCLMULQDQ and AVX-512. The
//! choice is made once, per key.
//!
//! Time depends on lengths and on the verdict, never on keys or data: there is no table and no branch on a
//! secret, and the tag is compared as one vector. `open` writes plaintext only after the tag was found right.

#![allow(unsafe_code)] // SIMD lanes: intrinsics behind a safe API, each kernel tested against the library.

mod bytes;
mod ghash;
mod narrow;
mod schedule;
mod wide;
mod wide_ghash;

use bytes::{Uninit, load};
use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The longest text that one nonce may carry: its block numbers have 32 bits, and two are not for text.
const MAX_TEXT_LEN: u64 = (1 << 36) - 32;

/// Expanded AES-256 schedule and GHASH key powers. Erased on drop.
///
/// 384 bytes. The powers stand first, so that groups of four lie within a cache line.
#[repr(C, align(64))]
pub struct ShortGcm {
    powers: ghash::Powers,
    rounds: [u128; 15],
    /// How many round keys stand between the first and the last: 13. See `middle_rounds`.
    middle_count: u8,
    lanes: Lanes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lanes {
    Narrow,
    Wide,
}

/// The name of the lanes that a key made now would take.
pub(super) fn kernel() -> Option<&'static str> {
    match Lanes::best() {
        Lanes::Wide => Some("aes-gcm-short-wide"),
        narrow if narrow.is_supported() => Some("aes-gcm-short-narrow"),
        Lanes::Narrow => None,
    }
}

/// What is authenticated beside the text.
struct Record<'a> {
    nonce: &'a [u8; 12],
    aad: [&'a [u8]; 2],
}

impl ShortGcm {
    /// Expands a key, about 70 ns; None when the processor lacks the instructions.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Option<Box<Self>> {
        Self::with_lanes(key, Lanes::best())
    }

    fn with_lanes(key: &[u8; 32], lanes: Lanes) -> Option<Box<Self>> {
        if !lanes.is_supported() {
            return None;
        }
        // Boxed before it holds anything, so that no move leaves a copy behind.
        let mut sealer =
            Box::new(Self { powers: [0; ghash::GROUP_LEN], rounds: [0; 15], middle_count: 13, lanes });
        // SAFETY: both kinds of lanes include AES-NI, PCLMULQDQ and AVX, and support was just found.
        unsafe { sealer.expand(key) };
        Some(sealer)
    }

    /// The longest text for which these lanes were measured ahead of the general library.
    #[must_use]
    pub fn worthwhile_len(&self) -> usize {
        match self.lanes {
            Lanes::Narrow => 512,
            Lanes::Wide => 3584,
        }
    }

    /// Seals one record.
    ///
    /// The associated data is the concatenation of the two parts of `aad`. `ciphertext` must be as long as
    /// `plaintext`; it is written completely. Returns the tag.
    ///
    /// # Panics
    /// When the lengths differ, or are above 2^36 - 32 bytes.
    ///
    /// Source: NIST SP 800-38D, 7.1.
    pub fn seal(
        &self,
        nonce: &[u8; 12],
        aad: [&[u8]; 2],
        plaintext: &[u8],
        ciphertext: &mut [MaybeUninit<u8>],
    ) -> [u8; 16] {
        check_lengths(plaintext, ciphertext);
        let record = Record { nonce, aad };
        match self.lanes {
            // SAFETY: `with_lanes` found the instructions of these lanes.
            Lanes::Narrow => unsafe { narrow::seal(self, &record, plaintext, ciphertext) },
            // SAFETY: as above.
            Lanes::Wide => unsafe { wide::seal(self, &record, plaintext, ciphertext) },
        }
    }

    /// Opens one record; true when the tag is right.
    ///
    /// The associated data is the concatenation of the two parts of `aad`. `plaintext` must be as long as
    /// `ciphertext`; it is written completely on true and left untouched on false.
    ///
    /// # Panics
    /// When the lengths differ, or are above 2^36 - 32 bytes.
    ///
    /// Source: NIST SP 800-38D, 7.2.
    #[must_use]
    pub fn open(
        &self,
        nonce: &[u8; 12],
        aad: [&[u8]; 2],
        ciphertext: &[u8],
        tag: &[u8; 16],
        plaintext: &mut [MaybeUninit<u8>],
    ) -> bool {
        check_lengths(ciphertext, plaintext);
        let record = Record { nonce, aad };
        match self.lanes {
            // SAFETY: `with_lanes` found the instructions of these lanes.
            Lanes::Narrow => unsafe { narrow::open(self, &record, ciphertext, tag, plaintext) },
            // SAFETY: as above.
            Lanes::Wide => unsafe { wide::open(self, &record, ciphertext, tag, plaintext) },
        }
    }

    #[target_feature(enable = "aes,pclmulqdq,avx")]
    fn expand(&mut self, key: &[u8; 32]) {
        schedule::expand(key, &mut self.rounds);
        let mut block = load(&self.rounds[0]);
        for round in &self.rounds[1..14] {
            block = _mm_aesenc_si128(block, load(round));
        }
        ghash::expand(_mm_aesenclast_si128(block, load(&self.rounds[14])), &mut self.powers);
    }

    /// The round keys between the first and the last. Their number is read from memory, so that the compiler
    /// keeps the loop: unrolled, it writes the rounds of one block after those of another, and runs out of
    /// registers.
    #[inline(always)]
    fn middle_rounds(&self) -> &[u128] {
        self.rounds.get(1..=self.middle_count.into()).unwrap_or_default()
    }
}

impl Drop for ShortGcm {
    fn drop(&mut self) {
        self.powers.zeroize();
        self.rounds.zeroize();
    }
}

impl ZeroizeOnDrop for ShortGcm {}

#[inline]
fn check_lengths(text: &[u8], out: &[Uninit]) {
    assert!(text.len() == out.len() && text.len() as u64 <= MAX_TEXT_LEN, "output length or text length");
}

impl Lanes {
    fn best() -> Self {
        if Self::Wide.is_supported() { Self::Wide } else { Self::Narrow }
    }

    #[rustfmt::skip]
    fn is_supported(self) -> bool {
        let narrow = is_x86_feature_detected!("aes") && is_x86_feature_detected!("pclmulqdq") && is_x86_feature_detected!("avx");
        let wide = || {
            is_x86_feature_detected!("vaes") && is_x86_feature_detected!("vpclmulqdq")
                && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
        };
        narrow && (self == Self::Narrow || wide())
    }
}

impl Record<'_> {
    #[inline]
    fn aad_len(&self) -> usize {
        self.aad[0].len() + self.aad[1].len()
    }
}

#[cfg(test)]
mod tests;
