//! Seal and open with one block a register (AES-NI, PCLMULQDQ).
//!
//! A short record is bound by latency: fourteen dependent rounds, then multiplication and reduction. So the
//! block that masks the tag is encrypted beside the last data blocks, as many as there are, and the hash of
//! the associated data is written before them and runs in their shadow. Whole groups of eight blocks come
//! before that tail; there throughput counts, and the processor overlaps the hash of one group with the
//! rounds of the next.
//!
//! Branches and addresses depend on lengths alone.

use super::bytes::{
    Joined, Uninit, load, load_bytes, load_nonce, partial, store_bytes, store_partial, to_u128,
};
use super::ghash::{GROUP_LEN, Powers, Sum, lengths, reverse};
use super::{Record, ShortGcm};
use core::arch::x86_64::*;

const GROUP_BYTES: usize = 16 * GROUP_LEN;

/// Calls a function with the number of blocks in a tail as a constant: the fast code for each number has no
/// loop.
macro_rules! for_block_count {
    ($len:expr, $function:ident($($argument:expr),*)) => {
        match usize::div_ceil($len, 16) {
            0 => $function::<0>($($argument),*),
            1 => $function::<1>($($argument),*),
            2 => $function::<2>($($argument),*),
            3 => $function::<3>($($argument),*),
            4 => $function::<4>($($argument),*),
            5 => $function::<5>($($argument),*),
            6 => $function::<6>($($argument),*),
            7 => $function::<7>($($argument),*),
            _ => $function::<8>($($argument),*),
        }
    };
}

/// `out` is as long as `text`.
#[target_feature(enable = "aes,pclmulqdq,avx")]
pub(super) fn seal(keys: &ShortGcm, record: &Record<'_>, text: &[u8], out: &mut [Uninit]) -> [u8; 16] {
    let mut y = hash_aad(&keys.powers, record.aad);
    let mut counter = Counter::new(keys, record.nonce);
    let lengths = lengths(record.aad_len(), text.len());
    let whole = text.len().saturating_sub(1) / GROUP_BYTES * GROUP_BYTES;
    let ((groups, tail), (out_groups, out_tail)) = (text.split_at(whole), out.split_at_mut(whole));
    for (text, out) in groups.as_chunks().0.iter().zip(out_groups.as_chunks_mut().0) {
        let sealed = xor_group(keys, &mut counter, text, out);
        y = hash_group(&keys.powers, y, sealed);
    }
    let tag = for_block_count!(tail.len(), seal_tail(keys, counter, y, lengths, tail, out_tail));
    to_u128(tag).to_le_bytes()
}

/// `out` is as long as `text`, and is written only when the tag is right.
#[target_feature(enable = "aes,pclmulqdq,avx")]
pub(super) fn open(
    keys: &ShortGcm,
    record: &Record<'_>,
    text: &[u8],
    tag: &[u8; 16],
    out: &mut [Uninit],
) -> bool {
    let mut y = hash_aad(&keys.powers, record.aad);
    let mut counter = Counter::new(keys, record.nonce);
    let lengths = lengths(record.aad_len(), text.len());
    let whole = text.len().saturating_sub(1) / GROUP_BYTES * GROUP_BYTES;
    let ((groups, tail), (out_groups, out_tail)) = (text.split_at(whole), out.split_at_mut(whole));
    for text in groups.as_chunks::<GROUP_BYTES>().0 {
        let (blocks, _) = text.as_chunks();
        y = hash_group(&keys.powers, y, core::array::from_fn(|at| load_bytes(&blocks[at])));
    }
    let after = counter.skip(whole / 16);
    if !for_block_count!(tail.len(), open_tail(keys, after, y, lengths, tail, tag, out_tail)) {
        return false;
    }
    for (text, out) in groups.as_chunks().0.iter().zip(out_groups.as_chunks_mut().0) {
        xor_group(keys, &mut counter, text, out);
    }
    true
}

