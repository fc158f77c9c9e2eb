//! Eight sums [s]B - [k]A for keys not seen before, one to a lane, in variable time.
//!
//! # Method
//!
//! Decoding takes its power ([`super::super::decompress`]) in lanes; the few products around it stay in ordinary registers.
//!
//! k is written in 64 digits of 16, from -8 to 8, and -A has a table of its multiples 1 to 8 in each lane: four
//! doublings and an addition a digit (Horner). The base point has its comb ([`super::super::comb`]), whose columns are
//! the last doublings, so it adds no doubling of its own.
//!
//! A lane takes its multiple by looking at all eight and choosing under a mask, since loads from eight places cost more
//! than that. Digits that are 0 add the neutral element: the formulas are complete.
//!
//! # Numbers
//!
//! k is below 2^255: then the highest digit, with what is carried into it, is at most 8. It is never reduced: with a
//! small-order component in A that would give another multiple.

use core::array::from_fn;

use super::super::comb::{Comb, Digits};
use super::super::decompress::{Affine, Half};
use super::super::element::Element;
use super::super::point::{Point, TWICE_D};
use super::field::Field;
use super::known_keys::addends;
use super::point::{Addends, Sums};
use super::{LANE_COUNT, Work};

const DIGIT_COUNT: usize = 64;
const MULTIPLE_COUNT: usize = 8;
/// Bits of a digit, and digits whose doublings are columns of the base point's comb.
const DIGIT_LEN: usize = 4;
const COMB_DIGIT_COUNT: usize = 4;

