//! Multiples of the edwards25519 base point, for signing and for key pairs.
//!
//! # Method
//!
//! The scalar's 64 odd digits ([`super::windows`]) are split into even and odd positions. Two sums run
//! side by side in one vector, lanes 0..=3 for the even positions and 4..=7 for the odd, each adding
//! one table entry a window; at the end the odd sum is multiplied by 16 and the two are joined.
//!
//! An addition (Hisil, Wong, Carter and Dawson; complete, so no special cases) is two products deep,
//! four lanes each. A sum is kept as (Y + X, Y - X, Z, T):
//!
//! ```text
//! first:   b = (Y + X)(y + x)   a = (Y - X)(y - x)   d = 2 Z   c = T 2dxy
//!          h = b + a            e = b - a            g = d + c   f = d - c
//! second:  Y = h g              X = e f              Z = g f     T = e h
//! ```
//!
//! and a doubling, with every factor twice that of the usual formulas, which is the same point, has
//!
//! ```text
//! first:   p = (Y + X)^2        q = (Y - X)^2        zz = Z^2    g = (Y + X)(Y - X)
//!          2 h = p + q          2 e = p - q          2 g         2 f = 4 zz - 2 g
//! ```
//!
//! # Bounds
//!
//! Minuends carry the bias ("Bias" in [`super::field`]). The largest combination is 2 f, below
//! 4 (2^61 + 2^60.07) < 2^63.7; the least is p - q, above zero by "Bias". All are then carried.
//!
//! # Timing
//!
//! No branch or address depends on the scalar; digits act in register permutations and vector masks
//! only. Digits, the sums and the coordinates are wiped where they lie in memory.

use core::arch::x86_64::*;

use zeroize::Zeroize;

use super::element::Element;
use super::field::{EVEN, Tight4, Wide4};
use super::inversion::inverse;
use super::point::Point;
use super::selection::select_two;
use super::windows::{Window, digits, windows};
use super::{Ifma, clamp};

/// [s]B as RFC 8032 encodes it, for any 256-bit little-endian scalar s. Constant time.
#[must_use]
pub fn mul_base_compressed(ifma: Ifma, scalar: &[u8; 32]) -> [u8; 32] {
    let mut point = mul_base(ifma, scalar);
    let mut z_inverse = inverse(&point.z);
    let bytes = point.compressed(&z_inverse);
    point.zeroize();
    z_inverse.zeroize();
    bytes
}

/// The X25519 public key of `scalar`: X25519(scalar, 9) of RFC 7748. Constant time.
#[must_use]
pub fn x25519_base(ifma: Ifma, scalar: &[u8; 32]) -> [u8; 32] {
    let mut point = mul_base(ifma, &clamp(scalar));
    let (mut numerator, mut denominator) = point.u_fraction();
    let bytes = numerator.mul(&inverse(&denominator)).to_bytes();
    point.zeroize();
    numerator.zeroize();
    denominator.zeroize();
    bytes
}

fn mul_base(_ifma: Ifma, scalar: &[u8; 32]) -> Point {
    // SAFETY: an `Ifma` exists only where the four features do.
    let mut lanes = unsafe { two_sums(windows(), &digits(scalar)) };
    let [mut even, mut odd] =
        lanes.map(|coordinates| Point::from_sum_and_difference(coordinates.map(Element)));
    lanes.zeroize();
    let joined = odd.add(&even);
    even.zeroize();
    odd.zeroize();
    joined
}

/// The sum over even and 16 times the sum over odd positions, each as (Y + X, Y - X, Z, T).
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn two_sums(windows: &[Window], digits: &[u8; 32]) -> [[[u64; 5]; 4]; 2] {
    // The neutral element: X = 0, Y = Z = 1, T = 0.
    let mut neutral = Tight4([_mm256_setzero_si256(); 5]);
    neutral.0[0] = _mm256_setr_epi64x(1, 1, 1, 0);
    let (mut even, mut odd) = (neutral, neutral);
    let nibble = _mm512_setr_epi64(0, 0, 0, 0, 4, 4, 4, 4);
    for (window, digit_pair) in windows.iter().zip(digits) {
        let pair = _mm512_set1_epi64(i64::from(*digit_pair));
        let (to_even, to_odd) = select_two(window, _mm512_srlv_epi64(pair, nibble)).halves();
        let (even_factors, odd_factors) = (factors(&even, &to_even), factors(&odd, &to_odd));
        (even, odd) = (sum(&even_factors), sum(&odd_factors));
    }
    for _ in 0..4 {
        odd = sum(&doubling_factors(&odd));
    }
    [even.to_lanes(), odd.to_lanes()]
}

/// (h, e, g, f) of a sum and an entry.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
pub fn factors(sum: &Tight4, entry: &Tight4) -> Tight4 {
    let products = sum.mul(entry, EVEN);
    products.sums_and_differences().carry()
}

/// (h, e, g, f) of a sum's double.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
pub fn doubling_factors(sum: &Tight4) -> Tight4 {
    // (Y + X, Y - X, Z, Y + X) times (Y + X, Y - X, Z, Y - X).
    let left = Tight4(sum.0.map(|limb| _mm256_permute4x64_epi64::<0b00_10_01_00>(limb)));
    let right = Tight4(sum.0.map(|limb| _mm256_permute4x64_epi64::<0b01_10_01_00>(limb)));
    let products = left.mul(&right, EVEN);
    // (p, q, zz, g), the bias in p and zz, to 2 (h, e, g, f) = (p + q, p - q, 2 g, 4 zz - 2 g).
    Wide4(products.0.map(|limb| {
        let swapped = _mm256_shuffle_epi32::<0b01_00_11_10>(limb);
        let twice = _mm256_add_epi64(swapped, swapped);
        let f = _mm256_sub_epi64(twice, limb);
        let h = _mm256_add_epi64(limb, swapped);
        let h_e = _mm256_mask_sub_epi64(h, 0b0010, swapped, limb);
        let h_e_g = _mm256_mask_mov_epi64(h_e, 0b0100, twice);
        _mm256_mask_add_epi64(h_e_g, 0b1000, f, f)
    }))
    .carry()
}

/// The new sum from (h, e, g, f).
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
pub fn sum(factors: &Tight4) -> Tight4 {
    const FIRST: __mmask8 = 0b0001;
    const SECOND: __mmask8 = 0b0010;
    // (h, e, g, e) times (g, f, f, h) is (Y, X, Z, T), the bias in Y.
    let left = Tight4(factors.0.map(|limb| _mm256_permute4x64_epi64::<0b01_10_01_00>(limb)));
    let right = Tight4(factors.0.map(|limb| _mm256_permute4x64_epi64::<0b00_11_11_10>(limb)));
    let coordinates = left.mul(&right, EVEN);
    Wide4(coordinates.0.map(|limb| {
        let swapped = _mm256_shuffle_epi32::<0b01_00_11_10>(limb);
        let sum = _mm256_mask_add_epi64(limb, FIRST, limb, swapped);
        _mm256_mask_sub_epi64(sum, SECOND, swapped, limb)
    }))
    .carry()
}
