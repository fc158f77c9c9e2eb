//! Several elements of the field of 2^255 - 19 side by side, multiplied in double precision.
//!
//! # Why doubles
//!
//! Without IFMA the widest integer product of a vector has 32-bit factors: a hundred products an element. A
//! fused multiply-add rounds only once, so that two of them give both halves of a 102-bit product, and 25 pairs do.
//!
//! # Representation
//!
//! Five limbs, limb k of weight 2^(51 k), *signed*: with signs there is no bias, and a carry to the nearest
//! saves a bit.
//!
//! * *tight*: doubles that are whole numbers, limbs of at most 2^50 + 2^16, what a carry gives. Entries of tables and
//!   their negatives, below 2^51, are multiplied as well, by tight ones.
//! * *wide*: integers of 64 bits.
//!
//! # Both halves of a product
//!
//! Let |a b| < 2^102, C = 3 * 2^102 and c = 3 * 2^51. Between 2^103 and 2^104 doubles are the multiples of
//! 2^51, between 2^52 and 2^53 they are the whole numbers, and so
//!
//! ```text
//! high = a b + C          rounded to C + 2^51 h for a whole h
//! rest = (C + c) - high   exactly c - 2^51 h, a multiple of 2^51 below 2^103
//! low  = a b + rest       exactly c + l, with l = a b - 2^51 h
//! ```
//!
//! As bits, `high` is those of C plus h, and `low` is those of c plus l: sums of bits are sums of halves, but for a
//! constant for each column that is taken away beforehand. Which way the first rounding goes does not matter: |l| is
//! at most 2^51, and |h| too, even if somebody has changed the processor's rounding mode. All else is exact. No number but
//! zero is below 1, so there is nothing subnormal.
//!
//! # Bounds
//!
//! *Product.* Column k gathers n(k) low and n(k - 1) high halves, with n = 1 2 3 4 5 4 3 2 1 0, so at most 1 3 5 7
//! 9 9 7 5 3 1 times 2^51. Columns 5..=9 come back times 19: limbs are at most 172 * 2^51 < 2^58.5. Products and
//! minuends are one; the largest sum that is asked for, 4 M - 2 P, is below 2^61.1.
//!
//! *Multiple.* A factor below 2^17 is one limb: five products, whose halves are no larger than others'.
//!
//! *Square.* A cross product is taken once, with one factor doubled: twice (2^50 + 2^16)^2 is below 2^102, and
//! there are fewer summands.
//!
//! *Carry.* Of a limb w with |w| < 2^62 - 2^50, low = (w + 2^62 + 2^50) mod 2^51 and over = the quotient. Then w = 2^51 (over -
//! 2^11) + (low - 2^50). A limb becomes low - 2^50 + (its neighbour's over - 2^11), for limb 0 nineteen times the last
//! one's: over is below 2^12, and so limbs are at most 2^50 + 19 * 2^11 < 2^50 + 2^16. Put below a leading bit of
//! 2^52, the sum is a double as it stands, and one subtraction takes the constants away.
//!
//! # Timing
//!
//! Straight-line code. What becomes a double is a whole number, and stays one: limbs, C, c and their sums, all
//! of them zero or between 1 and 2^104 in size. So no operand and no result is subnormal, infinite or no number, whatever is
//! multiplied. These are the operands that take additions and multiplications other times than all others do (Andrysco
//! and others, "On Subnormal Floating Point and Abnormal Timing", IEEE S&P 2015); divisions, roots and conversions, which
//! may take any time, are not there: integers become doubles, and doubles integers, as bits. Rounding changes no time, and that a
//! product was not exact is told by one flag of the processor, which the first product sets.
//!
//! This is what signing rests on. It is measured, and no vendor's promise of it is known; a host that lets inexact results trap would be
//! interrupted at nearly every product.

use core::array::from_fn;

use super::super::element::Element;
use super::field::Field;
use super::vectors::Vectors;
use super::{LANE_COUNT, Work};

/// The bits of C, C + c, c and 2^52.
const HIGH: u64 = (1023 + 103) << 52 | 1 << 51;
const HIGH_AND_LOW: u64 = HIGH + 3;
const LOW: u64 = (1023 + 52) << 52 | 1 << 51;
const WHOLE: u64 = (1023 + 52) << 52;

const LOW_51: u64 = (1 << 51) - 1;
const SIGN: u64 = 1 << 63;

/// Minus the bits of C and c that come into a column with so many products at each place.
const fn offsets(product_counts: [u64; 10]) -> [u64; 10] {
    let mut offsets = [0u64; 10];
    let mut k = 0;
    while k < 10 {
        let high_count = if k > 0 { product_counts[k - 1] } else { 0 };
        let bits = product_counts[k].wrapping_mul(LOW).wrapping_add(high_count.wrapping_mul(HIGH));
        offsets[k] = bits.wrapping_neg();
        k += 1;
    }
    offsets
}