/// Keys as they came, s of each, and k of each below 2^255.
#[derive(Clone, Copy)]
pub struct Equations<'a> {
    pub keys: [&'a [u8; 32]; LANE_COUNT],
    pub s: [&'a [u8; 32]; LANE_COUNT],
    pub k: [&'a [u8; 32]; LANE_COUNT],
}

/// [s]B - [k]A of each, `None` where the key is no point.
pub fn sums<F: Field>(field: F, equations: &Equations<'_>) -> [Option<Point>; LANE_COUNT] {
    let halves = equations.keys.map(Half::new);
    let powers = field.apart(Powers(field, from_fn(|lane| halves[lane].w)));
    let keys: [Option<Affine>; LANE_COUNT] =
        from_fn(|lane| halves[lane].point(&powers[lane], equations.keys[lane][31] >> 7));
    // A lane without a point works on the base point, for nothing.
    let base = Affine { x: Point::BASE.x, y: Point::BASE.y };
    let comb = Comb::of_base();
    let points = field.apart(Combinations {
        field,
        keys: keys.each_ref().map(|key| key.as_ref().unwrap_or(&base)),
        digits: equations.k.map(digits),
        base: equations.s.map(|s| (comb, comb.digits(s))),
    });
    from_fn(|lane| keys[lane].is_some().then_some(points[lane]))
}

/// Digits from -8 to 8, lowest first, of a number below 2^255.
fn digits(number: &[u8; 32]) -> [i8; DIGIT_COUNT] {
    let mut carry = 0;
    from_fn(|n| {
        let digit = (number[n / 2] >> (4 * (n % 2)) & 15).cast_signed() + carry;
        // The last digit keeps what it has: there is none to carry into.
        carry = i8::from(digit > 8 && n < DIGIT_COUNT - 1);
        digit - 16 * carry
    })
}

/// All elements to the power (p - 5) / 8 = 2^252 - 3, done apart.
struct Powers<F>(F, [Element; LANE_COUNT]);

impl<F: Field> Work for Powers<F> {
    type Output = [Element; LANE_COUNT];

    /// Names give the exponent; `ones_n` is 2^n - 1.
    #[inline(always)]
    fn run(self) -> Self::Output {
        let Self(field, elements) = self;
        let z = field.of_elements(&elements);
        let z2 = squares(field, &z, 1);
        let z9 = product(field, &squares(field, &z2, 2), &z);
        let z11 = product(field, &z9, &z2);
        let ones_5 = product(field, &squares(field, &z11, 1), &z9);
        let ones_10 = product(field, &squares(field, &ones_5, 5), &ones_5);
        let ones_20 = product(field, &squares(field, &ones_10, 10), &ones_10);
        let ones_40 = product(field, &squares(field, &ones_20, 20), &ones_20);
        let ones_50 = product(field, &squares(field, &ones_40, 10), &ones_10);
        let ones_100 = product(field, &squares(field, &ones_50, 50), &ones_50);
        let ones_200 = product(field, &squares(field, &ones_100, 100), &ones_100);
        let ones_250 = product(field, &squares(field, &ones_200, 50), &ones_50);
        field.to_elements(&product(field, &squares(field, &ones_250, 2), &z))
    }
}

#[inline(always)]
fn product<F: Field>(field: F, a: &F::Tight, b: &F::Tight) -> F::Tight {
    field.carry(&field.product(a, b))
}

/// The element squared `count` times.
#[inline(always)]
fn squares<F: Field>(field: F, a: &F::Tight, count: usize) -> F::Tight {
    let mut power = *a;
    for _ in 0..count {
        power = field.carry(&field.square(&power));
    }
    power
}

/// The sums, done apart.
struct Combinations<'a, F> {
    field: F,
    keys: [&'a Affine; LANE_COUNT],
    digits: [[i8; DIGIT_COUNT]; LANE_COUNT],
    base: [(&'a Comb, Digits); LANE_COUNT],
}

/// A point by what an addition multiplies by.
#[derive(Clone, Copy)]
struct Multiple<F: Field> {
    addends: Addends<F>,
    twice_z: F::Tight,
}

impl<F: Field> Work for Combinations<'_, F> {
    type Output = [Point; LANE_COUNT];

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Self { field, keys, digits, base } = self;
        let multiples = multiples(field, &keys);
        let neutral = multiple(field, &field.all_of(&TWICE_D), &Sums::neutral(field));
        let mut sums = Sums::neutral(field);
        for n in (0..DIGIT_COUNT).rev() {
            if n < COMB_DIGIT_COUNT {
                for column in (DIGIT_LEN * n..DIGIT_LEN * (n + 1)).rev() {
                    sums = sums.doubled(field, 1);
                    for table in 0..base[0].0.table_count(column) {
                        sums = sums.plus(field, &addends(field, &base, table, column));
                    }
                }
            } else if n < DIGIT_COUNT - 1 {
                sums = sums.doubled(field, DIGIT_LEN);
            }
            let Multiple { addends, twice_z } =
                chosen(field, &multiples, &neutral, digits.map(|digits| digits[n]));
            sums = sums.plus_with_z(field, &addends, &twice_z);
        }
        sums.less_points(field, &base).points(field)
    }
}

/// 1 to 8 times -A.
#[inline(always)]
fn multiples<F: Field>(field: F, keys: &[&Affine; LANE_COUNT]) -> [Multiple<F>; MULTIPLE_COUNT] {
    let zero = Element([0; 5]);
    // -A is (-x, y).
    let y_plus_x = field.of_elements(&keys.map(|a| a.y.sub(&a.x).carried()));
    let y_minus_x = field.of_elements(&keys.map(|a| a.y.add(&a.x).carried()));
    let t = field.of_elements(&keys.map(|a| zero.sub(&a.x).carried().mul(&a.y)));
    let twice_d = field.all_of(&TWICE_D);
    let mut sums = Sums { y_plus_x, y_minus_x, z: field.one(), t };
    let first = multiple(field, &twice_d, &sums);
    let mut multiples = [first; MULTIPLE_COUNT];
    for next in &mut multiples[1..] {
        sums = sums.plus(field, &first.addends);
        *next = multiple(field, &twice_d, &sums);
    }
    multiples
}

#[inline(always)]
fn multiple<F: Field>(field: F, twice_d: &F::Tight, sums: &Sums<F>) -> Multiple<F> {
    let twice_dxy = field.carry(&field.product(&sums.t, twice_d));
    Multiple {
        addends: Addends { y_plus_x: sums.y_plus_x, y_minus_x: sums.y_minus_x, twice_dxy },
        twice_z: field.carry(&field.add(&sums.z, &sums.z)),
    }
}

/// In each lane the multiple of its digit.
#[inline(always)]
fn chosen<F: Field>(
    field: F,
    multiples: &[Multiple<F>; MULTIPLE_COUNT],
    neutral: &Multiple<F>,
    digits: [i8; LANE_COUNT],
) -> Multiple<F> {
    let mut negative = 0;
    let mut wanted = [0; MULTIPLE_COUNT + 1];
    for (lane, digit) in digits.into_iter().enumerate() {
        negative |= u8::from(digit < 0) << lane;
        wanted[usize::from(digit.unsigned_abs())] |= 1 << lane;
    }
    let mut chosen = *neutral;
    for (multiple, wanted) in multiples.iter().zip(&wanted[1..]) {
        let (one, others) = (&multiple.addends, &chosen.addends);
        chosen = Multiple {
            addends: Addends {
                y_plus_x: field.chosen(*wanted, &one.y_plus_x, &others.y_plus_x),
                y_minus_x: field.chosen(*wanted, &one.y_minus_x, &others.y_minus_x),
                twice_dxy: field.chosen(*wanted, &one.twice_dxy, &others.twice_dxy),
            },
            twice_z: field.chosen(*wanted, &multiple.twice_z, &chosen.twice_z),
        };
    }
    Multiple { addends: chosen.addends.negated(field, negative), ..chosen }
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;
    use num_bigint::Sign;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn digits_are_small_and_give_the_number() {
        let mut rng = StdRng::seed_from_u64(16);
        let mut numbers = vec![[0; 32], [0x88; 32], [0x77; 32], [0x80; 32], [0x08; 32], [0xff; 32]];
        numbers.extend((0..10_000).map(|_| rng.random::<[u8; 32]>()));
        for mut number in numbers {
            number[31] &= 0x7f;
            let digits = digits(&number);
            assert!(digits.iter().all(|digit| (-8..=8).contains(digit)), "{number:x?}");
            let sum = digits.iter().rev().fold(BigInt::ZERO, |sum, digit| sum * 16 + *digit);
            assert_eq!(sum, BigInt::from_bytes_le(Sign::Plus, &number));
        }
    }
}