#[inline]
#[target_feature(enable = "aes,pclmulqdq,avx")]
fn seal_tail<const N: usize>(
    keys: &ShortGcm,
    mut counter: Counter,
    y: __m128i,
    lengths: u128,
    text: &[u8],
    out: &mut [Uninit],
) -> __m128i {
    let text = load_tail::<N>(text);
    let (stream, mask) = last_stream::<N>(keys, &mut counter);
    let mut sealed = xor_last(keys, stream, text);
    store_tail(out, &mut sealed);
    _mm_xor_si128(hash_tail(&keys.powers, y, sealed, lengths), mask)
}

#[inline]
#[target_feature(enable = "aes,pclmulqdq,avx")]
fn open_tail<const N: usize>(
    keys: &ShortGcm,
    mut counter: Counter,
    y: __m128i,
    lengths: u128,
    text: &[u8],
    tag: &[u8; 16],
    out: &mut [Uninit],
) -> bool {
    let text = load_tail::<N>(text);
    let (stream, mask) = last_stream::<N>(keys, &mut counter);
    let expected = _mm_xor_si128(hash_tail(&keys.powers, y, text, lengths), mask);
    let difference = _mm_xor_si128(expected, load_bytes(tag));
    if _mm_testz_si128(difference, difference) == 0 {
        return false;
    }
    store_tail(out, &mut xor_last(keys, stream, text));
    true
}

/// Encrypts or decrypts one group and returns what it wrote.
#[inline]
#[target_feature(enable = "aes,pclmulqdq,avx")]
fn xor_group(
    keys: &ShortGcm,
    counter: &mut Counter,
    text: &[u8; GROUP_BYTES],
    out: &mut [Uninit; GROUP_BYTES],
) -> [__m128i; GROUP_LEN] {
    let mut stream: [__m128i; GROUP_LEN] = core::array::from_fn(|_| counter.next());
    for round in keys.middle_rounds() {
        stream = stream.map(|block| _mm_aesenc_si128(block, load(round)));
    }
    let (blocks, _) = text.as_chunks();
    let xored = xor_last(keys, stream, core::array::from_fn(|at| load_bytes(&blocks[at])));
    for (out, block) in out.as_chunks_mut().0.iter_mut().zip(xored) {
        store_bytes(out, block);
    }
    xored
}

/// All but the last round over the next N counter blocks, and all rounds over the block that masks the tag.
#[inline]
#[target_feature(enable = "aes,pclmulqdq,avx")]
fn last_stream<const N: usize>(keys: &ShortGcm, counter: &mut Counter) -> ([__m128i; N], __m128i) {
    let mut mask = counter.tag_block();
    let mut stream: [__m128i; N] = core::array::from_fn(|_| counter.next());
    for round in keys.middle_rounds() {
        mask = _mm_aesenc_si128(mask, load(round));
        stream = stream.map(|block| _mm_aesenc_si128(block, load(round)));
    }
    (stream, _mm_aesenclast_si128(mask, load(&keys.rounds[14])))
}

/// The last round and the XOR with the text in one: the round ends with an XOR, and the text joins its key.
#[inline]
#[target_feature(enable = "aes,pclmulqdq,avx")]
fn xor_last<const N: usize>(keys: &ShortGcm, stream: [__m128i; N], text: [__m128i; N]) -> [__m128i; N] {
    core::array::from_fn(|at| {
        _mm_aesenclast_si128(stream[at], _mm_xor_si128(text[at], load(&keys.rounds[14])))
    })
}

/// N blocks, the last padded with zeros.
#[inline]
#[target_feature(enable = "aes,pclmulqdq,avx")]
fn load_tail<const N: usize>(text: &[u8]) -> [__m128i; N] {
    let (blocks, rest) = text.as_chunks();
    core::array::from_fn(|at| match blocks.get(at) {
        Some(block) => load_bytes(block),
        None => load(&partial(rest)),
    })
}

/// Writes N blocks, the last cut to the length of `out`, and clears there what was cut.
#[inline]
#[target_feature(enable = "aes,pclmulqdq,avx")]
fn store_tail<const N: usize>(out: &mut [Uninit], text: &mut [__m128i; N]) {
    let (blocks, rest) = out.as_chunks_mut();
    for (out, block) in blocks.iter_mut().zip(text.iter()) {
        store_bytes(out, *block);
    }
    if !rest.is_empty()
        && let Some(last) = text.last_mut()
    {
        let kept = to_u128(*last) & (u128::MAX >> (128 - 8 * rest.len()));
        store_partial(rest, kept);
        *last = load(&kept);
    }
}

