//! Names as keyed hashes.
//!
//! A table keeps no names, only what a hash under a key of its own makes of them. Whoever does not
//! know the key can neither aim a name at a line nor at another's fingerprint; he does not see
//! hashes either, only whether a name was admitted. One half of the hash says where the search
//! begins, 51 bits of the other stand in the slot.
//!
//! # The hash
//!
//! Two steps, as in UMAC and VMAC: NH makes 128 bits of a name, and a pseudo-random function makes
//! the hash of those: AES, which the processor does in ten instructions. SipHash over the whole name
//! would do the same at five times the cost, and over the 128 bits at twice.
//!
//! ```text
//! blocks = lengths ‖ purpose ‖ scope ‖ nonce      16 bytes each, two words; the key has two words for each
//! nh     = Σ (block[0] + key[0] mod 2^64) × (block[1] + key[1] mod 2^64)   mod 2^128
//! hash   = AES-128(nh)
//! ```
//!
//! A part whose length is not a multiple of 16 ends in a block of its last 16 bytes, which overlaps
//! the one before; below 16 bytes it is filled up with zeros. With the lengths in the first block
//! different names have different blocks. For two different names the chance over the key that
//! their NH agree is at most 2^-64 (Black et al., theorem 1: the difference of two products in which
//! a block differs takes each value with at most that probability). A part longer than
//! [`MAX_PART_LEN`] is replaced by its SipHash-2-4-128.
//!
//! # Being taken for another
//!
//! Two names that agree in place and fingerprint are taken for one, and the second is refused. In a
//! table filled to its stated capacity a search sees 8.5 entries on the average; in an emptier one
//! it sees fewer, in an overfull one up to 896. So with n live entries a fresh name is refused with a
//! probability of at most 8.5 × 2^-51 + n × 2^-64, the second for NH: below 10^-13 with a million. A
//! name that was admitted is never taken for a fresh one: equal names have equal hashes.
//!
//! Sources: J. Black, S. Halevi, H. Krawczyk, T. Krovetz, P. Rogaway, "UMAC: fast and secure message
//! authentication", 1999; T. Krovetz, "Message authentication on 64-bit architectures", 2006 (NH
//! with words of 64 bits); FIPS 197, "Advanced Encryption Standard", 2001; J.-P. Aumasson, D. J.
//! Bernstein, "SipHash: a fast short-input PRF", 2012 (long parts, and the keys of the rest).

use core::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use super::cipher::Cipher;
use super::slot::Fingerprint;

/// The longest part of a name that is hashed as it is. DIDs are no longer.
pub(crate) const MAX_PART_LEN: usize = 256;

const BLOCK_LEN: usize = 16;
/// Lengths, purpose, scope, nonce.
const MAX_BLOCKS: usize = 1 + 3 * MAX_PART_LEN / BLOCK_LEN;

/// A name as a table knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    place: u64,
    pub(crate) fingerprint: Fingerprint,
}

impl Name {
    pub(crate) const fn from_halves(place: u64, print: u64) -> Self {
        Self { place, fingerprint: Fingerprint::of_hash(print) }
    }

    /// The line where the search begins.
    #[inline]
    pub(crate) const fn home(self, line_count: u64) -> u64 {
        ((self.place as u128 * line_count as u128) >> 64) as u64
    }
}

/// The key of a table, ready to be used.
pub(crate) struct Namer {
    blocks: Box<[[u64; 2]; MAX_BLOCKS]>,
    cipher: Cipher,
    long: [u64; 2],
}

/// A name whose last part is not there yet. Batches keep it as long as scope and purpose stay.
#[derive(Clone, Copy)]
pub(crate) struct Begun<'a> {
    namer: &'a Namer,
    sum: u128,
    block_count: usize,
    lengths: u64,
}

impl Namer {
    pub(crate) fn new(key: [u64; 2]) -> Self {
        let word_pair = |number: usize| {
            let mut hasher = SipHasher24::new_with_keys(key[0], key[1]);
            hasher.write_u64(number as u64);
            let hash = hasher.finish128();
            [hash.h1, hash.h2]
        };
        let mut blocks = Box::new([[0; 2]; MAX_BLOCKS]);
        for (number, block) in blocks.iter_mut().enumerate() {
            *block = word_pair(number);
        }
        let [low, high] = word_pair(MAX_BLOCKS);
        let cipher = Cipher::new(u128::from(high) << 64 | u128::from(low));
        Self { blocks, cipher, long: word_pair(MAX_BLOCKS + 1) }
    }

    /// A name's first two parts.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as of the whole name")]
    pub(crate) fn begin(&self, purpose: &[u8], scope: &[u8]) -> Begun<'_> {
        let lengths = (purpose.len() as u64) << 32 ^ scope.len() as u64;
        let (of_purpose, purpose_blocks) = self.sum(1, purpose);
        let (of_scope, scope_blocks) = self.sum(1 + purpose_blocks, scope);
        let sum = of_purpose.wrapping_add(of_scope);
        Begun { namer: self, sum, block_count: 1 + purpose_blocks + scope_blocks, lengths }
    }

    /// The NH of one part, whose first block has this number, and how many blocks it has.
    ///
    /// Three calls make a name, and are a tenth of an admission: nothing may stand between them.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call costs as much as a short part")]
    fn sum(&self, number: usize, part: &[u8]) -> (u128, usize) {
        if part.is_empty() {
            return (0, 0);
        }
        if part.len() > MAX_PART_LEN {
            return (self.of_long(number, part), 1);
        }
        let block_count = part.len().div_ceil(BLOCK_LEN);
        let keys = &self.blocks[number..number + block_count];
        let (whole, rest) = part.as_chunks::<BLOCK_LEN>();
        let mut sum = 0_u128;
        for (block, key) in whole.iter().zip(keys) {
            sum = sum.wrapping_add(product(*key, u128::from_le_bytes(*block)));
        }
        if !rest.is_empty() {
            let last = match part.last_chunk::<BLOCK_LEN>() {
                Some(block) => u128::from_le_bytes(*block),
                None => filled(rest),
            };
            sum = sum.wrapping_add(product(keys[block_count - 1], last));
        }
        (sum, block_count)
    }

    #[cold]
    fn of_long(&self, number: usize, part: &[u8]) -> u128 {
        let [low, high] = self.long;
        let hash = SipHasher24::new_with_keys(low, high).hash(part);
        product(self.blocks[number], u128::from(hash.h2) << 64 | u128::from(hash.h1))
    }
}

