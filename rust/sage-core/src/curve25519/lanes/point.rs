//! Points of edwards25519 side by side.
//!
//! A sum is kept as (Y + X, Y - X, Z, T) of X / Z, Y / Z and T = X Y / Z; formulas of Hisil, Wong, Carter and
//! Dawson for a = -1, complete because -1 is a square and d is not: no case is exceptional. What lies
//! between their two layers of products are *factors*: X = e f, Y = g h, Z = f g, T = e h.
//!
//! ```text
//! addition   a = (Y - X)(y - x)   b = (Y + X)(y + x)   c = T 2dxy   d = 2 Z, or Z 2z of an entry with a z
//!            e = b - a            h = b + a            f = d - c    g = d + c
//! doubling   p = (Y + X)^2        q = (Y - X)^2        zz = Z^2     r = (Y + X)(Y - X)
//!            e = p - q            h = p + q            g = 2 r      f = 4 zz - 2 r
//! ```
//!
//! The doubling has every factor twice that of the usual formulas, which is the same point. Combinations are taken of
//! wide products and carried once; all are among those that a field must bear ([`super::field`]). Z stays wide,
//! since an entry without a z wants twice it and no product.

use core::array::from_fn;

use super::super::comb::Entry;
use super::super::point::Point;
use super::LANE_COUNT;
use super::field::Field;

/// Eight points.
#[derive(Clone, Copy)]
pub struct Sums<F: Field> {
    pub y_plus_x: F::Tight,
    pub y_minus_x: F::Tight,
    /// A minuend.
    pub z: F::Wide,
    pub t: F::Tight,
}

/// What eight additions multiply by: (y + x, y - x, 2 d x y), and with a Z twice it.
#[derive(Clone, Copy)]
pub struct Addends<F: Field> {
    pub y_plus_x: F::Tight,
    pub y_minus_x: F::Tight,
    pub twice_dxy: F::Tight,
}

struct Factors<F: Field> {
    e: F::Tight,
    f: F::Tight,
    g: F::Tight,
    h: F::Tight,
}

impl<F: Field> Sums<F> {
    /// Eight times the neutral element.
    #[inline(always)]
    pub fn neutral(field: F) -> Self {
        let (one, zero) = (field.carry(&field.one()), field.sub(&field.one(), &field.one()));
        Self { y_plus_x: one, y_minus_x: one, z: field.one(), t: field.carry(&zero) }
    }

    /// Each sum plus a point whose z is 1.
    #[inline(always)]
    pub fn plus(&self, field: F, addends: &Addends<F>) -> Self {
        self.plus_scaled(field, addends, &field.add(&self.z, &self.z))
    }

    /// Each sum plus a point of which `twice_z` is known.
    #[inline(always)]
    pub fn plus_with_z(&self, field: F, addends: &Addends<F>, twice_z: &F::Tight) -> Self {
        self.plus_scaled(field, addends, &field.minuend(&field.carry(&self.z), twice_z))
    }

    #[inline(always)]
    fn plus_scaled(&self, field: F, addends: &Addends<F>, d: &F::Wide) -> Self {
        let a = field.product(&self.y_minus_x, &addends.y_minus_x);
        let b = field.minuend(&self.y_plus_x, &addends.y_plus_x);
        let c = field.product(&self.t, &addends.twice_dxy);
        let factors = Factors::<F> {
            e: field.carry(&field.sub(&b, &a)),
            f: field.carry(&field.sub(d, &c)),
            g: field.carry(&field.add(d, &c)),
            h: field.carry(&field.add(&b, &a)),
        };
        factors.sums(field)
    }

    /// Each sum, doubled `count` times, one at least.
    #[inline(always)]
    pub fn doubled(&self, field: F, count: usize) -> Self {
        let (mut y_plus_x, mut y_minus_x, mut z) = (self.y_plus_x, self.y_minus_x, field.carry(&self.z));
        for _ in 1..count {
            let Factors { e, f, g, h } = Factors::of_double(field, &y_plus_x, &y_minus_x, &z);
            let (x, y) = (field.product(&e, &f), field.minuend(&g, &h));
            y_plus_x = field.carry(&field.add(&y, &x));
            y_minus_x = field.carry(&field.sub(&y, &x));
            z = field.carry(&field.product(&f, &g));
        }
        Factors::of_double(field, &y_plus_x, &y_minus_x, &z).sums(field)
    }

    /// The points in ordinary registers.
    #[inline(always)]
    pub fn points(&self, field: F) -> [Point; LANE_COUNT] {
        let plus = field.to_elements(&self.y_plus_x);
        let minus = field.to_elements(&self.y_minus_x);
        let z = field.to_elements(&field.carry(&self.z));
        let t = field.to_elements(&self.t);
        from_fn(|n| Point::from_sum_and_difference([plus[n], minus[n], z[n], t[n]]))
    }

    /// Lane by lane `a` where `wanted` has a bit, `b` elsewhere.
    #[inline(always)]
    pub fn chosen(field: F, wanted: u8, a: &Self, b: &Self) -> Self {
        Self {
            y_plus_x: field.chosen(wanted, &a.y_plus_x, &b.y_plus_x),
            y_minus_x: field.chosen(wanted, &a.y_minus_x, &b.y_minus_x),
            z: field.chosen_wide(wanted, &a.z, &b.z),
            t: field.chosen(wanted, &a.t, &b.t),
        }
    }
}

impl<F: Field> Factors<F> {
    #[inline(always)]
    fn of_double(field: F, y_plus_x: &F::Tight, y_minus_x: &F::Tight, z: &F::Tight) -> Self {
        let (p, q) = (field.square_minuend(y_plus_x), field.square(y_minus_x));
        let zz = field.square_minuend(z);
        let r = field.product(y_plus_x, y_minus_x);
        let (twice_zz, twice_r) = (field.add(&zz, &zz), field.add(&r, &r));
        Self {
            e: field.carry(&field.sub(&p, &q)),
            f: field.carry(&field.sub(&field.add(&twice_zz, &twice_zz), &twice_r)),
            g: field.carry(&twice_r),
            h: field.carry(&field.add(&p, &q)),
        }
    }

    #[inline(always)]
    fn sums(&self, field: F) -> Sums<F> {
        let (x, y) = (field.product(&self.e, &self.f), field.minuend(&self.g, &self.h));
        Sums {
            y_plus_x: field.carry(&field.add(&y, &x)),
            y_minus_x: field.carry(&field.sub(&y, &x)),
            z: field.minuend(&self.f, &self.g),
            t: field.carry(&field.product(&self.e, &self.h)),
        }
    }
}

impl<F: Field> Addends<F> {
    #[inline(always)]
    pub fn of_entries(field: F, entries: &[&Entry; LANE_COUNT]) -> Self {
        let [y_plus_x, y_minus_x, twice_dxy] = field.entries(entries);
        Self { y_plus_x, y_minus_x, twice_dxy }
    }

    /// The negatives of the points where `wanted` has a bit.
    #[inline(always)]
    pub fn negated(&self, field: F, wanted: u8) -> Self {
        Self {
            y_plus_x: field.chosen(wanted, &self.y_minus_x, &self.y_plus_x),
            y_minus_x: field.chosen(wanted, &self.y_plus_x, &self.y_minus_x),
            twice_dxy: field.negated(wanted, &self.twice_dxy),
        }
    }
}
