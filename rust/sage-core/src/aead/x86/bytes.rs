//! Bytes in and out of registers: the only memory access of the two kernels.
//!
//! Records end anywhere, and reading a whole vector at the end of one would touch foreign memory. Two ways to
//! read less are used. Up to 15 bytes are put together from two overlapping words, in safe code. Up to 64
//! bytes are read and written under an AVX-512 byte mask: the processor neither reads, writes nor faults on a
//! byte whose mask bit is clear (but is slow where the page is missing, so that callers do not load empty
//! slices). Which way is taken depends on lengths alone.
//!
//! Outputs are `MaybeUninit`: they are written, never read.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

/// Output that may not have been written yet.
pub(super) type Uninit = MaybeUninit<u8>;

#[inline(always)]
pub(super) fn load(block: &u128) -> __m128i {
    // SAFETY: a reference to 16 readable bytes; SSE2 is part of x86-64.
    unsafe { _mm_loadu_si128(core::ptr::from_ref(block).cast()) }
}

#[inline(always)]
pub(super) fn load_bytes(block: &[u8; 16]) -> __m128i {
    // SAFETY: a reference to 16 readable bytes; the load needs no alignment; SSE2 is part of x86-64.
    unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
}

#[inline(always)]
pub(super) fn store_bytes(out: &mut [Uninit; 16], block: __m128i) {
    // SAFETY: a unique reference to 16 writable bytes; the store needs no alignment; SSE2 is part of x86-64.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), block) }
}

#[inline(always)]
pub(super) fn to_u128(block: __m128i) -> u128 {
    // SAFETY: both are 16 bytes and every bit pattern is valid in both.
    unsafe { core::mem::transmute(block) }
}

/// A nonce and four zero bytes. Read in words, since callers write nonces in parts: a load that spans two
/// recent stores waits until both have left the store queue.
#[inline(always)]
pub(super) fn load_nonce(nonce: &[u8; 12]) -> u128 {
    let word =
        |at: usize| u128::from(u32::from_le_bytes([nonce[at], nonce[at + 1], nonce[at + 2], nonce[at + 3]]));
    word(0) | word(4) << 32 | word(8) << 64
}

/// At most 15 bytes, little-endian, zeros above.
#[inline(always)]
pub(super) fn partial(bytes: &[u8]) -> u128 {
    let len = bytes.len();
    debug_assert!(len < 16);
    if let (Some(head), Some(tail)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u128::from(u64::from_le_bytes(*head)) | u128::from(u64::from_le_bytes(*tail)) << (8 * (len - 8))
    } else if let (Some(head), Some(tail)) = (bytes.first_chunk(), bytes.last_chunk()) {
        (u64::from(u32::from_le_bytes(*head)) | u64::from(u32::from_le_bytes(*tail)) << (8 * (len - 4)))
            .into()
    } else {
        let byte = |at: usize| u32::from(bytes[at]) << (8 * at);
        match len {
            0 => 0,
            _ => byte(0) | byte(len / 2) | byte(len - 1),
        }
        .into()
    }
}

/// Writes the low `out.len()` bytes of `block`, at most 15.
#[inline(always)]
pub(super) fn store_partial(out: &mut [Uninit], block: u128) {
    let len = out.len();
    debug_assert!(len < 16);
    let (low, quad) = (block as u32, block as u64);
    if let Some(head) = out.first_chunk_mut() {
        *head = quad.to_le_bytes().map(Uninit::new);
        if let Some(tail) = out.last_chunk_mut() {
            *tail = ((block >> (8 * (len - 8))) as u64).to_le_bytes().map(Uninit::new);
        }
    } else if let Some(head) = out.first_chunk_mut() {
        *head = low.to_le_bytes().map(Uninit::new);
        if let Some(tail) = out.last_chunk_mut() {
            *tail = ((quad >> (8 * (len - 4))) as u32).to_le_bytes().map(Uninit::new);
        }
    } else {
        for (at, byte) in out.iter_mut().enumerate() {
            byte.write((low >> (8 * at)) as u8);
        }
    }
}

/// Two byte strings read as one, in 16-byte blocks that run across the seam; the last is padded with zeros.
pub(super) struct Joined<'a> {
    head: &'a [u8],
    tail: &'a [u8],
}

impl<'a> Joined<'a> {
    #[inline(always)]
    pub(super) fn new([head, tail]: [&'a [u8]; 2]) -> Self {
        if head.is_empty() { Self { head: tail, tail: head } } else { Self { head, tail } }
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// The next block; zeros at the end.
    #[inline(always)]
    pub(super) fn next_block(&mut self) -> __m128i {
        if let Some((block, rest)) = self.head.split_first_chunk() {
            self.head = rest;
            return load_bytes(block);
        }
        let len = self.head.len();
        let (over, rest) = self.tail.split_at(self.tail.len().min(16 - len));
        let seam = match over.first_chunk() {
            Some(block) => u128::from_le_bytes(*block),
            None => partial(over) << (8 * len) | partial(self.head),
        };
        (self.head, self.tail) = (rest, &[]);
        load(&seam)
    }

    /// The next `min(64, len)` bytes, zeros above.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn next_quad(&mut self) -> __m512i {
        if self.tail.is_empty() || self.head.len() >= 64 {
            let (now, rest) = self.head.split_at(self.head.len().min(64));
            self.head = rest;
            return load_quad(now);
        }
        let len = self.head.len();
        let (over, rest) = self.tail.split_at(self.tail.len().min(64 - len));
        let head = load_quad(self.head);
        (self.head, self.tail) = (rest, &[]);
        // SAFETY: the mask selects bytes len..len+over.len() of the vector, which lie at over's own bytes; no
        // other byte is accessed, so that the address before `over` is only computed (with wrapping), never
        // used.
        unsafe {
            _mm512_mask_loadu_epi8(head, mask(over.len()) << len, over.as_ptr().wrapping_sub(len).cast())
        }
    }
}

/// The low `len` bits set; `len` at most 64.
#[inline(always)]
pub(super) fn mask(len: usize) -> u64 {
    debug_assert!(len <= 64);
    if len == 0 { 0 } else { u64::MAX >> (64 - len) }
}

/// At most 64 bytes, zeros above.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn load_quad(bytes: &[u8]) -> __m512i {
    let len = bytes.len().min(64);
    // SAFETY: the mask selects the first `len` bytes, which the slice has; no other byte is accessed.
    unsafe { _mm512_maskz_loadu_epi8(mask(len), bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn store_quad(out: &mut [Uninit], quad: __m512i) {
    let len = out.len().min(64);
    // SAFETY: the mask selects the first `len` bytes, which the slice has; no other byte is accessed.
    unsafe { _mm512_mask_storeu_epi8(out.as_mut_ptr().cast(), mask(len), quad) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_full(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: a reference to 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_full(out: &mut [Uninit; 64], quad: __m512i) {
    // SAFETY: a unique reference to 64 writable bytes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), quad) }
}

/// At most four blocks, zeros above.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_blocks(blocks: &[u128]) -> __m512i {
    let lanes = mask(2 * blocks.len().min(4)) as __mmask8;
    // SAFETY: the mask selects the words of the first four blocks that the slice has; no other byte is
    // accessed.
    unsafe { _mm512_maskz_loadu_epi64(lanes, blocks.as_ptr().cast()) }
}
