//! Many X25519 agreements at once, in lanes ([`super::lanes`]), in constant time.
//!
//! How many there are is public. Up to [`GROUP_LEN`] share one inversion. A share of small order gives Z = 0, which has
//! no inverse: one stands in for it under a mask, and so the neighbours of such a share are not touched, and nobody sees from
//! outside which it was before the outcome says so. What is secret is wiped where it lies in memory.

use core::array::from_fn;

use zeroize::Zeroize;

use super::element::Element;
use super::lanes::{LANE_COUNT, ScalarBits, Unit, worthwhile_count};
use super::opaque::opaque;
use super::path::Path;
use super::point::invert_all;

#[cfg(test)]
mod tests;

/// Agreements that share an inversion.
const GROUP_LEN: usize = 64;

/// A secret and the share of the peer.
pub(crate) type Agreement<'a> = (&'a [u8; 32], &'a [u8; 32]);

/// The lanes that such agreements are computed in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LadderLanes(Unit);

impl LadderLanes {
    /// `None` where there are no lanes, or they are not to be taken.
    pub(crate) fn taken() -> Option<Self> {
        Path::taken().unit().map(Self)
    }

    /// Those of each path of this processor.
    #[cfg(test)]
    pub(crate) fn of_every_path() -> Vec<Self> {
        Path::units().map(Self).collect()
    }

    /// How many of so many agreements are worth being computed here: what is left is cheaper one by one.
    pub(crate) fn worthwhile_count(self, count: usize) -> usize {
        // With IFMA one by one is quicker, too, but lanes gain more.
        let pay_from = match self.0 {
            Unit::Ifma(_) => 3,
            Unit::Avx512(_) => 4,
            Unit::Avx2(_) => 5,
        };
        worthwhile_count(count, pay_from)
    }

    /// X25519 (RFC 7748, section 5) for each. All zero exactly where the share is a point of low order: the caller
    /// checks.
    ///
    /// Constant time in secrets and shares. Cost: eight lanes work whatever the length.
    pub(crate) fn agree(self, agreements: &[Agreement<'_>], shared: &mut [[u8; 32]]) {
        for (agreements, shared) in agreements.chunks(GROUP_LEN).zip(shared.chunks_mut(GROUP_LEN)) {
            let mut group = Group::new(self.0, agreements);
            group.invert();
            for (result, shared) in group.results().zip(shared) {
                *shared = result;
            }
        }
    }
}

/// Up to `GROUP_LEN` results before their division; wiped when dropped.
struct Group {
    numerators: [Element; GROUP_LEN],
    denominators: [Element; GROUP_LEN],
    len: usize,
}

impl Group {
    fn new(unit: Unit, agreements: &[Agreement<'_>]) -> Self {
        let mut group = Self {
            numerators: [Element::ONE; GROUP_LEN],
            denominators: [Element::ONE; GROUP_LEN],
            len: agreements.len(),
        };
        for (n, eight) in agreements.chunks(LANE_COUNT).enumerate() {
            // The last of a group that is not full is done several times.
            let agreement = |lane: usize| eight.get(lane).unwrap_or(&eight[eight.len() - 1]);
            let bits = ScalarBits::new(&from_fn(|lane| agreement(lane).0));
            let points = from_fn(|lane| Element::from_bytes(agreement(lane).1));
            let mut fractions = unit.ladders(&bits, &points);
            let lanes = n * LANE_COUNT..(n + 1) * LANE_COUNT;
            group.numerators[lanes.clone()].copy_from_slice(&fractions[0]);
            group.denominators[lanes].copy_from_slice(&fractions[1]);
            fractions.zeroize();
        }
        for (x, z) in group.numerators.iter_mut().zip(&mut group.denominators) {
            zero_over_one_for_none(x, z);
        }
        group
    }

    fn invert(&mut self) {
        let mut prefixes = [Element::ONE; GROUP_LEN];
        invert_all(&mut self.denominators[..self.len], &mut prefixes);
        prefixes.zeroize();
    }

    fn results(&self) -> impl Iterator<Item = [u8; 32]> {
        let fractions = self.numerators.iter().zip(&self.denominators).take(self.len);
        fractions.map(|(x, inverse)| x.mul(inverse).to_bytes())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.numerators.zeroize();
        self.denominators.zeroize();
    }
}

/// Makes X / 0 into 0 / 1, under a mask.
fn zero_over_one_for_none(x: &mut Element, z: &mut Element) {
    let any = z.to_words().into_iter().fold(0, |any, word| any | word);
    // The top bit of a word or of its negative is set, but for zero.
    let is_none = opaque(((any | any.wrapping_neg()) >> 63).wrapping_sub(1));
    for (limb, one) in z.0.iter_mut().zip(Element::ONE.0) {
        *limb = *limb & !is_none | one & is_none;
    }
    for limb in &mut x.0 {
        *limb &= !is_none;
    }
}