impl Begun<'_> {
    /// The whole name.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "otherwise what was begun goes through memory")]
    pub(crate) fn name(&self, last: &[u8]) -> Name {
        let Begun { namer, sum, block_count, lengths } = *self;
        let (of_last, _) = namer.sum(block_count, last);
        let of_lengths = product(namer.blocks[0], (last.len() as u128) << 64 | u128::from(lengths));
        let nh = sum.wrapping_add(of_last).wrapping_add(of_lengths);
        let hash = namer.cipher.encrypt(nh);
        Name::from_halves(hash as u64, (hash >> 64) as u64)
    }
}

#[inline]
fn product(key: [u64; 2], block: u128) -> u128 {
    let (low, high) = (block as u64, (block >> 64) as u64);
    u128::from(low.wrapping_add(key[0])) * u128::from(high.wrapping_add(key[1]))
}

/// A block of fewer than 16 bytes.
#[cold]
fn filled(rest: &[u8]) -> u128 {
    rest.iter().rev().fold(0, |block, byte| block << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn hash(namer: &Namer, purpose: &[u8], scope: &[u8], nonce: &[u8]) -> (u64, Fingerprint) {
        let name = namer.begin(purpose, scope).name(nonce);
        (name.place, name.fingerprint)
    }

    /// NH in the plainest words, over numbers as large as they like.
    fn plain_nh(namer: &Namer, parts: [&[u8]; 3]) -> u128 {
        use num_bigint::BigUint;

        let mut blocks = vec![[(parts[0].len() as u64) << 32 ^ parts[1].len() as u64, parts[2].len() as u64]];
        for part in parts {
            let mut at = 0;
            while at < part.len() {
                let start = if at + 16 > part.len() && part.len() >= 16 { part.len() - 16 } else { at };
                let mut block = part[start..part.len().min(start + 16)].to_vec();
                block.resize(16, 0);
                let word = |half: &[u8]| u64::from_le_bytes(half.try_into().expect("8 bytes"));
                blocks.push([word(&block[..8]), word(&block[8..])]);
                at += 16;
            }
        }
        let modulus = BigUint::from(1_u8) << 128;
        let sum = blocks.iter().zip(namer.blocks.iter()).fold(BigUint::from(0_u8), |sum, (block, key)| {
            let word = |at: usize| BigUint::from(block[at].wrapping_add(key[at]));
            (sum + word(0) * word(1)) % &modulus
        });
        sum.try_into().expect("below 2^128")
    }

    proptest! {
        #[test]
        fn is_the_hash_of_nh(
            purpose in prop::collection::vec(any::<u8>(), 0..40),
            scope in prop::collection::vec(any::<u8>(), 0..=MAX_PART_LEN),
            nonce in prop::collection::vec(any::<u8>(), 0..=MAX_PART_LEN),
            key: [u64; 2],
        ) {
            let namer = Namer::new(key);
            let nh = plain_nh(&namer, [&purpose, &scope, &nonce]);
            let expected = namer.cipher.encrypt(nh);
            let name = namer.begin(&purpose, &scope).name(&nonce);
            prop_assert_eq!(name.place, expected as u64);
            prop_assert_eq!(name.fingerprint, Fingerprint::of_hash((expected >> 64) as u64));
        }

        #[test]
        fn every_home_is_in_the_table(place: u64, line_count in 1_u64..1 << 33) {
            prop_assert!(Name::from_halves(place, 0).home(line_count) < line_count);
        }
    }

    #[test]
    fn different_names_have_different_hashes() {
        let namer = Namer::new([1, 2]);
        let long = vec![7; 1000];
        let texts: [&[u8]; 9] = [
            b"",
            b"\0",
            b"a",
            b"aa",
            b"aaaaaaaaaaaaaaa",
            b"aaaaaaaaaaaaaaaa",
            b"aaaaaaaaaaaaaaaaa",
            &long,
            &long[1..],
        ];
        let mut seen = HashMap::new();
        for purpose in texts {
            for scope in texts {
                for nonce in texts {
                    let name = (purpose, scope, nonce);
                    if let Some(other) = seen.insert(hash(&namer, purpose, scope, nonce).0, name) {
                        panic!("{name:?} and {other:?}");
                    }
                }
            }
        }
        assert_eq!(seen.len(), 9 * 9 * 9);
    }

    #[test]
    fn another_key_is_another_hash() {
        let one = hash(&Namer::new([1, 2]), b"", b"scope", b"nonce");
        assert_ne!(one, hash(&Namer::new([1, 3]), b"", b"scope", b"nonce"));
        assert_ne!(one, hash(&Namer::new([2, 2]), b"", b"scope", b"nonce"));
        assert_eq!(one, hash(&Namer::new([1, 2]), b"", b"scope", b"nonce"));
    }
}
