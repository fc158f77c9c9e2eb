//! Eight signatures, verifications or agreements side by side, one to a lane of vectors.
//!
//! # Layers
//!
//! What a signature asks of the curve is written once, over [`field::Field`]: points in `point`, multiples of the base
//! point, to sign with, in `base_multiples`, sums for keys with tables in `known_keys`, for others in `cold_keys`. What an
//! agreement asks is in `ladder`. Nothing is ever moved between lanes but entries of tables, so each lane is an operation
//! of its own, and what it gives depends on no neighbour.
//!
//! There are three fields, from the fastest to the slowest: on IFMA (`ifma::eight`), and in double precision
//! (`doubles`) on AVX-512 F or on AVX2 with FMA, which differ in their vectors only (`vectors`).
//!
//! # What is secret
//!
//! Scalars to sign with and to agree with, and what is agreed. So points and fields are straight-line code, and
//! `base_multiples` and `ladder` select without addresses. Verification is on public data, and selects as is quickest.
//!
//! # Work apart
//!
//! A function may use a unit's instructions only if it is compiled for them, and generic code is not. So generic functions
//! are always inlined into [`Work`], which a field runs in a function that is compiled for its unit. Closures cannot be
//! made to, so whatever touches vectors is written without any.

use super::element::Element;
use super::ifma::Ifma;
use super::point::Point;
use super::windows::windows;

/// One expression for each of five limbs, since a closure would be compiled without the unit.
macro_rules! each_limb {
    ($k:ident => $limb:expr) => {
        [
            {
                let $k = 0;
                $limb
            },
            {
                let $k = 1;
                $limb
            },
            {
                let $k = 2;
                $limb
            },
            {
                let $k = 3;
                $limb
            },
            {
                let $k = 4;
                $limb
            },
        ]
    };
}
pub(super) use each_limb;

mod avx2;
mod avx512;
mod base_multiples;
mod cold_keys;
mod doubles;
mod field;
mod known_keys;
mod ladder;
mod point;
#[cfg(test)]
mod tests;
mod vectors;

pub use self::avx2::Avx2;
pub use self::avx512::Avx512;
use self::base_multiples::BaseMultiples;
pub use self::base_multiples::DigitRows;
pub use self::cold_keys::Equations;
use self::doubles::Doubles;
pub use self::field::Field;
use self::known_keys::Combinations;
pub use self::known_keys::Terms;
use self::ladder::Ladders;
pub use self::ladder::ScalarBits;
pub use self::vectors::Vectors;

/// Lanes of all units.
pub const LANE_COUNT: usize = 8;

/// How many of so many go in lanes, if eight lanes pay when so many of them are filled: what is left is
/// cheaper one by one.
pub fn worthwhile_count(count: usize, pay_from: usize) -> usize {
    let rest = count % LANE_COUNT;
    if rest < pay_from { count - rest } else { count }
}

/// What is to be done apart. `run` must be inlined always.
pub trait Work {
    type Output;
    fn run(self) -> Self::Output;
}

/// The unit that lanes are on.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    Ifma(Ifma),
    Avx512(Avx512),
    Avx2(Avx2),
}

impl Unit {
    /// Eight sums of multiples of two points with tables. Variable time.
    pub fn combinations(self, terms: &Terms<'_>) -> [Point; LANE_COUNT] {
        fn on<F: Field>(field: F, terms: &Terms<'_>) -> [Point; LANE_COUNT] {
            field.apart(Combinations(field, terms))
        }
        match self {
            Self::Ifma(ifma) => on(ifma, terms),
            Self::Avx512(unit) => on(Doubles(unit), terms),
            Self::Avx2(unit) => on(Doubles(unit), terms),
        }
    }

    /// Eight multiples of the base point. Constant time.
    pub fn base_multiples(self, digits: &DigitRows) -> [Point; LANE_COUNT] {
        fn on<F: Field>(field: F, digits: &DigitRows) -> [Point; LANE_COUNT] {
            field.apart(BaseMultiples(field, windows(), digits))
        }
        match self {
            Self::Ifma(ifma) => on(ifma, digits),
            Self::Avx512(unit) => on(Doubles(unit), digits),
            Self::Avx2(unit) => on(Doubles(unit), digits),
        }
    }

    /// (X : Z) of eight clamped scalars, each times the point of the coordinate beside it. Constant time.
    pub fn ladders(self, bits: &ScalarBits, points: &[Element; LANE_COUNT]) -> [[Element; LANE_COUNT]; 2] {
        fn on<F: Field>(
            field: F,
            bits: &ScalarBits,
            points: &[Element; LANE_COUNT],
        ) -> [[Element; LANE_COUNT]; 2] {
            field.apart(Ladders(field, bits, points))
        }
        match self {
            Self::Ifma(ifma) => on(ifma, bits, points),
            Self::Avx512(unit) => on(Doubles(unit), bits, points),
            Self::Avx2(unit) => on(Doubles(unit), bits, points),
        }
    }

    /// [s]B - [k]A for eight keys not seen before, `None` where a key is no point. Variable time.
    pub fn cold_combinations(self, equations: &Equations<'_>) -> [Option<Point>; LANE_COUNT] {
        match self {
            Self::Ifma(ifma) => cold_keys::sums(ifma, equations),
            Self::Avx512(unit) => cold_keys::sums(Doubles(unit), equations),
            Self::Avx2(unit) => cold_keys::sums(Doubles(unit), equations),
        }
    }
}
