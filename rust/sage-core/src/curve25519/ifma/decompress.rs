//! From encodings back to points of edwards25519, two at a time, in variable time.
//!
//! The method is that of [`super::portable`]. The power is a chain of 252 squarings, each waiting
//! for the one before, which leaves the multipliers idle for most of the time: two lanes take as long as
//! one. The few products before and after it stay in ordinary registers, where the two points' sequences
//! overlap.
//!
//! # Bounds
//!
//! All elements are carried ("Bounds" in [`super::element`]), and so tight as lanes.

use super::Ifma;
use super::element::Element;
use super::field::{NONE, Tight2};
pub use super::portable::Affine;
use super::portable::Half;

/// The points of two encodings; `None` where there is none, or x = 0 comes with the sign bit.
///
/// A y from p on wraps: whether encodings are canonical is for the caller to ask.
pub fn decompress_two(_ifma: Ifma, encodings: [&[u8; 32]; 2]) -> [Option<Affine>; 2] {
    let halves = encodings.map(Half::new);
    // SAFETY: an `Ifma` exists only where the four features do.
    let powers = unsafe { powers([halves[0].w, halves[1].w]) };
    [0, 1].map(|n| halves[n].point(&powers[n], encodings[n][31] >> 7))
}

/// Both to the power (p - 5) / 8 = 2^252 - 3. Names give the exponent; `ones_n` is 2^n - 1.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn powers(elements: [Element; 2]) -> [Element; 2] {
    let z = Tight2::from_lanes(elements.map(|element| element.0));
    let z2 = squares(&z, 1);
    let z9 = product(&squares(&z2, 2), &z);
    let z11 = product(&z9, &z2);
    let ones_5 = product(&squares(&z11, 1), &z9);
    let ones_10 = product(&squares(&ones_5, 5), &ones_5);
    let ones_20 = product(&squares(&ones_10, 10), &ones_10);
    let ones_40 = product(&squares(&ones_20, 20), &ones_20);
    let ones_50 = product(&squares(&ones_40, 10), &ones_10);
    let ones_100 = product(&squares(&ones_50, 50), &ones_50);
    let ones_200 = product(&squares(&ones_100, 100), &ones_100);
    let ones_250 = product(&squares(&ones_200, 50), &ones_50);
    product(&squares(&ones_250, 2), &z).to_lanes().map(Element)
}

/// The element squared `count` times.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn squares(element: &Tight2, count: usize) -> Tight2 {
    (0..count).fold(*element, |power, _| power.square(NONE).carry())
}

#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
fn product(a: &Tight2, b: &Tight2) -> Tight2 {
    a.mul(b, NONE).carry()
}