const PRODUCT_OFFSETS: [u64; 10] = offsets([1, 2, 3, 4, 5, 4, 3, 2, 1, 0]);
const MULTIPLE_OFFSETS: [u64; 10] = offsets([1, 1, 1, 1, 1, 0, 0, 0, 0, 0]);
const SQUARE_OFFSETS: [u64; 10] = offsets([1, 1, 2, 2, 3, 2, 2, 1, 1, 0]);

/// The field, on a unit.
#[derive(Clone, Copy, Debug)]
pub struct Doubles<V>(pub V);

/// Five limbs of eight elements.
type Limbs<V> = [<V as Vectors>::Vector; 5];

impl<V: Vectors> Doubles<V> {
    /// Adds both halves of a product to columns k and k + 1.
    #[inline(always)]
    fn accumulate(self, columns: &mut [V::Vector; 10], k: usize, a: V::Vector, b: V::Vector) {
        let v = self.0;
        let high = v.multiply_add(a, b, v.all(HIGH));
        let low = v.multiply_add(a, b, v.sub_doubles(v.all(HIGH_AND_LOW), high));
        columns[k] = v.add(columns[k], low);
        columns[k + 1] = v.add(columns[k + 1], high);
    }

    #[inline(always)]
    fn columns(self, offsets: &[u64; 10]) -> [V::Vector; 10] {
        let mut columns = [self.0.all(0); 10];
        for k in 0..10 {
            columns[k] = self.0.all(offsets[k]);
        }
        columns
    }

    /// Columns 5..=9 brought down, times 19 = 16 + 2 + 1.
    #[inline(always)]
    fn fold(self, columns: &[V::Vector; 10]) -> Limbs<V> {
        let v = self.0;
        each_limb!(k => {
            let above = columns[k + 5];
            let three = v.add(above, v.left(above, 1));
            v.add(v.add(columns[k], v.left(above, 4)), three)
        })
    }
}

/// Products of limbs i of the first and j of the second for each pair, column by column, as statements: a loop
/// would be left a loop.
macro_rules! accumulate {
    ($field:ident, $columns:ident, $a:ident, $b:ident, [$($i:literal $j:literal),*]) => {
        $($field.accumulate(&mut $columns, $i + $j, $a[$i], $b[$j]);)*
    };
}

/// A product, done apart.
struct Product<'a, V: Vectors>(Doubles<V>, &'a Limbs<V>, &'a Limbs<V>);

impl<V: Vectors> Work for Product<'_, V> {
    type Output = Limbs<V>;

    #[inline(always)]
    fn run(self) -> Limbs<V> {
        let Self(field, a, b) = self;
        let mut columns = field.columns(&PRODUCT_OFFSETS);
        accumulate!(field, columns, a, b, [
            0 0, 0 1, 1 0, 0 2, 1 1, 2 0, 0 3, 1 2, 2 1, 3 0, 0 4, 1 3, 2 2, 3 1, 4 0, 1 4, 2 3, 3 2, 4 1, 2 4, 3 3, 4 2, 3 4, 4 3, 4 4
        ]);
        field.fold(&columns)
    }
}

/// A square, done apart.
struct Square<'a, V: Vectors>(Doubles<V>, &'a Limbs<V>);

impl<V: Vectors> Work for Square<'_, V> {
    type Output = Limbs<V>;

    #[inline(always)]
    fn run(self) -> Limbs<V> {
        let Self(field, a) = self;
        let twice = each_limb!(k => field.0.add_doubles(a[k], a[k]));
        let mut columns = field.columns(&SQUARE_OFFSETS);
        accumulate!(field, columns, a, a, [0 0, 1 1, 2 2, 3 3, 4 4]);
        accumulate!(field, columns, twice, a, [
            0 1, 0 2, 0 3, 1 2, 0 4, 1 3, 1 4, 2 3, 2 4, 3 4
        ]);
        field.fold(&columns)
    }
}

/// A multiple by a small number, done apart.
struct Multiple<'a, V: Vectors>(Doubles<V>, &'a Limbs<V>, V::Vector);

impl<V: Vectors> Work for Multiple<'_, V> {
    type Output = Limbs<V>;

    #[inline(always)]
    fn run(self) -> Limbs<V> {
        let Self(field, a, factor) = self;
        let factor = [factor];
        let mut columns = field.columns(&MULTIPLE_OFFSETS);
        accumulate!(field, columns, a, factor, [0 0, 1 0, 2 0, 3 0, 4 0]);
        field.fold(&columns)
    }
}

impl<V: Vectors> Field for Doubles<V> {
    type Vectors = V;
    type Tight = Limbs<V>;
    type Wide = Limbs<V>;

    #[inline(always)]
    fn apart<W: Work>(self, work: W) -> W::Output {
        self.0.apart(work)
    }

    #[inline(always)]
    fn vectors(self) -> V {
        self.0
    }

