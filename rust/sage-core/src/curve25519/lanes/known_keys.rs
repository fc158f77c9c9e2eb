//! Eight sums of multiples of two points with tables ([`super::super::comb`]), one to a lane, in variable time.

use core::array::from_fn;

use super::super::comb::{Comb, Digits, MAX_COLUMN_COUNT};
use super::super::point::Point;
use super::field::Field;
use super::point::{Addends, Sums};
use super::{LANE_COUNT, Work};

/// Two terms for each lane: all first ones, then all second ones; combs of one shape each.
pub type Terms<'a> = [[(&'a Comb, Digits); LANE_COUNT]; 2];

/// Eight sums, done apart.
pub struct Combinations<'a, F>(pub F, pub &'a Terms<'a>);

impl<F: Field> Work for Combinations<'_, F> {
    type Output = [Point; LANE_COUNT];

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Self(field, terms) = self;
        let mut sums = Sums::neutral(field);
        for column in (0..MAX_COLUMN_COUNT).rev() {
            if column < MAX_COLUMN_COUNT - 1 {
                sums = sums.doubled(field, 1);
            }
            for term in terms {
                for table in 0..term[0].0.table_count(column) {
                    sums = sums.plus(field, &addends(field, term, table, column));
                }
            }
        }
        for term in terms {
            sums = sums.less_points(field, term);
        }
        sums.points(field)
    }
}

impl<F: Field> Sums<F> {
    /// Each sum less the point of its comb, where that was taken once too many.
    #[inline(always)]
    pub fn less_points(&self, field: F, term: &[(&Comb, Digits); LANE_COUNT]) -> Self {
        let mut wanted = 0;
        let points = from_fn(|lane| {
            wanted |= u8::from(term[lane].1.is_one_too_many) << lane;
            term[lane].0.point()
        });
        let less = self.plus(field, &Addends::of_entries(field, &points).negated(field, u8::MAX));
        Self::chosen(field, wanted, &less, self)
    }
}

/// What one table adds in one column.
#[inline(always)]
pub fn addends<F: Field>(
    field: F,
    term: &[(&Comb, Digits); LANE_COUNT],
    table: usize,
    column: usize,
) -> Addends<F> {
    let mut negative = 0;
    let entries = from_fn(|lane| {
        let (comb, digits) = &term[lane];
        let (entry, is_negative) = comb.entry(digits, table, column);
        negative |= u8::from(is_negative) << lane;
        entry
    });
    Addends::of_entries(field, &entries).negated(field, negative)
}
