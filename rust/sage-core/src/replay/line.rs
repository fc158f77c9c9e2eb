//! Looking at a cache line of slots at once.
//!
//! The reference looks at one slot after the other, fifteen instructions each. Where the processor
//! has AVX-512 the eight words of a line are one register, and two comparisons tell the same.

use super::slot::{Fingerprint, Slot};
use super::words::{LINE_WORDS, Words};

/// What a search asks of a line, with one bit for each slot, the first slot in bit 1. It fits two
/// registers, and so never goes through memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// The word of the first slot that is held, or if none is, that is free; 0 if none is either.
    pub(crate) word: u64,
    /// Free at the floor.
    pub(crate) free_bits: u8,
    /// Taken, and with the fingerprint that is searched.
    pub(crate) held_bits: u8,
    /// The mark is over: no living entry lies beyond that had to pass the line.
    pub(crate) is_last: bool,
}

/// The bits of slots; the first word of a line is its mark.
const SLOT_BITS: u8 = 0xfe;

impl Line {
    /// One slot after the other.
    #[inline]
    pub(crate) fn judge(words: [u64; LINE_WORDS], fingerprint: Fingerprint, floor: u64) -> Self {
        let (mut free_bits, mut held_bits) = (0_u8, 0_u8);
        for (offset, word) in words.into_iter().enumerate() {
            let slot = Slot::from_word(word);
            free_bits |= u8::from(slot.is_free(floor)) << offset;
            held_bits |= u8::from(slot.holds(fingerprint)) << offset;
        }
        let (free_bits, held_bits) = (free_bits & SLOT_BITS, held_bits & !free_bits & SLOT_BITS);
        let chosen_bits = if held_bits == 0 { free_bits } else { held_bits };
        let word = words.get(chosen_bits.trailing_zeros() as usize).copied().unwrap_or_default();
        Self { word, free_bits, held_bits, is_last: words[0] < floor }
    }

    /// Reads the line at `at`, by whatever is fastest here.
    #[inline]
    pub(crate) fn read<W: Words + ?Sized>(
        words: &W,
        at: usize,
        fingerprint: Fingerprint,
        floor: u64,
    ) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(line) = words.line_address(at).and_then(|line| wide::read(line, fingerprint, floor)) {
            return line;
        }
        Self::judge(words.load_line(at), fingerprint, floor)
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    #![allow(unsafe_code)]

    use core::arch::asm;
    use core::arch::x86_64::{
        __m512i, _mm_cvtsi128_si64, _mm512_castsi512_si128, _mm512_cmpeq_epi64_mask, _mm512_cmplt_epu64_mask,
        _mm512_maskz_compress_epi64, _mm512_set1_epi64, _mm512_srli_epi64, _mm512_sub_epi64,
        _mm512_test_epi64_mask, _mm512_testn_epi64_mask,
    };
    use core::sync::atomic::AtomicU64;
    use core::sync::atomic::Ordering::Relaxed;
    use std::sync::atomic::AtomicU8;

    use super::super::slot::{FINGERPRINT_BITS, Fingerprint, TAG_SPAN, VACANT};
    use super::super::words::LINE_WORDS;
    use super::{Line, SLOT_BITS};
    use crate::processor;

    /// 0: not asked yet, 1: no, 2: yes.
    static IS_THERE: AtomicU8 = AtomicU8::new(0);

    #[inline]
    pub(super) fn read(line: &[AtomicU64; LINE_WORDS], fingerprint: Fingerprint, floor: u64) -> Option<Line> {
        let is_there = match IS_THERE.load(Relaxed) {
            0 => ask(),
            known => known == 2,
        };
        // SAFETY: the processor has the instructions.
        is_there.then(|| unsafe { read_wide(line, fingerprint, floor) })
    }

    #[cold]
    fn ask() -> bool {
        let is_there = is_x86_feature_detected!("avx512f") && !processor::is_portable();
        IS_THERE.store(if is_there { 2 } else { 1 }, Relaxed);
        is_there
    }

    /// The reference in eight lanes.
    #[target_feature(enable = "avx512f")]
    pub(super) fn read_wide(line: &[AtomicU64; LINE_WORDS], fingerprint: Fingerprint, floor: u64) -> Line {
        let words: __m512i;
        // SAFETY: reads the 64 bytes that the reference covers. Others may write them meanwhile; each
        // aligned word of eight bytes is read whole (Intel SDM 3A §9.1.1, AMD APM 2 §7.3.2), and an
        // instruction that reads is not moved before earlier ones on this architecture. It is not
        // marked as pure, so the compiler neither repeats nor moves it.
        unsafe {
            asm!(
                "vmovdqu64 {words}, [{line}]",
                words = out(zmm_reg) words, line = in(reg) line.as_ptr(),
                options(nostack, preserves_flags),
            );
        }
        let floor = _mm512_set1_epi64(floor as i64);
        let ages = _mm512_sub_epi64(_mm512_srli_epi64::<1>(words), floor);
        let over = _mm512_test_epi64_mask(ages, _mm512_set1_epi64(TAG_SPAN as i64 / 2));
        let vacant = _mm512_testn_epi64_mask(words, _mm512_set1_epi64(!VACANT as i64));
        let prints = _mm512_srli_epi64::<{ 64 - FINGERPRINT_BITS }>(words);
        let held = _mm512_cmpeq_epi64_mask(prints, _mm512_set1_epi64(fingerprint.bits() as i64));
        let (free_bits, held_bits) = ((over | vacant) & SLOT_BITS, held & !(over | vacant) & SLOT_BITS);
        let chosen_bits = if held_bits == 0 { free_bits } else { held_bits };
        let chosen = _mm512_castsi512_si128(_mm512_maskz_compress_epi64(chosen_bits, words));
        let is_last = _mm512_cmplt_epu64_mask(words, floor) & 1 != 0;
        Line { word: _mm_cvtsi128_si64(chosen) as u64, free_bits, held_bits, is_last }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn both_ways_see_the_same() {
        use core::sync::atomic::AtomicU64;

        use super::super::slot::{Fingerprint, Slot};
        use super::*;

        if !is_x86_feature_detected!("avx512f") {
            eprintln!("not run: this processor has no AVX-512");
            return;
        }
        let prints = [0, 1 << 13, 7 << 40, u64::MAX].map(Fingerprint::of_hash);
        for floor in [0, 1, 2047, 2048, 2049, 4095, 4096, 1 << 40, u64::MAX] {
            for ahead in [0, 1, 514, 2046, 2047, 2048, 2049, 4095] {
                let slot = |at: usize| Slot::tentative(prints[at], floor.wrapping_add(ahead));
                let (next, over) = (slot(2).decided(), Slot::swept(floor));
                let words = [
                    u64::MAX,
                    0,
                    slot(0).word(),
                    slot(1).decided().word(),
                    next.word(),
                    slot(3).spent().word(),
                    over.word(),
                    slot(1).word(),
                ];
                for print in prints {
                    let atomics = words.map(AtomicU64::new);
                    let expected = Line::judge(words, print, floor);
                    #[allow(unsafe_code)]
                    // SAFETY: the processor has the instructions.
                    let line = unsafe { wide::read_wide(&atomics, print, floor) };
                    assert_eq!(line, expected, "floor {floor}, ahead {ahead}");
                    assert_eq!(Line::read(&atomics[..], 0, print, floor), expected);
                }
            }
        }
    }
}
