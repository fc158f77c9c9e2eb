//! Seal and open with four blocks a register (VAES, VPCLMULQDQ, AVX-512).
//!
//! The shape is that of `narrow`: the last one to four registers of text are encrypted beside the block that
//! masks the tag, and the hash of the associated data and the powers for the tail are made in their shadow.
//! Batches of four registers come before that tail; there the processor overlaps the hash of one with the
//! rounds of the next.
//!
//! Branches, addresses and masks depend on lengths alone.

use super::bytes::{
    Joined, Uninit, load, load_blocks, load_bytes, load_full, load_nonce, load_quad, mask, store_full,
    store_quad, to_u128,
};
use super::ghash::{GROUP_LEN, Powers, Sum, lengths, reverse};
use super::wide_ghash::{WideSum, hash_aad, hash_sixteen, lift, sixteen_powers, turn};
use super::{Record, ShortGcm};
use core::arch::x86_64::*;

/// Registers that go through the rounds together, and their bytes.
const BATCH_LEN: usize = 4;
const BATCH_BYTES: usize = 64 * BATCH_LEN;

/// Calls a function with the number of registers in a tail as a constant.
macro_rules! for_quad_count {
    ($len:expr, $function:ident($($argument:expr),*)) => {
        match usize::div_ceil($len, 64) {
            0 => $function::<0>($($argument),*),
            1 => $function::<1>($($argument),*),
            2 => $function::<2>($($argument),*),
            3 => $function::<3>($($argument),*),
            _ => $function::<4>($($argument),*),
        }
    };
}

/// `out` is as long as `text`.
#[target_feature(enable = "aes,pclmulqdq,avx,vaes,vpclmulqdq,avx512f,avx512bw")]
pub(super) fn seal(keys: &ShortGcm, record: &Record<'_>, text: &[u8], out: &mut [Uninit]) -> [u8; 16] {
    let whole = text.len().saturating_sub(1) / BATCH_BYTES * BATCH_BYTES;
    let ((batches, tail), (out_batches, out_tail)) = (text.split_at(whole), out.split_at_mut(whole));
    let mut before = Before { record, text_len: whole, hash: None };
    if whole > 0 || record.aad_len() > 64 {
        let mut y = hash_aad(&keys.powers, record.aad);
        let powers = sixteen_powers(&keys.powers);
        let mut counter = Counter::new(keys, record.nonce, 0);
        for (text, out) in batches.as_chunks().0.iter().zip(out_batches.as_chunks_mut().0) {
            y = hash_sixteen(powers, y, xor_batch(keys, &mut counter, text, out));
        }
        before.hash = Some(y);
    }
    to_u128(for_quad_count!(tail.len(), seal_tail(keys, &before, tail, out_tail))).to_le_bytes()
}

/// `out` is as long as `text`, and is written only when the tag is right.
#[target_feature(enable = "aes,pclmulqdq,avx,vaes,vpclmulqdq,avx512f,avx512bw")]
pub(super) fn open(
    keys: &ShortGcm,
    record: &Record<'_>,
    text: &[u8],
    tag: &[u8; 16],
    out: &mut [Uninit],
) -> bool {
    let whole = text.len().saturating_sub(1) / BATCH_BYTES * BATCH_BYTES;
    let ((batches, tail), (out_batches, out_tail)) = (text.split_at(whole), out.split_at_mut(whole));
    let mut before = Before { record, text_len: whole, hash: None };
    if whole > 0 || record.aad_len() > 64 {
        let mut y = hash_aad(&keys.powers, record.aad);
        let powers = sixteen_powers(&keys.powers);
        for text in batches.as_chunks::<BATCH_BYTES>().0 {
            let (quads, _) = text.as_chunks();
            y = hash_sixteen(powers, y, core::array::from_fn(|at| load_full(&quads[at])));
        }
        before.hash = Some(y);
    }
    if !for_quad_count!(tail.len(), open_tail(keys, &before, tail, tag, out_tail)) {
        return false;
    }
    let mut counter = Counter::new(keys, record.nonce, 0);
    for (text, out) in batches.as_chunks().0.iter().zip(out_batches.as_chunks_mut().0) {
        xor_batch(keys, &mut counter, text, out);
    }
    true
}

#[inline]
#[target_feature(enable = "aes,pclmulqdq,avx,vaes,vpclmulqdq,avx512f,avx512bw")]
fn seal_tail<const N: usize>(
    keys: &ShortGcm,
    before: &Before<'_>,
    text: &[u8],
    out: &mut [Uninit],
) -> __m128i {
    let tail = Tail::<N>::new(&keys.powers, before, text.len());
    let (stream, tag_mask) = last_stream::<N>(keys, before);
    let y = before.hash(&keys.powers);
    let mut sealed = xor_last(keys, stream, load_tail(text));
    store_tail(out, sealed);
    if let Some(last) = sealed.last_mut() {
        *last = _mm512_maskz_mov_epi8(mask(text.len() - 64 * (N - 1)), *last);
    }
    _mm_xor_si128(tail.hash(y, sealed), tag_mask)
}