#[inline]
#[target_feature(enable = "pclmulqdq,avx")]
fn hash_aad(powers: &Powers, aad: [&[u8]; 2]) -> __m128i {
    let mut aad = Joined::new(aad);
    let mut y = _mm_setzero_si128();
    while aad.len() > 0 {
        let used = aad.len().div_ceil(16).min(GROUP_LEN);
        let mut sum = Sum::zero();
        for power in &powers[GROUP_LEN - used..] {
            let block = _mm_xor_si128(y, reverse(aad.next_block()));
            y = _mm_setzero_si128();
            sum = sum.add(Sum::product(block, load(power)));
        }
        y = sum.reduce();
    }
    y
}

#[inline]
#[target_feature(enable = "pclmulqdq,avx")]
fn hash_group(powers: &Powers, y: __m128i, text: [__m128i; GROUP_LEN]) -> __m128i {
    let mut sum = Sum::product(_mm_xor_si128(y, reverse(text[0])), load(&powers[0]));
    // Not an iterator over the array: it would put it into memory. So below.
    #[allow(clippy::needless_range_loop)]
    for at in 1..GROUP_LEN {
        sum = sum.add(Sum::product(reverse(text[at]), load(&powers[at])));
    }
    sum.reduce()
}

/// The hash over the last blocks and the lengths, in the byte order of the tag.
#[inline]
#[target_feature(enable = "pclmulqdq,avx")]
fn hash_tail<const N: usize>(powers: &Powers, y: __m128i, text: [__m128i; N], lengths: u128) -> __m128i {
    let (h, lengths) = (load(&powers[GROUP_LEN - 1]), load(&lengths));
    let sum = match N {
        0 => Sum::product(_mm_xor_si128(y, lengths), h),
        1..GROUP_LEN => {
            let powers = &powers[GROUP_LEN - 1 - N..];
            let mut sum = Sum::product(lengths, h);
            #[allow(clippy::needless_range_loop)]
            for at in 1..N {
                sum = sum.add(Sum::product(reverse(text[at]), load(&powers[at])));
            }
            sum.add(Sum::product(_mm_xor_si128(y, reverse(text[0])), load(&powers[0])))
        }
        _ => {
            let y = hash_group(powers, y, core::array::from_fn(|at| text[at]));
            Sum::product(_mm_xor_si128(y, lengths), h)
        }
    };
    reverse(sum.reduce())
}

/// Counter blocks after the first round key. The count stands in a register with its low byte first, and is
/// turned where it is used.
#[derive(Clone, Copy)]
struct Counter {
    base: __m128i,
    count: __m128i,
}

impl Counter {
    /// Stands at the first data block, number 2.
    #[inline]
    #[target_feature(enable = "avx")]
    fn new(keys: &ShortGcm, nonce: &[u8; 12]) -> Self {
        Self {
            base: _mm_xor_si128(load(&load_nonce(nonce)), load(&keys.rounds[0])),
            count: _mm_set_epi32(2, 0, 0, 0),
        }
    }

    /// Past that many blocks.
    #[inline]
    #[target_feature(enable = "avx")]
    fn skip(self, blocks: usize) -> Self {
        let blocks = _mm_set_epi32(blocks as i32, 0, 0, 0);
        Self { base: self.base, count: _mm_add_epi32(self.count, blocks) }
    }

    #[inline]
    #[target_feature(enable = "avx")]
    fn next(&mut self) -> __m128i {
        let turned = _mm_shuffle_epi8(self.count, _mm_set_epi32(0x0c0d_0e0f, 0, 0, 0));
        *self = self.skip(1);
        _mm_xor_si128(self.base, turned)
    }

    /// Block number 1, which masks the tag.
    #[inline]
    #[target_feature(enable = "avx")]
    fn tag_block(&self) -> __m128i {
        _mm_xor_si128(self.base, _mm_set_epi32(1 << 24, 0, 0, 0))
    }
}
