//! Eight X25519 ladders side by side, one to a lane, in constant time.
//!
//! # The step
//!
//! Write P for a lane's input point with coordinate x1 (Z = 1) and Q, Q + P for the ladder's pair. A step doubles one
//! of the two and adds them; of each point only (s, d) = (X + Z, X - Z) is kept. Let R be the last sum, D the last double;
//! S is the one to be doubled.
//!
//! ```text
//! sum      v = Rs Dd         u = Rd Ds        X = (v + u)^2     Z = x1 (v - u)^2
//! double   aa = Ss^2         bb = Sd^2        e = aa - bb       X = aa bb          Z = e (aa + 121665 e)
//! ```
//!
//! The addition is symmetric in R and D, so there is no swap: a bit chooses S and nothing else. R and D trade
//! roles when a bit differs from the bit before, so S = R exactly then. Clamped scalars end in three zero bits: after the
//! last bit but two nothing is left to do but to double, and no sum is wanted. Every formula is a polynomial identity in x1, X and Z, so
//! results agree with any other ladder for every input, low orders and x1 = 0 included.
//!
//! Combinations are taken of wide elements and carried once; all are among those that a field must bear
//! ([`super::field`]).
//!
//! # Timing
//!
//! Straight-line code with a fixed number of steps. Bits of scalars become masks behind an optimisation barrier and act in
//! vector selects only.

use core::array::from_fn;

use zeroize::Zeroizing;

use super::super::comb::transposed;
use super::super::element::Element;
use super::super::opaque::opaque;
use super::field::Field;
use super::{LANE_COUNT, Work};

/// (A - 2) / 4 of the curve y^2 = x^3 + 486662 x^2 + x.
const A24: u64 = 121_665;

/// The highest bit of a clamped scalar, and the lowest that may be set.
const HIGHEST_BIT: usize = 254;
const LOWEST_BIT: usize = 3;

/// For each bit of eight clamped scalars, in which lanes it is set; wiped when dropped.
pub struct ScalarBits(Zeroizing<[u8; 256]>);

impl ScalarBits {
    /// The bits of the scalars, clamped (RFC 7748, 5).
    pub fn new(scalars: &[&[u8; 32]; LANE_COUNT]) -> Self {
        let mut rows = Zeroizing::new([0; 256]);
        for (at, rows) in rows.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let bytes: [u8; LANE_COUNT] = from_fn(|lane| scalars[lane][at]);
            *rows = transposed(u64::from_le_bytes(bytes)).to_le_bytes();
        }
        rows[..LOWEST_BIT].fill(0);
        rows[HIGHEST_BIT] = u8::MAX;
        rows[HIGHEST_BIT + 1] = 0;
        Self(rows)
    }

    /// In which lanes a bit differs from the one above it.
    #[inline(always)]
    fn changes(&self, position: usize) -> u8 {
        opaque(u64::from(self.0[position] ^ self.0[position + 1])) as u8
    }
}

/// Eight ladders, done apart: (X : Z) of each clamped scalar times the point x1 of its lane.
pub struct Ladders<'a, F>(pub F, pub &'a ScalarBits, pub &'a [Element; LANE_COUNT]);

impl<F: Field> Work for Ladders<'_, F> {
    type Output = [[Element; LANE_COUNT]; 2];

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Self(field, bits, points) = self;
        let x1 = field.of_elements(points);
        let mut sum = Pair::of_points(field, points);
        let mut double = Pair::neutral(field);
        for position in (LOWEST_BIT..=HIGHEST_BIT).rev() {
            let chosen = Pair::chosen(field, bits.changes(position), &sum, &double);
            sum = sum.plus(field, &double, &x1);
            double = chosen.doubled(field);
        }
        double = Pair::chosen(field, bits.changes(LOWEST_BIT - 1), &sum, &double);
        for _ in 0..LOWEST_BIT {
            double = double.doubled(field);
        }
        let (s, d) = (field.to_elements(&double.plus), field.to_elements(&double.minus));
        // 2 X and 2 Z.
        [from_fn(|lane| s[lane].add(&d[lane]).carried()), from_fn(|lane| s[lane].sub(&d[lane]).carried())]
    }
}

/// Eight points, as X + Z and X - Z.
#[derive(Clone, Copy)]
struct Pair<F: Field> {
    plus: F::Tight,
    minus: F::Tight,
}

impl<F: Field> Pair<F> {
    /// Eight times the neutral element, (1 : 0).
    #[inline(always)]
    fn neutral(field: F) -> Self {
        let one = field.carry(&field.one());
        Self { plus: one, minus: one }
    }

    /// The points of these coordinates, with Z = 1.
    #[inline(always)]
    fn of_points(field: F, points: &[Element; LANE_COUNT]) -> Self {
        let plus: [Element; LANE_COUNT] = points.map(|x| x.add(&Element::ONE).carried());
        let minus: [Element; LANE_COUNT] = points.map(|x| x.sub(&Element::ONE).carried());
        Self { plus: field.of_elements(&plus), minus: field.of_elements(&minus) }
    }

    /// Lane by lane `a` where `wanted` has a bit, `b` elsewhere.
    #[inline(always)]
    fn chosen(field: F, wanted: u8, a: &Self, b: &Self) -> Self {
        Self { plus: field.chosen(wanted, &a.plus, &b.plus), minus: field.chosen(wanted, &a.minus, &b.minus) }
    }

    /// The sum of two points that differ by the point x1, or by its negative.
    #[inline(always)]
    fn plus(&self, field: F, other: &Self, x1: &F::Tight) -> Self {
        let (v, u) = (field.minuend(&self.plus, &other.minus), field.product(&self.minus, &other.plus));
        let x = field.square_minuend(&field.carry(&field.add(&v, &u)));
        let z = field.product(x1, &field.carry(&field.square(&field.carry(&field.sub(&v, &u)))));
        Self::of(field, &x, &z)
    }

    #[inline(always)]
    fn doubled(&self, field: F) -> Self {
        let (aa, bb) = (field.square_minuend(&self.plus), field.square(&self.minus));
        let e = field.carry(&field.sub(&aa, &bb));
        let f = field.carry(&field.plus_multiple(&aa, &e, A24));
        let x = field.minuend(&field.carry(&aa), &field.carry(&bb));
        Self::of(field, &x, &field.product(&e, &f))
    }

    /// From X, a minuend, and Z.
    #[inline(always)]
    fn of(field: F, x: &F::Wide, z: &F::Wide) -> Self {
        Self { plus: field.carry(&field.add(x, z)), minus: field.carry(&field.sub(x, z)) }
    }
}
