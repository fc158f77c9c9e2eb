//! Eight elements side by side as a field for lanes ([`Field`]).
//!
//! # Bounds
//!
//! As in [`super::field`], with M = 267 * 2^52 < 2^60.07 for a product and bias limbs B between 2^61 - 2^15 and 2^61. A minuend
//! has the bias, so it is at least B > M and below 2^61 + M. The largest sum that is asked for is 4 minuends less two
//! products, below 4 (2^61 + M) < 2^63.7; the least is one minuend less one product, above 0.
//!
//! A multiple by a factor below 2^17 adds to a limb a low half, below 2^52, and twice a high half, below 2^17, in limb
//! 0 19 times twice it: with a minuend it is below 2^62.
//!
//! Entries are fully reduced, so their limbs are below 2^51, and 2 p less such a limb, or a carried one, is between 0 and
//! 2^52: negatives are tight.
//!
//! # Timing
//!
//! Straight-line code; masks that are secret act in vector selects only.

use core::arch::x86_64::__m512i;

use super::super::element::Element;
use super::super::lanes::{Avx512, Field, LANE_COUNT, Vectors, Work, each_limb};
use super::Ifma;
use super::field::{ALL, NONE, Tight8, Wide8};

// SAFETY of all blocks below: an `Ifma` exists only where the four features do.
impl Field for Ifma {
    type Vectors = Avx512;
    type Tight = Tight8;
    type Wide = Wide8;

    #[inline(always)]
    fn apart<W: Work>(self, work: W) -> W::Output {
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
        fn run<W: Work>(work: W) -> W::Output {
            work.run()
        }
        // SAFETY: see above.
        unsafe { run(work) }
    }

    #[inline(always)]
    fn vectors(self) -> Avx512 {
        self.into()
    }

    #[inline(always)]
    fn product(self, a: &Tight8, b: &Tight8) -> Wide8 {
        // SAFETY: see above.
        unsafe { a.mul(b, NONE) }
    }

    #[inline(always)]
    fn minuend(self, a: &Tight8, b: &Tight8) -> Wide8 {
        // SAFETY: see above.
        unsafe { a.mul(b, ALL) }
    }

    #[inline(always)]
    fn square(self, a: &Tight8) -> Wide8 {
        // SAFETY: see above.
        unsafe { a.square(NONE) }
    }

    #[inline(always)]
    fn square_minuend(self, a: &Tight8) -> Wide8 {
        // SAFETY: see above.
        unsafe { a.square(ALL) }
    }

    #[inline(always)]
    fn add(self, a: &Wide8, b: &Wide8) -> Wide8 {
        let vectors = self.vectors();
        Wide8(each_limb!(k => vectors.add(a.0[k], b.0[k])))
    }

    #[inline(always)]
    fn sub(self, a: &Wide8, b: &Wide8) -> Wide8 {
        let vectors = self.vectors();
        Wide8(each_limb!(k => vectors.sub(a.0[k], b.0[k])))
    }

    #[inline(always)]
    fn carry(self, a: &Wide8) -> Tight8 {
        // SAFETY: see above.
        unsafe { a.carry() }
    }

    #[inline(always)]
    fn plus_multiple(self, minuend: &Wide8, a: &Tight8, factor: u64) -> Wide8 {
        // SAFETY: see above.
        unsafe { minuend.plus_multiple(a, factor) }
    }

    #[inline(always)]
    fn one(self) -> Wide8 {
        // SAFETY: see above.
        unsafe { Wide8::one_with_bias() }
    }

    #[inline(always)]
    fn of_elements(self, elements: &[Element; LANE_COUNT]) -> Tight8 {
        // SAFETY: see above.
        unsafe { Tight8::from_lanes(elements.map(|element| element.0)) }
    }

    #[inline(always)]
    fn to_elements(self, a: &Tight8) -> [Element; LANE_COUNT] {
        // SAFETY: see above.
        unsafe { a.to_lanes() }.map(Element)
    }

    #[inline(always)]
    fn chosen(self, wanted: u8, a: &Tight8, b: &Tight8) -> Tight8 {
        Tight8(each_limb!(k => self.vectors().chosen(wanted, a.0[k], b.0[k])))
    }

    #[inline(always)]
    fn chosen_wide(self, wanted: u8, a: &Wide8, b: &Wide8) -> Wide8 {
        Wide8(each_limb!(k => self.vectors().chosen(wanted, a.0[k], b.0[k])))
    }

    #[inline(always)]
    fn negated(self, wanted: u8, a: &Tight8) -> Tight8 {
        const TWICE_P: [u64; 5] =
            [(1 << 52) - 38, (1 << 52) - 2, (1 << 52) - 2, (1 << 52) - 2, (1 << 52) - 2];
        let vectors = self.vectors();
        let negative = each_limb!(k => vectors.sub(vectors.all(TWICE_P[k]), a.0[k]));
        self.chosen(wanted, &Tight8(negative), a)
    }

    #[inline(always)]
    fn of_limbs(self, limbs: [__m512i; 5]) -> Tight8 {
        Tight8(limbs)
    }
}
