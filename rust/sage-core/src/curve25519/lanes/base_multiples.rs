//! Eight multiples of the base point, one to a lane, in constant time: scalars are secret.
//!
//! # Method
//!
//! All odd-position digits ([`super::super::windows`]) are added first, the sum is multiplied by 16, then all
//! even-position digits are added.
//!
//! # Selection and timing
//!
//! No branch and no address depends on a scalar. Each lane takes its multiple out of the eight by [`Vectors::looked_up`],
//! from a window that is read in full whatever the digit; a negative one is made of it under masks. The rest is straight-line
//! arithmetic, which for doubles has an argument of its own ("Timing" in [`super::doubles`]).

use super::super::point::Point;
use super::super::windows::{WINDOW_COUNT, Window};
use super::field::Field;
use super::point::{Addends, Sums};
use super::vectors::Vectors;
use super::{LANE_COUNT, Work};
use crate::curve25519::opaque::opaque;

/// The digit pairs of eight scalars, window by window.
pub type DigitRows = [[u8; LANE_COUNT]; WINDOW_COUNT];

/// Eight multiples, done apart.
pub struct BaseMultiples<'a, F>(pub F, pub &'a [Window], pub &'a DigitRows);

impl<F: Field> Work for BaseMultiples<'_, F> {
    type Output = [Point; LANE_COUNT];

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Self(field, windows, digit_rows) = self;
        let mut sums = Sums::neutral(field);
        for half in [4, 0] {
            for (window, row) in windows.iter().zip(digit_rows) {
                sums = sums.plus(field, &Choice::new(row, half).addends(field, window));
            }
            if half == 4 {
                sums = sums.doubled(field, 4);
            }
        }
        sums.points(field)
    }
}

/// What the digits of eight lanes say: which multiple, and whether to negate it.
pub struct Choice {
    places: [u8; LANE_COUNT],
    negative: u8,
}

impl Choice {
    /// From the nibble `shift` bits up in each pair. All eight bytes are worked on as one word.
    #[inline(always)]
    pub fn new(digit_pairs: &[u8; LANE_COUNT], shift: u32) -> Self {
        /// One in each byte, times which a byte goes to all.
        const EACH: u64 = 0x0101_0101_0101_0101;
        /// Brings bit 8 n up to bit 56 + n, for all n at once: no two of the 64 sums 8 n + 56 - 7 m are the same, so
        /// nothing is carried.
        const GATHER: u64 = 0x0102_0408_1020_4080;
        let nibbles = u64::from_le_bytes(*digit_pairs) >> shift & (15 * EACH);
        // b >= 8: multiple 2 (b - 8) + 1; b < 8: minus multiple 2 (7 - b) + 1, and 7 - b = !b & 7.
        let negative = opaque(!(nibbles >> 3) & EACH);
        let places = (nibbles ^ (7 * negative)) & (7 * EACH);
        Self { places: places.to_le_bytes(), negative: (negative.wrapping_mul(GATHER) >> 56) as u8 }
    }

    /// The multiples that are meant, out of a window.
    #[inline(always)]
    pub fn addends<F: Field>(&self, field: F, window: &Window) -> Addends<F> {
        let v = field.vectors();
        let places = v.of_bytes(self.places);
        let chosen = Addends::<F> {
            y_plus_x: field.of_limbs(each_limb!(k => v.looked_up(&window.y_plus_x[k], places))),
            y_minus_x: field.of_limbs(each_limb!(k => v.looked_up(&window.y_minus_x[k], places))),
            twice_dxy: field.of_limbs(each_limb!(k => v.looked_up(&window.twice_dxy[k], places))),
        };
        chosen.negated(field, self.negative)
    }
}
