//! Many multiples of the edwards25519 base point at once: lanes across scalars.
//!
//! # Method
//!
//! Eight scalars share a vector, one to a lane, so that nothing is ever moved between lanes. All
//! odd-position digits ([`super::table`]) are added first, the sum is multiplied by 16, then all
//! even-position digits are added. Up to [`GROUP_LEN`] results share one inversion.
//!
//! # Bounds
//!
//! As everywhere, products are combined while wide and carried once. With M = 267 * 2^52 < 2^60.07 for
//! a product and bias limbs between 2^61 - 2^15 and 2^61:
//!
//! * addition: `b + bias - a`, `b + bias + a`, `2 Z + bias - c`, `2 Z + c`, `Y + bias -+ X`: at most
//!   2^61 + 2 M < 2^62.1, and no less than 0, as every subtrahend is a product;
//! * doubling: h = xx + yy is carried before it is subtracted; `(x + y)^2 + bias - h`,
//!   `yy + bias - xx`, `2 zz + bias - g` with g carried: at most 2^61 + 2 M again.
//!
//! # Timing
//!
//! No branch or address depends on a scalar: digits act in register permutations and vector masks.
//! How many scalars there are is public.

use core::arch::x86_64::*;

use zeroize::Zeroize;

use super::Ifma;
use super::element::Element;
use super::field::{ALL, NONE, Tight8, Wide8};
use super::point::{Point, invert_all};
use super::table::{Window, digits, windows};

/// Scalars that share a vector, and scalars that share an inversion.
const LANE_COUNT: usize = 8;
const GROUP_LEN: usize = 64;

/// [s]B as RFC 8032 encodes it, for each of any 256-bit scalars; same length in and out.
///
/// Constant time in the scalars. Cost: eight lanes work whatever the length; 64 scalars take about a
/// third of the time of 64 single calls.
///
/// # Panics
///
/// If the lengths differ.
pub fn mul_base_compressed_many(ifma: Ifma, scalars: &[[u8; 32]], outputs: &mut [[u8; 32]]) {
    assert_eq!(scalars.len(), outputs.len(), "one output for each scalar");
    for (scalars, outputs) in scalars.chunks(GROUP_LEN).zip(outputs.chunks_mut(GROUP_LEN)) {
        let mut group = Group::new(ifma, scalars, digits);
        group.invert(|point| point.z);
        for ((point, inverse), output) in group.results().zip(outputs) {
            *output = point.compressed(inverse);
        }
    }
}

/// Up to `GROUP_LEN` results before their division; wiped when dropped.
struct Group {
    points: [Point; GROUP_LEN],
    inverses: [Element; GROUP_LEN],
    len: usize,
}

impl Group {
    fn new(
        ifma: Ifma,
        scalars: &[[u8; 32]],
        digits_of: impl Fn(&[u8; 32]) -> zeroize::Zeroizing<[u8; 32]>,
    ) -> Self {
        let mut group = Self {
            points: [Point::BASE; GROUP_LEN],
            inverses: [Element::ONE; GROUP_LEN],
            len: scalars.len(),
        };
        let windows = windows(ifma);
        let mut digit_rows = zeroize::Zeroizing::new([[0; LANE_COUNT]; 32]);
        for (eight, points) in scalars.chunks(LANE_COUNT).zip(group.points.chunks_mut(LANE_COUNT)) {
            for (lane, scalar) in eight.iter().enumerate() {
                for (row, digit_pair) in digit_rows.iter_mut().zip(*digits_of(scalar)) {
                    row[lane] = digit_pair;
                }
            }
            // SAFETY: an `Ifma` exists only where the four features do.
            let sum = unsafe { eight_multiples(windows, &digit_rows) };
            points.copy_from_slice(&sum);
        }
        group
    }

    fn invert(&mut self, denominator: impl Fn(&Point) -> Element) {
        let mut prefixes = [Element::ONE; GROUP_LEN];
        for (inverse, point) in self.inverses.iter_mut().zip(&self.points[..self.len]) {
            *inverse = denominator(point);
        }
        invert_all(&mut self.inverses[..self.len], &mut prefixes);
        prefixes.zeroize();
    }

    fn results(&self) -> impl Iterator<Item = (&Point, &Element)> {
        self.points.iter().zip(&self.inverses).take(self.len)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.points.zeroize();
        self.inverses.zeroize();
    }
}

