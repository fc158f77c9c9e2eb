//! Odd multiples of the base point, and how a scalar and a secret digit select among them.
//!
//! # Digits
//!
//! An odd scalar s < 2^256 has exactly one form s = sum d_i 16^i, i = 0..64, with every digit odd,
//! -15 <= d_i <= 15. Put d_i = 2 b_i - 15: then sum b_i 16^i = (s + 2^256 - 1) / 2 = (s >> 1) + 2^255,
//! so the b_i are that number's nibbles. An even scalar is first made odd by adding or subtracting
//! the (odd) order l of the base point, which changes no multiple. No digit is zero.
//!
//! # Layout
//!
//! Window w holds the odd multiples 1, 3, .., 15 of 256^w B as y + x, y - x and 2 d x y, and serves
//! digits 2 w and, in a sum that is later multiplied by 16, 2 w + 1. One vector is one limb of one
//! coordinate; its eight lanes are the eight multiples: 15 vectors, 960 bytes a window, 30 KiB.
//!
//! # Selection and timing
//!
//! A lane selects by a permutation *inside registers* (`vpermq`, `vpermi2q`), whose time does not
//! depend on its indices. All 15 vectors of a window are read in full whatever the digit; addresses
//! depend on w alone. A negative digit exchanges y + x and y - x, which is one bit of the index, and
//! negates 2 d x y under a vector mask.
//!
//! The table is built at first use, from public values only, so building may take any time.

use core::arch::x86_64::*;
use std::sync::OnceLock;

use zeroize::{Zeroize, Zeroizing};

use super::Ifma;
use super::element::Element;
use super::field::Tight8;
use super::opaque::opaque;
use super::point::{Point, invert_all, twice_dxy};

pub const WINDOW_COUNT: usize = 32;
const ENTRY_COUNT: usize = 8;

/// The odd multiples of 256^w B.
pub struct Window {
    y_plus_x: [__m512i; 5],
    y_minus_x: [__m512i; 5],
    twice_dxy: [__m512i; 5],
}

/// The windows, built at first use.
pub fn windows(_ifma: Ifma) -> &'static [Window] {
    static WINDOWS: OnceLock<Vec<Window>> = OnceLock::new();
    // SAFETY: an `Ifma` exists only where the four features do.
    WINDOWS.get_or_init(|| unsafe { build() })
}

/// The nibbles b_i, two to a byte, of any 256-bit scalar modulo l ("Digits" above).
pub fn digits(scalar: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    const ORDER: [u64; 4] = [0x5812_631a_5cf5_d3ed, 0x14de_f9de_a2f7_9cd6, 0, 1 << 60];
    let mut words = [0u64; 4];
    for (word, chunk) in words.iter_mut().zip(scalar.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    // Even: plus l below 2^255, minus l from there on, so that the sum stays within 256 bits.
    let even = opaque((words[0] & 1).wrapping_sub(1));
    let minus = opaque((words[3] >> 63).wrapping_neg());
    let mut carry = u128::from(minus & even & 1);
    for (word, order) in words.iter_mut().zip(ORDER) {
        carry += u128::from(*word) + u128::from((order ^ minus) & even);
        *word = carry as u64;
        carry >>= 64;
    }
    let mut digits = Zeroizing::new([0; 32]);
    for (k, chunk) in digits.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let above = if k < 3 { words[k + 1] } else { 1 };
        *chunk = (words[k] >> 1 | above << 63).to_le_bytes();
    }
    words.zeroize();
    digits
}

/// What a lane's digit says: which multiple, and whether to negate it.
struct Choice {
    index: __m512i,
    negative: __m512i,
}

impl Choice {
    /// From b in the low four bits of each lane; higher bits are ignored.
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
    #[inline]
    fn new(nibbles: __m512i) -> Self {
        // b >= 8: multiple 2 (b - 8) + 1; b < 8: minus multiple 2 (7 - b) + 1, and 7 - b = !b & 7.
        let flipped = _mm512_xor_si512(nibbles, _mm512_set1_epi64(8));
        let negative = _mm512_srai_epi64::<63>(_mm512_slli_epi64::<60>(flipped));
        let index = _mm512_and_si512(_mm512_xor_si512(nibbles, negative), _mm512_set1_epi64(7));
        Self { index, negative }
    }

    /// The index into y + x followed by y - x, in lanes that want y - x for `wants_minus` = all
    /// ones: a negative digit takes the other.
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
    #[inline]
    fn signed_index(&self, wants_minus: __m512i) -> __m512i {
        let other = _mm512_xor_si512(self.negative, wants_minus);
        _mm512_or_si512(self.index, _mm512_and_si512(other, _mm512_set1_epi64(8)))
    }
}

/// 2 p + 1 in limbs: with it, `!x + 2 p + 1 = 2 p - x` limb by limb, from 1 to 2^52 - 2 for x < 2^51.
const TWICE_P_PLUS_1: [i64; 5] = [(1 << 52) - 37, (1 << 52) - 1, (1 << 52) - 1, (1 << 52) - 1, (1 << 52) - 1];

