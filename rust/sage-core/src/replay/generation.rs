//! Time as a counter that only grows.
//!
//! Time is cut into *generations* of 2^n milliseconds. An entry belongs to the generation in which
//! it may be forgotten. The *floor* of a table is the first generation that is still remembered:
//! whatever belongs to an earlier one is given up, and nothing of that time is ever admitted again.
//! So it does not matter what a clock does. A floor that was raised too far, by a clock that ran
//! ahead, refuses too much; it never admits twice.

/// The shortest generation. Entries live up to one generation longer than asked.
pub const MIN_GENERATION_MS: u64 = 1 << 10;
/// The farthest that a table can look ahead: 31 days.
pub const MAX_HORIZON_MS: u64 = 31 * 24 * 3_600_000;

/// How many generations a horizon is cut into, at the most.
const HORIZON_GENERATIONS: u64 = 512;

/// How a table cuts time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generations {
    shift: u32,
    horizon_ms: u64,
}

impl Generations {
    /// Generations for entries that are remembered for at most `horizon_ms`: the shortest that cut
    /// it into no more than 512.
    ///
    /// # Panics
    /// If the horizon is 0 or beyond [`MAX_HORIZON_MS`]; callers check.
    pub(crate) fn for_horizon(horizon_ms: u64) -> Self {
        assert!((1..=MAX_HORIZON_MS).contains(&horizon_ms));
        let mut length_ms = MIN_GENERATION_MS;
        while length_ms * HORIZON_GENERATIONS < horizon_ms {
            length_ms *= 2;
        }
        Self { shift: length_ms.trailing_zeros(), horizon_ms }
    }

    /// The generation that a time lies in, from 1 on: 0 is the floor of a table that was never used.
    #[inline]
    pub(crate) const fn of(self, time_ms: u64) -> u64 {
        (time_ms >> self.shift) + 1
    }

    /// When a generation begins.
    #[inline]
    pub(crate) const fn start_ms(self, generation: u64) -> u64 {
        generation.saturating_sub(1) << self.shift
    }

    /// The length of a generation.
    pub(crate) const fn length_ms(self) -> u64 {
        1 << self.shift
    }

    /// How long an entry may be remembered at the most, as stated.
    pub(crate) const fn horizon_ms(self) -> u64 {
        self.horizon_ms
    }

    /// The farthest ahead of the clock that is taken: one generation more than stated, so that two
    /// readings of a clock a moment apart do not refuse what lies at the edge.
    pub(crate) const fn limit_ms(self) -> u64 {
        self.horizon_ms + self.length_ms()
    }

    /// From the floor on, how many generations may hold entries: the horizon, the one more of
    /// `limit_ms`, and the ends of both.
    pub(crate) const fn window(self) -> u64 {
        (self.limit_ms() >> self.shift) + 2
    }
}

#[cfg(test)]
mod tests {
    use super::super::slot::TAG_SPAN;
    use super::*;

    #[test]
    fn every_horizon_fits_the_tags() {
        for horizon_ms in [1, 1000, 180_000, 1 << 20, (1 << 20) + 1, 86_400_000, MAX_HORIZON_MS] {
            let generations = Generations::for_horizon(horizon_ms);
            assert!(generations.window() <= HORIZON_GENERATIONS + 3, "{horizon_ms}");
            assert!(generations.window() < TAG_SPAN / 2, "{horizon_ms}");
        }
    }

    #[test]
    fn a_handshake_is_remembered_for_a_second_more_than_asked_at_the_most() {
        let generations = Generations::for_horizon(180_000);
        assert_eq!(generations.length_ms(), 1024);
        let until_ms = 1_800_000_000_500;
        let end_ms = generations.start_ms(generations.of(until_ms) + 1);
        assert!((1..=1024).contains(&(end_ms - until_ms)));
    }
}
