//! What a field of elements side by side offers to the code of points. All of it is constant time in elements and masks.
//!
//! # Kinds of elements
//!
//! * *tight*: may be multiplied.
//! * *wide*: a product as it comes, or a sum or difference of products. A carry makes it tight.
//! * *minuends*: products from which others may be taken. A field without signs adds a multiple of p to them.
//!
//! # What wide elements must bear
//!
//! Let P stand for a product and M for a minuend; tight are what a carry gives and what the makers of elements
//! give. A field must hold, before the carry: M + P, M - P, M + M, P + P, 2 M + P, 2 M - P, 4 M - 2 P, and M plus a small
//! multiple of a tight element. Each says why it does.

use super::super::comb::Entry;
use super::super::element::Element;
use super::vectors::Vectors;
use super::{LANE_COUNT, Work};

/// See the module's head. A token that implements it is proof that the processor has what it takes.
pub trait Field: Copy {
    type Vectors: Vectors;
    type Tight: Copy;
    type Wide: Copy;

    /// Does work in a function of its own for which the compiler may use the unit.
    fn apart<W: Work>(self, work: W) -> W::Output;

    /// What limbs lie in.
    fn vectors(self) -> Self::Vectors;

    fn product(self, a: &Self::Tight, b: &Self::Tight) -> Self::Wide;
    fn minuend(self, a: &Self::Tight, b: &Self::Tight) -> Self::Wide;
    fn square(self, a: &Self::Tight) -> Self::Wide;
    fn square_minuend(self, a: &Self::Tight) -> Self::Wide;
    fn add(self, a: &Self::Wide, b: &Self::Wide) -> Self::Wide;
    fn sub(self, a: &Self::Wide, b: &Self::Wide) -> Self::Wide;
    fn carry(self, a: &Self::Wide) -> Self::Tight;

    /// A minuend and `factor` times a tight element, for a factor below 2^17.
    fn plus_multiple(self, minuend: &Self::Wide, a: &Self::Tight, factor: u64) -> Self::Wide;

    /// One as a minuend.
    fn one(self) -> Self::Wide;
    /// From whole limbs below 2^51, one element to a lane: they may be multiplied by what a carry gives.
    fn of_limbs(self, limbs: [<Self::Vectors as Vectors>::Vector; 5]) -> Self::Tight;
    /// From carried elements ("Bounds" in [`super::super::element`]), one to a lane.
    fn of_elements(self, elements: &[Element; LANE_COUNT]) -> Self::Tight;
    /// The same carried element in every lane.
    #[inline(always)]
    fn all_of(self, element: &Element) -> Self::Tight {
        self.of_elements(&[*element; LANE_COUNT])
    }
    /// Carried elements, from what a carry or `of_elements` gave.
    fn to_elements(self, a: &Self::Tight) -> [Element; LANE_COUNT];

    /// Lane by lane `a` where `wanted` has a bit, `b` elsewhere.
    fn chosen(self, wanted: u8, a: &Self::Tight, b: &Self::Tight) -> Self::Tight;
    fn chosen_wide(self, wanted: u8, a: &Self::Wide, b: &Self::Wide) -> Self::Wide;
    /// The negatives where `wanted` has a bit: of what `of_limbs`, a carry or `of_elements` gave.
    fn negated(self, wanted: u8, a: &Self::Tight) -> Self::Tight;
    /// y + x, y - x and 2 d x y of each entry.
    #[inline(always)]
    fn entries(self, entries: &[&Entry; LANE_COUNT]) -> [Self::Tight; 3] {
        let v = self.vectors();
        let w = v.transposed(entries);
        [
            self.of_limbs(v.limbs([w[0], w[3], w[6], w[9]])),
            self.of_limbs(v.limbs([w[1], w[4], w[7], w[10]])),
            self.of_limbs(v.limbs([w[2], w[5], w[8], w[11]])),
        ]
    }
}