#[inline]
#[target_feature(enable = "aes,pclmulqdq,avx,vaes,vpclmulqdq,avx512f,avx512bw")]
fn open_tail<const N: usize>(
    keys: &ShortGcm,
    before: &Before<'_>,
    text: &[u8],
    tag: &[u8; 16],
    out: &mut [Uninit],
) -> bool {
    let tail = Tail::<N>::new(&keys.powers, before, text.len());
    let (stream, tag_mask) = last_stream::<N>(keys, before);
    let quads = load_tail::<N>(text);
    let y = tail.hash(before.hash(&keys.powers), quads);
    let difference = _mm_xor_si128(_mm_xor_si128(y, tag_mask), load_bytes(tag));
    if _mm_testz_si128(difference, difference) == 0 {
        return false;
    }
    store_tail(out, xor_last(keys, stream, quads));
    true
}

/// What comes before a tail: the associated data and whole batches. The hash over them is set unless there
/// are no batches and the associated data fits a register; then it is left to run beside the rounds of the
/// tail.
struct Before<'a> {
    record: &'a Record<'a>,
    text_len: usize,
    hash: Option<__m128i>,
}

impl Before<'_> {
    #[inline]
    #[target_feature(enable = "pclmulqdq,avx,vpclmulqdq,avx512f,avx512bw")]
    fn hash(&self, powers: &Powers) -> __m128i {
        if let Some(y) = self.hash {
            return y;
        }
        let mut aad = Joined::new(self.record.aad);
        let used = aad.len().div_ceil(16).min(4);
        if used == 0 {
            return _mm_setzero_si128();
        }
        let quad = turn(aad.next_quad(), _mm_setzero_si128());
        WideSum::product(quad, load_blocks(&powers[GROUP_LEN - used..])).fold().reduce()
    }
}

/// Encrypts or decrypts one batch and returns what it wrote.
#[inline]
#[target_feature(enable = "aes,pclmulqdq,avx,vaes,vpclmulqdq,avx512f,avx512bw")]
fn xor_batch(
    keys: &ShortGcm,
    counter: &mut Counter,
    text: &[u8; BATCH_BYTES],
    out: &mut [Uninit; BATCH_BYTES],
) -> [__m512i; BATCH_LEN] {
    let mut stream: [__m512i; BATCH_LEN] = core::array::from_fn(|_| counter.next());
    for round in keys.middle_rounds() {
        stream = stream.map(|quad| _mm512_aesenc_epi128(quad, spread(round)));
    }
    let (quads, _) = text.as_chunks();
    let xored = xor_last(keys, stream, core::array::from_fn(|at| load_full(&quads[at])));
    for (out, quad) in out.as_chunks_mut().0.iter_mut().zip(xored) {
        store_full(out, quad);
    }
    xored
}

/// All but the last round over the next 4 N counter blocks, and all rounds over the block that masks the tag.
#[inline]
#[target_feature(enable = "aes,pclmulqdq,avx,vaes,vpclmulqdq,avx512f,avx512bw")]
fn last_stream<const N: usize>(keys: &ShortGcm, before: &Before<'_>) -> ([__m512i; N], __m128i) {
    let mut counter = Counter::new(keys, before.record.nonce, before.text_len / 16);
    let mut tag_mask = counter.tag_block();
    let mut stream: [__m512i; N] = core::array::from_fn(|_| counter.next());
    for round in keys.middle_rounds() {
        tag_mask = _mm512_aesenc_epi128(tag_mask, spread(round));
        stream = stream.map(|quad| _mm512_aesenc_epi128(quad, spread(round)));
    }
    (stream, _mm512_castsi512_si128(_mm512_aesenclast_epi128(tag_mask, spread(&keys.rounds[14]))))
}

/// The last round and the XOR with the text in one: the round ends with an XOR, and the text joins its key.
#[inline]
#[target_feature(enable = "vaes,avx512f")]
fn xor_last<const N: usize>(keys: &ShortGcm, stream: [__m512i; N], text: [__m512i; N]) -> [__m512i; N] {
    let round = spread(&keys.rounds[14]);
    core::array::from_fn(|at| _mm512_aesenclast_epi128(stream[at], _mm512_xor_si512(text[at], round)))
}

/// N registers, the last padded with zeros; `text` ends in it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_tail<const N: usize>(text: &[u8]) -> [__m512i; N] {
    let (full, last) = text.split_at(64 * N.saturating_sub(1));
    core::array::from_fn(|at| {
        full.as_chunks().0.get(at).map_or_else(|| load_quad(last), |quad| load_full(quad))
    })
}

