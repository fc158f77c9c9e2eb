//! The inverse of one element by divsteps, in constant time.
//!
//! # Method
//!
//! Bernstein and Yang, "Fast constant-time gcd computation and modular inversion" (2019), with delta
//! starting at 1/2. A divstep maps (delta, f, g), f odd, to
//!
//! ```text
//! (1 - delta, g, (g - f) / 2)                 if delta > 0 and g is odd
//! (1 + delta, f, (g + (g mod 2) f) / 2)       otherwise
//! ```
//!
//! From odd f = p and 0 <= g < p < 2^256, 590 divsteps always end with g = 0 and f = 1 or -1, by the
//! convex-hull argument of P. Wuille (from g = 0, f stays p); further ones change nothing. 600 run here,
//! in [`BATCH_COUNT`] batches of [`STEP_COUNT`]: 60 divsteps look only at the low 60 bits of f and g and
//! yield a matrix (u v; q r) with 2^60 (f', g') = (u f + v g, q f + r g). The same matrix acts on (d, e),
//! which start at (0, 1) and keep d x = f, e x = g modulo p. At the end d, with the sign of f, is 1 / x;
//! and 0 for x = 0, as then d stays 0.
//!
//! # Packing
//!
//! A batch is four runs of [`RUN_LEN`] = 15 divsteps. A run keeps 15 bits of f and the row (u, v) in one
//! word, f + 2^32 u + 2^50 v, likewise g + 2^32 q + 2^50 r, so that one addition serves three numbers.
//! Only the g word is halved: after n steps both rows are 2^-n times the integers they stand for. Their
//! fields are still even, so that the word's parity is g's, until the run ends with f + 2^17 u + 2^35 v
//! for integers |u| + |v| <= 2^15 and |f| < 2^15: far enough apart to be read back by rounding.
//!
//! # Bounds
//!
//! Numbers have five limbs of 60 bits; the low four are in 0..2^60, the top one has the sign. Matrix rows
//! satisfy |u| + |v| <= 2^60 and |q| + |r| <= 2^60.
//!
//! * f and g stay within -p..=p, since a row's weights sum to at most 2^60.
//! * d and e stay strictly between -2p and p. In a batch, p is first added to what is negative, so
//!   |u d + v e| < 2^60 p; then a multiple k p, 0 <= k < 2^60, is taken away to make the sum divisible
//!   by 2^60: it lies between -2^61 p and 2^60 p, the quotient between -2p and p.
//! * p = 2^255 - 19 is two limbs: -19 at weight 1 and 2^15 at weight 2^240. A column is two products of
//!   at most 2^120 together, 2^15 times a 62-bit number and a carry: an `i128` has room.
//!
//! # Timing
//!
//! 600 divsteps always; conditions are masks behind an optimisation barrier.

use zeroize::Zeroize;

use super::element::Element;
use super::opaque::opaque;

const BATCH_COUNT: usize = 10;
const STEP_COUNT: usize = 60;
const RUN_LEN: usize = 15;
const LOW_60: u64 = (1 << 60) - 1;

/// 1 / 19 modulo 2^60.
const INVERSE_OF_19: u64 = 0x6bc_a1af_286b_ca1b;

/// A signed number in limbs of 60 bits.
type Limbs = [i64; 5];

/// p in signed limbs.
const P: Limbs = [-19, 0, 0, 0, 1 << 15];

/// 1 / `element`, and 0 for 0. Constant time.
pub fn inverse(element: &Element) -> Element {
    const ONES: i64 = LOW_60.cast_signed();
    let mut f = [ONES - 18, ONES, ONES, ONES, P[4] - 1];
    let mut g = from_element(element);
    let mut d = [0; 5];
    let mut e = [1, 0, 0, 0, 0];
    let mut zeta = -1;
    for _ in 0..BATCH_COUNT {
        let matrix;
        (zeta, matrix) = divsteps(zeta, f[0], g[0]);
        (f, g) = apply(&matrix, &f, &g, &[[0; 2]; 5]);
        (d, e) = apply_modulo(&matrix, &d, &e);
    }
    let inverse = to_element(&d, sign(f[4]));
    f.zeroize();
    g.zeroize();
    d.zeroize();
    e.zeroize();
    inverse
}

/// Rows (u, v) and (q, r).
type Matrix = [[i64; 2]; 2];

/// 60 divsteps on the low limbs of f and g, as four runs; zeta = -(delta + 1/2).
#[inline]
fn divsteps(mut zeta: i64, mut f: i64, mut g: i64) -> (i64, Matrix) {
    let mut product = [[1, 0], [0, 1]];
    for _ in 0..STEP_COUNT / RUN_LEN {
        let run;
        (zeta, run) = packed_divsteps(zeta, f, g);
        product = run.map(|[x, y]| [0, 1].map(|column| x * product[0][column] + y * product[1][column]));
        [f, g] = run.map(|[x, y]| x.wrapping_mul(f).wrapping_add(y.wrapping_mul(g)) >> RUN_LEN);
    }
    (zeta, product)
}

