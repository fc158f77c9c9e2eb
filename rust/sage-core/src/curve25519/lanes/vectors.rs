//! Eight words of 64 bits side by side, and what every unit does with them.
//!
//! A word is an integer modulo 2^64 or the bits of a double; which, the caller knows. A unit that has four
//! lanes takes two vectors for eight words, so that all above it is written once.
//!
//! A token that implements [`Vectors`] is proof that the processor has the unit, so that all methods are safe.

use super::super::comb::Entry;
use super::super::windows::Row;
use super::{LANE_COUNT, Work};

/// The words of an entry.
pub const ENTRY_WORD_COUNT: usize = 12;

/// What a unit does as every other does, given the features that it is compiled for.
macro_rules! alike_on_every_unit {
    ($features:literal) => {
        #[inline(always)]
        fn apart<W: Work>(self, work: W) -> W::Output {
            #[target_feature(enable = $features)]
            fn run<W: Work>(work: W) -> W::Output {
                work.run()
            }
            // Of no unit, since `never` is not heeded on a function with features.
            #[inline(never)]
            fn enter<W: Work>(work: W) -> W::Output {
                // SAFETY: whoever has a unit's token has its features.
                unsafe { run(work) }
            }
            enter(work)
        }

        #[inline(always)]
        fn of_lanes(self, words: [u64; LANE_COUNT]) -> Self::Vector {
            // SAFETY: plain integers on both sides, of the same size.
            unsafe { core::mem::transmute(words) }
        }

        #[inline(always)]
        fn to_lanes(self, vector: Self::Vector) -> [u64; LANE_COUNT] {
            // SAFETY: plain integers on both sides, of the same size.
            unsafe { core::mem::transmute(vector) }
        }
    };
}
pub(super) use alike_on_every_unit;

/// See the module's head.
pub trait Vectors: Copy {
    /// Eight words.
    type Vector: Copy;

    /// Does work in a function of its own for which the compiler may use the unit.
    fn apart<W: Work>(self, work: W) -> W::Output;

    fn of_lanes(self, words: [u64; LANE_COUNT]) -> Self::Vector;
    fn to_lanes(self, vector: Self::Vector) -> [u64; LANE_COUNT];
    fn all(self, word: u64) -> Self::Vector;
    /// A byte to each lane.
    fn of_bytes(self, bytes: [u8; LANE_COUNT]) -> Self::Vector;

    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn and(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn or(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn xor(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn left(self, a: Self::Vector, count: i32) -> Self::Vector;
    /// Zeros come in from above.
    fn right(self, a: Self::Vector, count: i32) -> Self::Vector;
    /// The products of the low 32 bits.
    fn mul_32(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    fn sub_doubles(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn add_doubles(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a b + c`, rounded once.
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// Lane by lane `a` where `wanted` has a bit, `b` elsewhere.
    fn chosen(self, wanted: u8, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// In each lane the word at its place, 0 to 7. The row is read in full, and places are no addresses: they may be
    /// secret.
    fn looked_up(self, row: &Row, places: Self::Vector) -> Self::Vector;

    /// Vector n has word n of each entry.
    fn transposed(self, entries: &[&Entry; LANE_COUNT]) -> [Self::Vector; ENTRY_WORD_COUNT];

    /// Limbs of 51 bits from four words of 64.
    #[inline(always)]
    fn limbs(self, w: [Self::Vector; 4]) -> [Self::Vector; 5] {
        let limbs = [
            w[0],
            self.or(self.right(w[0], 51), self.left(w[1], 13)),
            self.or(self.right(w[1], 38), self.left(w[2], 26)),
            self.or(self.right(w[2], 25), self.left(w[3], 39)),
            self.right(w[3], 12),
        ];
        each_limb!(k => self.and(limbs[k], self.all((1 << 51) - 1)))
    }
}
