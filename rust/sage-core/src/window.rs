//! The replay window over sequence numbers, after RFC 6479.
//!
//! A ring of 64-bit words holds one bit a sequence number. The window is the [`WINDOW_LEN`] numbers
//! up to the highest accepted one; moving forward clears whole words ahead instead of shifting
//! bits, which is why the ring has one word more than the window needs. A number is accepted if it
//! lies ahead of the window, or in it with its bit clear.
//!
//! The window must be asked only about authenticated numbers: a forged one would move it.

/// How far behind the highest accepted number a late record may be.
pub const WINDOW_LEN: u64 = 1024;

const WORD_BITS: u64 = 64;
/// One more than `WINDOW_LEN / 64`: the window ends anywhere in a word.
const WORDS: u64 = WINDOW_LEN / WORD_BITS + 1;

/// One ring. `highest` is meaningful once `any` is set.
#[derive(Clone)]
pub struct ReplayWindow {
    bits: [u64; WORDS as usize],
    highest: u64,
    any: bool,
}

impl ReplayWindow {
    /// A window that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { bits: [0; WORDS as usize], highest: 0, any: false }
    }

    /// Says what [`ReplayWindow::admit`] would, and remembers nothing.
    #[must_use]
    pub fn is_fresh(&self, seq: u64) -> bool {
        let ahead = !self.any || seq > self.highest;
        ahead || (self.highest - seq < WINDOW_LEN && self.bits[Self::slot(seq)] & Self::bit(seq) == 0)
    }

    /// Accepts `seq` once. False for a number seen before or fallen out of the window.
    #[must_use]
    pub fn admit(&mut self, seq: u64) -> bool {
        let fresh = self.is_fresh(seq);
        if fresh {
            if !self.any || seq > self.highest {
                self.advance(seq);
            }
            self.bits[Self::slot(seq)] |= Self::bit(seq);
        }
        fresh
    }

    /// The highest number accepted so far.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.any.then_some(self.highest)
    }

    fn advance(&mut self, seq: u64) {
        let from = if self.any { self.highest / WORD_BITS } else { seq / WORD_BITS };
        let steps = (seq / WORD_BITS - from).min(WORDS);
        for step in 1..=steps {
            self.bits[((from + step) % WORDS) as usize] = 0;
        }
        self.highest = seq;
        self.any = true;
    }

    const fn slot(seq: u64) -> usize {
        ((seq / WORD_BITS) % WORDS) as usize
    }

    const fn bit(seq: u64) -> u64 {
        1 << (seq % WORD_BITS)
    }
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// The definition, in the plainest words.
    #[derive(Default)]
    struct Model {
        seen: HashSet<u64>,
    }

    impl Model {
        fn admit(&mut self, seq: u64) -> bool {
            let highest = self.seen.iter().max().copied();
            let in_reach = highest.is_none_or(|highest| seq > highest || highest - seq < WINDOW_LEN);
            in_reach && self.seen.insert(seq)
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_model(jumps in prop::collection::vec((0_u64..3000, any::<bool>()), 1..400)) {
            let (mut window, mut model, mut at) = (ReplayWindow::new(), Model::default(), 5000_u64);
            for (jump, ahead) in jumps {
                at = if ahead { at + jump } else { at.saturating_sub(jump) };
                let fresh = window.is_fresh(at);
                prop_assert_eq!(fresh, model.admit(at), "at {}", at);
                prop_assert_eq!(window.admit(at), fresh, "at {}", at);
            }
        }
    }

    #[test]
    fn edges() {
        let mut window = ReplayWindow::new();
        assert!(window.admit(0));
        assert!(!window.admit(0));
        assert!(window.admit(1023));
        assert!(window.admit(1));
        assert!(window.admit(1024));
        assert!(!window.admit(0), "fell out");
        assert!(window.admit(u64::MAX));
        assert!(window.admit(u64::MAX - 1023));
        assert!(!window.admit(u64::MAX - 1024));
        assert!(!window.admit(u64::MAX));
    }
}
