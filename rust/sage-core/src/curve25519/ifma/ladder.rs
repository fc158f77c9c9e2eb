//! X25519 by a Montgomery ladder two multiplications deep.
//!
//! # The step
//!
//! Write P for the input point with coordinate x1 (Z = 1) and Q, Q + P for the ladder's pair. A step
//! doubles one of the two and adds them. The usual formulas, with (s, d) = (X + Z, X - Z) of each,
//! multiply to depth three, as the sum ends with Z = x1 (..)^2. Here the last sum R also carries its
//! *companion* x1 R, that is (x1 X, x1 Z), which takes that multiplication off the critical path at
//! the price of four more products, all in lanes that would be idle.
//!
//! Let R be the last sum with companion R', D the last double; S is the one to be doubled.
//!
//! ```text
//! first:   v  = Rs Dd      u  = Rd Ds      v' = R's Dd     u' = R'd Ds      (four lanes)
//!          aa = Ss^2       bb = Sd^2                                        (two lanes)
//!          s  = v + u      d  = v - u      s' = v' + u'    d' = v' - u'
//!          e  = aa - bb    f  = aa + 121665 e
//! second:  X  = s s        Z  = d d'       X' = s s'       Z' = d' d'       (four lanes)
//!          Xd = aa bb      Zd = e f                                         (two lanes)
//! ```
//!
//! As v' = x1 v and u' = x1 u, this is Z = x1 d^2, X' = x1 X and Z' = x1 Z: the usual sum and its
//! companion. Only (X + Z, X - Z) of each is kept. The addition is symmetric in R and D, so there is
//! no swap: the scalar's bits choose S and nothing else. R and D trade roles when a bit differs from
//! the bit before, so S = R exactly then. Every formula is a polynomial identity in x1, X and Z, so
//! results agree with the usual ladder for every input, low orders and x1 = 0 included.
//!
//! # Bounds
//!
//! Products are combined pairwise while wide and then carried ("Bias" in [`super::field`]). The sum
//! f adds, to aa with its bias below 2^62, a low half below 2^52, twice a high half below 2^17 and,
//! in limb 0, 38 times one: below 2^63.
//!
//! # Timing
//!
//! The scalar's bits become all-ones or all-zero words behind an optimisation barrier and act in a
//! vector select. Nothing else depends on secrets. The scalar's copy is wiped; the vectors of the
//! ladder's state live in registers, and where the compiler spills them they are overwritten by the
//! next step and hold at the end only the result before its division.

use core::arch::x86_64::*;

use zeroize::Zeroize;

use super::element::Element;
use super::field::{EVEN, Tight2, Tight4, Wide2};
use super::inversion::inverse;
use super::opaque::opaque;
use super::{Ifma, clamp};

/// (A - 2) / 4 of the curve y^2 = x^3 + 486662 x^2 + x.
const A24: i64 = 121_665;

/// X25519 (RFC 7748, section 5): the u-coordinate of the clamped scalar times the point `u`.
///
/// The top bit of `u` is ignored; values from p on wrap. The result is all zero exactly when `u` is
/// a point of low order: the caller checks. Constant time in both inputs.
#[must_use]
pub fn x25519(_ifma: Ifma, scalar: &[u8; 32], u: &[u8; 32]) -> [u8; 32] {
    let clamped = clamp(scalar);
    // SAFETY: an `Ifma` exists only where the four features do.
    let (mut x, mut z) = unsafe { ladder(&clamped, &Element::from_bytes(u)) };
    let shared = x.mul(&inverse(&z)).to_bytes();
    x.zeroize();
    z.zeroize();
    shared
}