impl Window {
    /// For two sums side by side: from a nibble in lanes 0..=3 and one in lanes 4..=7, the lanes
    /// (y + x, y - x, 2, 2 d x y) of each.
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
    #[inline]
    pub fn select_two(&self, nibbles: __m512i) -> Tight8 {
        const SIGNED: __mmask8 = 0b0011_0011;
        const LAST: __mmask8 = 0b1000_1000;
        let choice = Choice::new(nibbles);
        let odd_lanes = _mm512_setr_epi64(0, -1, 0, -1, 0, -1, 0, -1);
        let signed_index = choice.signed_index(odd_lanes);
        let negative = _mm512_maskz_mov_epi64(LAST, choice.negative);
        let two = _mm512_setr_epi64(0, 0, 2, 0, 0, 0, 2, 0);
        Tight8(core::array::from_fn(|k| {
            let signed =
                _mm512_maskz_permutex2var_epi64(SIGNED, self.y_plus_x[k], signed_index, self.y_minus_x[k]);
            let last = self.twice_dxy[k];
            let entry = _mm512_mask_permutexvar_epi64(signed, LAST, choice.index, last);
            let twice_p = _mm512_and_si512(negative, _mm512_set1_epi64(TWICE_P_PLUS_1[k]));
            let more = if k == 0 { _mm512_or_si512(twice_p, two) } else { twice_p };
            _mm512_add_epi64(_mm512_xor_si512(entry, negative), more)
        }))
    }

    /// For eight sums: from the nibble `shift` bits up in each digit pair, y + x, y - x and 2 d x y of each.
    #[inline(always)]
    pub fn select_eight(&self, _ifma: Ifma, digit_pairs: &[u8; 8], shift: i32) -> [Tight8; 3] {
        // SAFETY: an `Ifma` exists only where the four features do.
        unsafe {
            let pairs = _mm512_cvtepu8_epi64(_mm_set_epi64x(0, i64::from_le_bytes(*digit_pairs)));
            self.select_nibbles(_mm512_srl_epi64(pairs, _mm_cvtsi32_si128(shift)))
        }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
    #[inline]
    fn select_nibbles(&self, nibbles: __m512i) -> [Tight8; 3] {
        let choice = Choice::new(nibbles);
        let signed = |wants_minus| {
            let index = choice.signed_index(wants_minus);
            Tight8(core::array::from_fn(|k| {
                _mm512_permutex2var_epi64(self.y_plus_x[k], index, self.y_minus_x[k])
            }))
        };
        let twice_dxy = Tight8(core::array::from_fn(|k| {
            let entry = _mm512_permutexvar_epi64(choice.index, self.twice_dxy[k]);
            let twice_p = _mm512_set1_epi64(TWICE_P_PLUS_1[k]);
            let more = _mm512_and_si512(choice.negative, twice_p);
            _mm512_add_epi64(_mm512_xor_si512(entry, choice.negative), more)
        }));
        [signed(_mm512_setzero_si512()), signed(_mm512_set1_epi64(-1)), twice_dxy]
    }
}

#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn build() -> Vec<Window> {
    let mut points = Vec::with_capacity(WINDOW_COUNT * ENTRY_COUNT);
    let mut first = Point::BASE;
    for _ in 0..WINDOW_COUNT {
        let twice = first.double();
        let mut multiple = first;
        for _ in 0..ENTRY_COUNT {
            points.push(multiple);
            multiple = multiple.add(&twice);
        }
        first = (1..8).fold(twice, |point, _| point.double());
    }
    let mut inverses: Vec<Element> = points.iter().map(|point| point.z).collect();
    let mut prefixes = inverses.clone();
    invert_all(&mut inverses, &mut prefixes);
    let affine: Vec<_> = points
        .iter()
        .zip(&inverses)
        .map(|(point, inverse)| (point.x.mul(inverse), point.y.mul(inverse)))
        .collect();
    affine
        .chunks(ENTRY_COUNT)
        .map(|entries| Window {
            y_plus_x: in_lanes(entries, |x, y| y.add(x)),
            y_minus_x: in_lanes(entries, |x, y| y.sub(x)),
            twice_dxy: in_lanes(entries, twice_dxy),
        })
        .collect()
}

/// One coordinate of eight points, fully reduced, one limb to a vector and one point to a lane.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn in_lanes(entries: &[(Element, Element)], coordinate: fn(&Element, &Element) -> Element) -> [__m512i; 5] {
    let limbs: [[u64; 5]; ENTRY_COUNT] = core::array::from_fn(|n| {
        let (x, y) = &entries[n];
        Element::from_bytes(&coordinate(x, y).to_bytes()).0
    });
    core::array::from_fn(|k| {
        let l = limbs.map(|entry| entry[k].cast_signed());
        _mm512_setr_epi64(l[0], l[1], l[2], l[3], l[4], l[5], l[6], l[7])
    })
}
