//! Many multiples of the base point at once, in lanes ([`super::lanes`]), in constant time.
//!
//! How many scalars there are is public. Up to [`GROUP_LEN`] results share one inversion. Digits, points and what is
//! inverted are wiped where they lie in memory.

use zeroize::{Zeroize, Zeroizing};

use super::element::Element;
use super::ifma::clamp;
use super::lanes::{LANE_COUNT, Unit, worthwhile_count};
use super::path::Path;
use super::point::{Point, invert_all};
use super::windows::{WINDOW_COUNT, digits};

/// Scalars that share an inversion.
const GROUP_LEN: usize = 64;

/// The lanes that such multiples are computed in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BaseLanes(Unit);

impl BaseLanes {
    /// `None` where there are no lanes, or they are not to be taken.
    pub(crate) fn taken() -> Option<Self> {
        Path::taken().unit().map(Self)
    }

    /// Those of each path of this processor.
    #[cfg(test)]
    pub(crate) fn of_every_path() -> Vec<Self> {
        Path::units().map(Self).collect()
    }

    /// How many of so many multiples are worth being computed here: what is left is cheaper one by one.
    pub(crate) fn worthwhile_count(self, count: usize) -> usize {
        // With IFMA one by one is quicker, too. Beside lanes on AVX2 it is slower by half.
        let pay_from = match self.0 {
            Unit::Ifma(_) | Unit::Avx512(_) => 3,
            Unit::Avx2(_) => 6,
        };
        worthwhile_count(count, pay_from)
    }

    /// [s]B as RFC 8032 encodes it, for each of any 256-bit scalars.
    ///
    /// Constant time in the scalars. Cost: eight lanes work whatever the length.
    pub(crate) fn multiples(self, scalars: &[[u8; 32]]) -> Vec<[u8; 32]> {
        let mut encodings = Vec::with_capacity(scalars.len());
        for scalars in scalars.chunks(GROUP_LEN) {
            let mut group = Group::new(self.0, scalars);
            group.invert(|point| point.z);
            encodings.extend(group.results().map(|(point, inverse)| point.compressed(inverse)));
        }
        encodings
    }

    /// The public share of each X25519 secret: the u-coordinate of its clamped multiple.
    ///
    /// Constant time and cost as for [`BaseLanes::multiples`].
    pub(crate) fn shares(self, secrets: &[&[u8; 32]]) -> Vec<[u8; 32]> {
        let mut shares = Vec::with_capacity(secrets.len());
        for secrets in secrets.chunks(GROUP_LEN) {
            let scalars: Zeroizing<Vec<_>> =
                Zeroizing::new(secrets.iter().map(|secret| *clamp(secret)).collect());
            let mut group = Group::new(self.0, &scalars);
            // No clamped scalar is a multiple of the point's order, so no denominator is 0.
            group.invert(|point| point.u_fraction().1);
            shares.extend(group.results().map(|(point, inverse)| {
                let mut numerator = point.u_fraction().0;
                let share = numerator.mul(inverse).to_bytes();
                numerator.zeroize();
                share
            }));
        }
        shares
    }
}

/// Up to `GROUP_LEN` results before their division; wiped when dropped.
struct Group {
    points: [Point; GROUP_LEN],
    inverses: [Element; GROUP_LEN],
    len: usize,
}

impl Group {
    fn new(unit: Unit, scalars: &[[u8; 32]]) -> Self {
        let mut group = Self {
            points: [Point::BASE; GROUP_LEN],
            inverses: [Element::ONE; GROUP_LEN],
            len: scalars.len(),
        };
        let mut digit_rows = Zeroizing::new([[0; LANE_COUNT]; WINDOW_COUNT]);
        for (eight, points) in scalars.chunks(LANE_COUNT).zip(group.points.chunks_mut(LANE_COUNT)) {
            for (lane, scalar) in eight.iter().enumerate() {
                for (row, digit_pair) in digit_rows.iter_mut().zip(*digits(scalar)) {
                    row[lane] = digit_pair;
                }
            }
            points.copy_from_slice(&unit.base_multiples(&digit_rows));
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