/// 15 divsteps on words that hold a row and its number at once ("Packing" above).
#[inline]
fn packed_divsteps(mut zeta: i64, f: i64, g: i64) -> (i64, Matrix) {
    const LOW: i64 = (1 << RUN_LEN) - 1;
    let mut f = (f & LOW) + (1 << 32);
    let mut g = (g & LOW) + (1 << 50);
    for _ in 0..RUN_LEN {
        let positive = sign(zeta); // delta > 0
        let odd = opaque((g & 1).cast_unsigned().wrapping_neg()).cast_signed();
        let signed = (f ^ positive) - positive;
        let swap = positive & odd;
        (f, g) = (f ^ ((f ^ g) & swap), (g + (signed & odd)) >> 1);
        zeta = (zeta ^ swap) - 1;
    }
    let unpack = |word: i64| {
        let rounded = word + (1 << 16);
        [rounded << 29 >> 46, (rounded + (1 << 34)) >> 35]
    };
    (zeta, [unpack(f), unpack(g)])
}

/// All ones below zero, else zero.
#[inline]
fn sign(word: i64) -> i64 {
    opaque((word >> 63).cast_unsigned()).cast_signed()
}

fn product(x: i64, y: i64) -> i128 {
    i128::from(x) * i128::from(y)
}

/// Both rows times (a, b), plus `more`, divided by 2^60, which divides them.
#[inline]
fn apply(matrix: &Matrix, a: &Limbs, b: &Limbs, more: &[[i128; 2]; 5]) -> (Limbs, Limbs) {
    let row = |n: usize| {
        let [x, y] = matrix[n];
        let limb = |k: usize| product(x, a[k]) + product(y, b[k]) + more[k][n];
        let mut out = [0; 5];
        let mut carry = limb(0) >> 60;
        for k in 1..5 {
            carry += limb(k);
            out[k - 1] = carry as i64 & LOW_60.cast_signed();
            carry >>= 60;
        }
        out[4] = carry as i64;
        out
    };
    (row(0), row(1))
}

/// The same modulo p, where 2^60 need not divide the rows' products at first.
#[inline]
fn apply_modulo(matrix: &Matrix, d: &Limbs, e: &Limbs) -> (Limbs, Limbs) {
    let [d_negative, e_negative] = [d, e].map(|limbs| sign(limbs[4]));
    let mut more = [[0; 2]; 5];
    for (n, &[x, y]) in matrix.iter().enumerate() {
        let start = (x & d_negative) + (y & e_negative);
        let low = x.wrapping_mul(d[0]).wrapping_add(y.wrapping_mul(e[0]));
        // low - 19 m = 0 modulo 2^60 for m = start - k.
        let wanted = low.cast_unsigned().wrapping_mul(INVERSE_OF_19);
        let k = start.cast_unsigned().wrapping_sub(wanted) & LOW_60;
        let m = start - k.cast_signed();
        more[0][n] = product(m, P[0]);
        more[4][n] = product(m, P[4]);
    }
    apply(matrix, d, e, &more)
}

fn from_element(element: &Element) -> Limbs {
    let mut bytes = element.to_bytes();
    let mut words = [0u64; 5];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    bytes.zeroize();
    let limb = |k: usize| {
        let (word, bit) = (60 * k / 64, 60 * k % 64);
        let pair = u128::from(words[word]) | u128::from(words[(word + 1).min(4)]) << 64;
        ((pair >> bit) as u64 & LOW_60).cast_signed()
    };
    core::array::from_fn(limb)
}

/// `number`, or minus `number` for `negate` = -1, from between -2p and 2p.
fn to_element(number: &Limbs, negate: i64) -> Element {
    // Plus 2 p: between 0 and 4 p < 2^257.
    let mut carry = 0;
    let limbs: [u64; 5] = core::array::from_fn(|k| {
        carry += (number[k] ^ negate) - negate + 2 * P[k];
        let limb = if k < 4 { carry & LOW_60.cast_signed() } else { carry };
        carry >>= 60;
        limb.cast_unsigned()
    });
    let l = limbs.map(u128::from);
    let low = |bits: u128| bits as u64 & ((1 << 51) - 1);
    Element([
        low(l[0]),
        low(l[0] >> 51 | l[1] << 9),
        low(l[1] >> 42 | l[2] << 18),
        low(l[2] >> 33 | l[3] << 27),
        (l[3] >> 24 | l[4] << 36) as u64,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_the_element_is_one() {
        let mut x = Element::ONE;
        for n in 1..20_000u64 {
            let small = Element([n, 0, 0, 0, 0]);
            let power = Element(core::array::from_fn(|k| u64::from(n % 5 == k as u64) << (n % 51)));
            for value in [x, small, power, Element([0; 5]).sub(&small).carried()] {
                let one = inverse(&value).mul(&value).to_bytes();
                assert_eq!(one, Element::ONE.to_bytes(), "{:x?}", value.0);
            }
            x = x.square().add(&Element([n + 3, n, 1, n, 2])).carried();
        }
    }

    #[test]
    fn zero_has_inverse_zero() {
        let low = (1 << 51) - 1;
        for zero in [[0; 5], [low - 18, low, low, low, low]] {
            assert_eq!(inverse(&Element(zero)).to_bytes(), [0; 32]);
        }
    }
}