    #[inline(always)]
    fn product(self, a: &Limbs<V>, b: &Limbs<V>) -> Limbs<V> {
        self.0.apart(Product(self, a, b))
    }

    #[inline(always)]
    fn minuend(self, a: &Limbs<V>, b: &Limbs<V>) -> Limbs<V> {
        self.product(a, b)
    }

    #[inline(always)]
    fn square(self, a: &Limbs<V>) -> Limbs<V> {
        self.0.apart(Square(self, a))
    }

    #[inline(always)]
    fn square_minuend(self, a: &Limbs<V>) -> Limbs<V> {
        self.square(a)
    }

    #[inline(always)]
    fn add(self, a: &Limbs<V>, b: &Limbs<V>) -> Limbs<V> {
        each_limb!(k => self.0.add(a[k], b[k]))
    }

    #[inline(always)]
    fn sub(self, a: &Limbs<V>, b: &Limbs<V>) -> Limbs<V> {
        each_limb!(k => self.0.sub(a[k], b[k]))
    }

    #[inline(always)]
    fn carry(self, a: &Limbs<V>) -> Limbs<V> {
        /// What stands in a carried limb beside its value: 2^52, 2^50 and its neighbour's 2^11.
        const fn constants(over: u64) -> u64 {
            WHOLE + (1 << 50) + over
        }
        let v = self.0;
        let shifted = each_limb!(k => v.add(a[k], v.all((1 << 62) + (1 << 50))));
        let over = each_limb!(k => v.right(shifted[k], 51));
        let whole = each_limb!(k => v.or(v.and(shifted[k], v.all(LOW_51)), v.all(WHOLE)));
        let over_19 = v.mul_32(over[4], v.all(19));
        [
            v.sub_doubles(v.add(whole[0], over_19), v.all(constants(19 << 11))),
            v.sub_doubles(v.add(whole[1], over[0]), v.all(constants(1 << 11))),
            v.sub_doubles(v.add(whole[2], over[1]), v.all(constants(1 << 11))),
            v.sub_doubles(v.add(whole[3], over[2]), v.all(constants(1 << 11))),
            v.sub_doubles(v.add(whole[4], over[3]), v.all(constants(1 << 11))),
        ]
    }

    #[inline(always)]
    fn plus_multiple(self, minuend: &Limbs<V>, a: &Limbs<V>, factor: u64) -> Limbs<V> {
        let factor = self.0.all((factor as f64).to_bits());
        self.add(minuend, &self.0.apart(Multiple(self, a, factor)))
    }

    #[inline(always)]
    fn one(self) -> Limbs<V> {
        each_limb!(k => self.0.all(u64::from(k == 0)))
    }

    #[inline(always)]
    fn of_limbs(self, limbs: Limbs<V>) -> Limbs<V> {
        let v = self.0;
        each_limb!(k => v.sub_doubles(v.or(limbs[k], v.all(WHOLE)), v.all(WHOLE)))
    }

    #[inline(always)]
    fn of_elements(self, elements: &[Element; LANE_COUNT]) -> Limbs<V> {
        let mut limbs = [[0; LANE_COUNT]; 5];
        for (lane, element) in elements.iter().enumerate() {
            for (k, limb) in limbs.iter_mut().enumerate() {
                limb[lane] = element.0[k];
            }
        }
        self.carry(&each_limb!(k => self.0.of_lanes(limbs[k])))
    }

    #[inline(always)]
    fn to_elements(self, a: &Limbs<V>) -> [Element; LANE_COUNT] {
        /// 2 p, so that no limb is below zero.
        const TWICE_P: [u64; 5] =
            [(1 << 52) - 38, (1 << 52) - 2, (1 << 52) - 2, (1 << 52) - 2, (1 << 52) - 2];
        let v = self.0;
        // A limb plus c is between 2^52 and 2^53: as bits, those of c plus the limb.
        let with_c = each_limb!(k => v.add_doubles(a[k], v.all(LOW)));
        let limbs = each_limb!(k => v.to_lanes(v.add(with_c[k], v.all(TWICE_P[k].wrapping_sub(LOW)))));
        from_fn(|lane| Element(from_fn(|k| limbs[k][lane])).carried())
    }

    #[inline(always)]
    fn chosen(self, wanted: u8, a: &Limbs<V>, b: &Limbs<V>) -> Limbs<V> {
        each_limb!(k => self.0.chosen(wanted, a[k], b[k]))
    }

    #[inline(always)]
    fn chosen_wide(self, wanted: u8, a: &Limbs<V>, b: &Limbs<V>) -> Limbs<V> {
        self.chosen(wanted, a, b)
    }

    #[inline(always)]
    fn negated(self, wanted: u8, a: &Limbs<V>) -> Limbs<V> {
        let v = self.0;
        let signs = v.chosen(wanted, v.all(SIGN), v.all(0));
        each_limb!(k => v.xor(a[k], signs))
    }
}
