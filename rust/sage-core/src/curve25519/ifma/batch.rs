//! Many multiples of the edwards25519 base point at once: lanes across scalars.
//!
//! # Method
//!
//! Eight scalars share a vector, one to a lane, so that nothing is ever moved between lanes. All
//! odd-position digits ([`super::table`]) are added first, the sum is multiplied by 16, then all
//! even-position digits are added. Up to [`GROUP_LEN`] results share one inversion.
//!
//! Points, and their bounds, are those of [`super::lanes`], on the field of [`super::eight`].
//!
//! # Timing
//!
//! No branch or address depends on a scalar: digits act in register permutations and vector masks.
//! How many scalars there are is public.

use zeroize::Zeroize;

use super::Ifma;
use super::element::Element;
use super::lanes::{Addends, Field, LANE_COUNT, Sums, Work};
use super::point::{Point, invert_all};
use super::table::{Window, digits, windows};

/// Scalars that share an inversion.
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
            points.copy_from_slice(&ifma.apart(Multiples(ifma, windows, &digit_rows)));
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

/// Eight multiples, done apart.
struct Multiples<'a>(Ifma, &'a [Window], &'a [[u8; LANE_COUNT]; 32]);

impl Work for Multiples<'_> {
    type Output = [Point; LANE_COUNT];

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Self(ifma, windows, digit_rows) = self;
        let mut sums = Sums::neutral(ifma);
        for half in [4, 0] {
            for (window, row) in windows.iter().zip(digit_rows) {
                let [y_plus_x, y_minus_x, twice_dxy] = window.select_eight(ifma, row, half);
                sums = sums.plus(ifma, &Addends { y_plus_x, y_minus_x, twice_dxy });
            }
            if half == 4 {
                sums = sums.doubled(ifma, 4);
            }
        }
        sums.points(ifma)
    }
}