/// (X : Z) of the clamped scalar times the point x1.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn ladder(clamped: &[u8; 32], x1: &Element) -> (Element, Element) {
    let mut sum = first_sum(x1);
    // The neutral element (1 : 0).
    let mut double = Tight2([_mm_setzero_si128(); 5]);
    double.0[0] = _mm_set1_epi64x(1);
    let mut bit_before = 0;
    for position in (0..255).rev() {
        let bit = u64::from(clamped[position / 8] >> (position % 8) & 1);
        let choice = opaque((bit ^ bit_before).wrapping_neg());
        bit_before = bit;
        (sum, double) = step(&sum, &double, choice);
    }
    // The last bit is 0, so Q is the last double.
    let [s, d] = double.to_lanes().map(Element);
    (s.add(&d), s.sub(&d))
}

/// P and its companion: (x1 + 1, x1 - 1, x1^2 + x1, x1^2 - x1).
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn first_sum(x1: &Element) -> Tight4 {
    let square = x1.square();
    let lanes = [
        x1.add(&Element::ONE).carried().0,
        x1.sub(&Element::ONE).carried().0,
        square.add(x1).carried().0,
        square.sub(x1).carried().0,
    ]
    .map(|limbs| limbs.map(u64::cast_signed));
    Tight4(core::array::from_fn(|k| _mm256_setr_epi64x(lanes[0][k], lanes[1][k], lanes[2][k], lanes[3][k])))
}

/// One step: the new sum with its companion, and the new double; `choice` is all ones to double the
/// sum, zero to double the double.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
fn step(sum: &Tight4, double: &Tight2, choice: u64) -> (Tight4, Tight2) {
    let mask = _mm_set1_epi64x(choice.cast_signed());
    let chosen = Tight2(core::array::from_fn(|k| {
        let of_sum = _mm256_castsi256_si128(sum.0[k]);
        // mask ? of_sum : double
        _mm_ternarylogic_epi64::<0xca>(mask, of_sum, double.0[k])
    }));
    let (aa_e, bb_f) = double_factors(&chosen.square(EVEN));

    let crossed =
        Tight4(double.0.map(|limb| _mm256_permute4x64_epi64::<0b00_01_00_01>(_mm256_castsi128_si256(limb))));
    let products = sum.mul(&crossed, EVEN);
    let factors = products.sums_and_differences().carry();
    // (s, d, s', d') and (s, d', s, d').
    let partners = Tight4(factors.0.map(|limb| _mm256_permute4x64_epi64::<0b11_00_11_00>(limb)));

    let new_double = aa_e.mul(&bb_f, EVEN);
    let new_sum = factors.mul(&partners, EVEN);
    (new_sum.sums_and_differences().carry(), new_double.sums_and_differences().carry())
}

/// From (aa, bb), the bias in aa, to the factors (aa, e) and (bb, f).
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
fn double_factors(squares: &Wide2) -> (Tight2, Tight2) {
    const UPPER: __mmask8 = 0b10;
    let swapped = squares.0.map(|limb| _mm_shuffle_epi32::<0b01_00_11_10>(limb));
    let aa_e =
        Wide2(core::array::from_fn(|k| _mm_mask_sub_epi64(squares.0[k], UPPER, swapped[k], squares.0[k])))
            .carry();
    let a24 = _mm_set_epi64x(A24, 0);
    let high = aa_e.0.map(|limb| _mm_madd52hi_epu64(_mm_setzero_si128(), limb, a24));
    let low: [__m128i; 5] = core::array::from_fn(|k| _mm_madd52lo_epu64(swapped[k], aa_e.0[k], a24));
    let bb_f = Wide2([
        _mm_madd52lo_epu64(low[0], high[4], _mm_set1_epi64x(38)),
        _mm_add_epi64(low[1], _mm_add_epi64(high[0], high[0])),
        _mm_add_epi64(low[2], _mm_add_epi64(high[1], high[1])),
        _mm_add_epi64(low[3], _mm_add_epi64(high[2], high[2])),
        _mm_add_epi64(low[4], _mm_add_epi64(high[3], high[3])),
    ])
    .carry();
    (aa_e, bb_f)
}