/// Writes N registers, the last cut to the length of `out`, which ends in it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store_tail<const N: usize>(out: &mut [Uninit], text: [__m512i; N]) {
    let (full, last) = out.split_at_mut(64 * N.saturating_sub(1));
    for (out, quad) in full.as_chunks_mut().0.iter_mut().zip(text) {
        store_full(out, quad);
    }
    if let Some(quad) = text.last() {
        store_quad(last, *quad);
    }
}

/// One round key in all four lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn spread(block: &u128) -> __m512i {
    _mm512_broadcast_i32x4(load(block))
}

/// The powers for a tail and the lengths after it: all that its hash needs before its text is there.
///
/// Thus one reduction is left after the rounds. The last one or two registers and the lengths use up to nine
/// powers, and two registers before them use all eight, lifted by as many. What is not stored is made beside
/// the rounds.
struct Tail<const N: usize> {
    powers: [__m512i; N],
    h: __m128i,
    lengths: __m128i,
}

impl<const N: usize> Tail<N> {
    #[inline]
    #[target_feature(enable = "pclmulqdq,avx,vpclmulqdq,avx512f,avx512bw")]
    fn new(powers: &Powers, before: &Before<'_>, len: usize) -> Self {
        let lengths = load(&lengths(before.record.aad_len(), before.text_len + len));
        let h = load(&powers[GROUP_LEN - 1]);
        let lifted_len = if N > 2 { 2 } else { 0 };
        let used = 1 + len.div_ceil(16) - 4 * lifted_len;
        let (low, highest) = if used > GROUP_LEN {
            let ninth = Sum::product(load(&powers[0]), h).reduce();
            let first = _mm512_alignr_epi64::<6>(load_blocks(powers), _mm512_broadcast_i32x4(ninth));
            ([first, load_blocks(&powers[3..])], ninth)
        } else {
            let powers = &powers[GROUP_LEN - used..];
            ([load_blocks(powers), load_blocks(powers.get(4..).unwrap_or_default())], load(&powers[0]))
        };
        let high = if N > 2 { lift(powers, highest) } else { low };
        Self {
            powers: core::array::from_fn(|at| if at < lifted_len { high[at] } else { low[at - lifted_len] }),
            h,
            lengths,
        }
    }

    /// The hash over a tail, in the byte order of the tag.
    #[inline]
    #[target_feature(enable = "pclmulqdq,avx,vpclmulqdq,avx512f,avx512bw")]
    fn hash(self, y: __m128i, text: [__m512i; N]) -> __m128i {
        if N == 0 {
            return reverse(Sum::product(_mm_xor_si128(y, self.lengths), self.h).reduce());
        }
        let last = Sum::product(self.lengths, self.h);
        let mut sum = WideSum::product(turn(text[0], y), self.powers[0]);
        // Not an iterator over the arrays: it would put them into memory.
        #[allow(clippy::needless_range_loop)]
        for at in 1..N {
            sum = sum.add(WideSum::product(turn(text[at], _mm_setzero_si128()), self.powers[at]));
        }
        reverse(sum.fold().add(last).reduce())
    }
}

/// Four counter blocks a register, after the first round key. The counts stand with their low bytes first,
/// and are turned where they are used.
#[derive(Clone, Copy)]
struct Counter {
    base: __m128i,
    counts: __m512i,
}

impl Counter {
    /// Stands that many blocks behind the first data block, which is number 2.
    #[inline]
    #[target_feature(enable = "avx,avx512f")]
    fn new(keys: &ShortGcm, nonce: &[u8; 12], blocks: usize) -> Self {
        let base = _mm_xor_si128(load(&load_nonce(nonce)), load(&keys.rounds[0]));
        let counts = _mm512_set_epi32(5, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0);
        Self { base, counts }.skip(blocks)
    }

    /// Past that many blocks.
    #[inline]
    #[target_feature(enable = "avx,avx512f")]
    fn skip(self, blocks: usize) -> Self {
        let blocks = _mm512_broadcast_i32x4(_mm_set_epi32(blocks as i32, 0, 0, 0));
        Self { base: self.base, counts: _mm512_add_epi32(self.counts, blocks) }
    }

    #[inline]
    #[target_feature(enable = "avx,avx512f,avx512bw")]
    fn next(&mut self) -> __m512i {
        let order = _mm512_broadcast_i32x4(_mm_set_epi32(0x0c0d_0e0f, 0, 0, 0));
        let turned = _mm512_shuffle_epi8(self.counts, order);
        *self = self.skip(4);
        _mm512_xor_si512(_mm512_broadcast_i32x4(self.base), turned)
    }

    /// Block number 1, which masks the tag, in all lanes: it shares the spread round keys.
    #[inline]
    #[target_feature(enable = "avx,avx512f")]
    fn tag_block(&self) -> __m512i {
        _mm512_broadcast_i32x4(_mm_xor_si128(self.base, _mm_set_epi32(1 << 24, 0, 0, 0)))
    }
}
