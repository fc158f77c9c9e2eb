//! Odd multiples of the base point, and the digits of secret scalars that select among them.
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
//! coordinate; its eight words are the eight multiples: 15 vectors, 960 bytes a window, 30 KiB.
//!
//! # Selection and timing
//!
//! How a digit selects is each kernel's own (`ifma::selection`, `lanes::base_multiples`), but for all of them
//! a window is read in full whatever the digit, and addresses depend on w alone.
//!
//! The table is built at first use, from public values only, so building may take any time.

use std::sync::OnceLock;

use zeroize::{Zeroize, Zeroizing};

use super::element::Element;
use super::opaque::opaque;
use super::point::{Point, invert_all, twice_dxy};

pub const WINDOW_COUNT: usize = 32;
/// Multiples in a window.
pub const MULTIPLE_COUNT: usize = 8;

/// One limb of eight multiples.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Row(pub [u64; MULTIPLE_COUNT]);

/// The odd multiples of 256^w B, fully reduced.
pub struct Window {
    pub y_plus_x: [Row; 5],
    pub y_minus_x: [Row; 5],
    pub twice_dxy: [Row; 5],
}

/// The windows, built at first use.
pub fn windows() -> &'static [Window] {
    static WINDOWS: OnceLock<Vec<Window>> = OnceLock::new();
    WINDOWS.get_or_init(build)
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

fn build() -> Vec<Window> {
    let mut points = Vec::with_capacity(WINDOW_COUNT * MULTIPLE_COUNT);
    let mut first = Point::BASE;
    for _ in 0..WINDOW_COUNT {
        let twice = first.double();
        let mut multiple = first;
        for _ in 0..MULTIPLE_COUNT {
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
        .chunks(MULTIPLE_COUNT)
        .map(|multiples| Window {
            y_plus_x: rows(multiples, |x, y| y.add(x)),
            y_minus_x: rows(multiples, |x, y| y.sub(x)),
            twice_dxy: rows(multiples, twice_dxy),
        })
        .collect()
}

/// One coordinate of eight points, fully reduced, one limb to a row.
fn rows(multiples: &[(Element, Element)], coordinate: fn(&Element, &Element) -> Element) -> [Row; 5] {
    let limbs: [[u64; 5]; MULTIPLE_COUNT] = core::array::from_fn(|n| {
        let (x, y) = &multiples[n];
        Element::from_bytes(&coordinate(x, y).to_bytes()).0
    });
    core::array::from_fn(|k| Row(limbs.map(|limbs| limbs[k])))
}
