//! One entry of a table in one word.
//!
//! ```text
//!  63            13 12        1   0
//! ┌────────────────┬───────────┬───────┐
//! │ fingerprint 51 │ tag    12 │ final │
//! └────────────────┴───────────┴───────┘
//!                     generation mod 4096
//!   fingerprint 0, final 0: vacant, never used or swept
//!   fingerprint 0, final 1: spent, belongs to nobody; free when its generation is over
//! ```
//!
//! A name is written in two steps, *tentative* and *final*; see `table.rs` for why.
//!
//! Of the 4,096 tags, the half from the floor on is live and the other half is over. No entry is
//! made more than 515 generations ahead, and sweeping makes vacant what is over long before its tag
//! comes round again.

/// How many tags there are.
pub(crate) const TAG_SPAN: u64 = 1 << TAG_BITS;
/// Bits of a hash that an entry keeps, beside its place.
pub(crate) const FINGERPRINT_BITS: u32 = 63 - TAG_BITS;

pub(crate) const TAG_BITS: u32 = 12;
const FINAL: u64 = 1;
/// The bits of a place that is free whatever the floor: a tag, and nothing else.
pub(crate) const VACANT: u64 = (TAG_SPAN - 1) << 1;

/// A word of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(u64);

/// What of a name stands in its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// The upper bits of a hash. Zero means something else, so it becomes one.
    pub(crate) const fn of_hash(hash: u64) -> Self {
        let bits = hash >> (64 - FINGERPRINT_BITS);
        Self(if bits == 0 { 1 } else { bits })
    }
}

impl Fingerprint {
    /// The bits as they stand at the top of a slot.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }
}

impl Slot {
    pub(crate) const fn from_word(word: u64) -> Self {
        Self(word)
    }

    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    /// The name is about to be claimed here.
    pub(crate) const fn tentative(fingerprint: Fingerprint, generation: u64) -> Self {
        Self(fingerprint.0 << (TAG_BITS + 1) | Self::tag_of(generation) << 1)
    }

    /// The name was claimed.
    pub(crate) const fn decided(self) -> Self {
        Self(self.0 | FINAL)
    }

    /// The same place with nobody's name on it: still taken, until its generation is over.
    pub(crate) const fn spent(self) -> Self {
        Self(self.tag() << 1 | FINAL)
    }

    /// A free place, whatever the floor. It carries the tag of the generation that was over last, so
    /// that it is not the word that stood there before.
    pub(crate) const fn swept(floor: u64) -> Self {
        Self(Self::tag_of(floor.wrapping_sub(1)) << 1)
    }

    /// True if the place may be taken: vacant, or of a generation that is over.
    #[inline]
    pub(crate) const fn is_free(self, floor: u64) -> bool {
        self.is_vacant() || is_over(self.0 >> 1, floor)
    }

    /// True if the place was never used, or was swept.
    #[inline]
    pub(crate) const fn is_vacant(self) -> bool {
        self.0 & !VACANT == 0
    }

    /// True if this name stands in the place, whatever its generation and state.
    #[inline]
    pub(crate) const fn holds(self, fingerprint: Fingerprint) -> bool {
        self.0 >> (TAG_BITS + 1) == fingerprint.0
    }

    #[inline]
    pub(crate) const fn is_final(self) -> bool {
        self.0 & FINAL != 0
    }

    /// True if the place is taken and nobody's.
    pub(crate) const fn is_spent(self) -> bool {
        self.0 >> (TAG_BITS + 1) == 0 && self.is_final()
    }

    /// The generation of a live entry.
    pub(crate) const fn generation(self, floor: u64) -> u64 {
        floor + (self.tag().wrapping_sub(floor) & (TAG_SPAN - 1))
    }

    /// True if the entry may be of this generation, as far as the word tells.
    pub(crate) const fn has_generation(self, generation: u64) -> bool {
        self.tag() == Self::tag_of(generation)
    }

    /// The generation, as far as the word tells.
    pub(crate) const fn tag(self) -> u64 {
        self.0 >> 1 & (TAG_SPAN - 1)
    }

    const fn tag_of(generation: u64) -> u64 {
        generation & (TAG_SPAN - 1)
    }
}

/// True if a tag is of the half that is over. Bits above the tag do not matter.
#[inline]
pub(crate) const fn is_over(tag: u64, floor: u64) -> bool {
    tag.wrapping_sub(floor) & (TAG_SPAN / 2) != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn says_what_was_written(hash: u64, floor in 0_u64..1 << 50, ahead in 0..TAG_SPAN / 2) {
            let fingerprint = Fingerprint::of_hash(hash);
            let slot = Slot::tentative(fingerprint, floor + ahead);
            prop_assert!(!slot.is_vacant() && !slot.is_final() && !slot.is_spent());
            prop_assert!(slot.holds(fingerprint));
            prop_assert!(!slot.is_free(floor));
            prop_assert_eq!(slot.generation(floor), floor + ahead);
            prop_assert!(slot.decided().is_final() && slot.decided().holds(fingerprint));
            let spent = slot.spent();
            prop_assert!(spent.is_spent() && !spent.holds(fingerprint) && !spent.is_free(floor));
            prop_assert_eq!(spent.tag(), slot.tag());
        }

        #[test]
        fn is_free_once_over(hash: u64, generation in 0_u64..1 << 50, later in 1..=TAG_SPAN / 2) {
            let slot = Slot::tentative(Fingerprint::of_hash(hash), generation);
            prop_assert!(slot.is_free(generation + later));
            prop_assert!(slot.spent().is_free(generation + later));
        }
    }
}