/// Eight points as sums of table entries: (Y + X, Y - X, Z, T).
pub struct Sums {
    pub y_plus_x: Tight8,
    pub y_minus_x: Tight8,
    pub z: Tight8,
    pub t: Tight8,
}

#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn eight_multiples(windows: &[Window], digit_rows: &[[u8; LANE_COUNT]; 32]) -> [Point; 8] {
    let mut sums = neutral();
    for half in [4, 0] {
        let shift = _mm_cvtsi32_si128(half);
        for (window, row) in windows.iter().zip(digit_rows) {
            let pairs = _mm512_cvtepu8_epi64(_mm_set_epi64x(0, i64::from_le_bytes(*row)));
            sums = add(&sums, &window.select_eight(_mm512_srl_epi64(pairs, shift)));
        }
        if half == 4 {
            sums = times_sixteen(&sums);
        }
    }
    let [plus, minus, z, t] = [sums.y_plus_x, sums.y_minus_x, sums.z, sums.t].map(|limbs| limbs.to_lanes());
    core::array::from_fn(|n| Point::from_sum_and_difference([plus[n], minus[n], z[n], t[n]].map(Element)))
}

/// Eight times the neutral element.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
pub fn neutral() -> Sums {
    let zero = Tight8([_mm512_setzero_si512(); 5]);
    let mut one = zero;
    one.0[0] = _mm512_set1_epi64(1);
    Sums { y_plus_x: one, y_minus_x: one, z: one, t: zero }
}

/// The sums plus entries (y + x, y - x, 2 d x y).
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
pub fn add(sums: &Sums, [y_plus_x, y_minus_x, twice_dxy]: &[Tight8; 3]) -> Sums {
    let a = sums.y_minus_x.mul(y_minus_x, NONE);
    let b = sums.y_plus_x.mul(y_plus_x, ALL);
    let c = sums.t.mul(twice_dxy, NONE);
    let z = Wide8::from_tight(&sums.z);
    let d = z.add(&z);
    let e = b.sub(&a).carry();
    let h = b.add(&a).carry();
    let f = d.add(&Wide8::bias()).sub(&c).carry();
    let g = d.add(&c).carry();
    from_factors(&e, &f, &g, &h)
}

#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
fn times_sixteen(sums: &Sums) -> Sums {
    let twice = |limbs: &Tight8| {
        let wide = Wide8::from_tight(limbs);
        wide.add(&wide).carry()
    };
    let plus = Wide8::from_tight(&sums.y_plus_x);
    let minus = Wide8::from_tight(&sums.y_minus_x);
    // Twice each coordinate, which is the same point.
    let mut x = plus.add(&Wide8::bias()).sub(&minus).carry();
    let mut y = plus.add(&minus).carry();
    let mut z = twice(&sums.z);
    for _ in 0..3 {
        let (e, f, g, h) = double(&x, &y, &z);
        (x, y, z) = (e.mul(&f, NONE).carry(), g.mul(&h, NONE).carry(), f.mul(&g, NONE).carry());
    }
    let (e, f, g, h) = double(&x, &y, &z);
    from_factors(&e, &f, &g, &h)
}

/// Factors (e, f, g, h) of the doubles of (X, Y, Z).
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
pub fn double(x: &Tight8, y: &Tight8, z: &Tight8) -> (Tight8, Tight8, Tight8, Tight8) {
    let bias = Wide8::bias();
    let xx = x.square(NONE);
    let yy = y.square(NONE);
    let zz = z.square(NONE);
    let x_plus_y = Wide8::from_tight(x).add(&Wide8::from_tight(y)).carry();
    let h = xx.add(&yy).carry();
    let e = x_plus_y.square(ALL).sub(&Wide8::from_tight(&h)).carry();
    let g = yy.add(&bias).sub(&xx).carry();
    let f = zz.add(&zz).add(&bias).sub(&Wide8::from_tight(&g)).carry();
    (e, f, g, h)
}

/// Sums from factors.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
#[inline]
pub fn from_factors(e: &Tight8, f: &Tight8, g: &Tight8, h: &Tight8) -> Sums {
    let x = e.mul(f, NONE);
    let y = g.mul(h, ALL);
    Sums {
        y_plus_x: y.add(&x).carry(),
        y_minus_x: y.sub(&x).carry(),
        z: f.mul(g, NONE).carry(),
        t: e.mul(h, NONE).carry(),
    }
}
