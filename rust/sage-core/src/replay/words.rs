//! Atomic 64-bit words, wherever they lie.
//!
//! The algorithms of this module see memory only through this trait, so that the same code runs on
//! a shared mapping and under a model checker that tries every order of events.
//!
//! All accesses are sequentially consistent: there is one order of all of them that every process
//! agrees on, and the proofs argue about that order. On x86-64 it costs nothing: loads are plain
//! loads, and an instruction that exchanges is a full barrier whatever is asked of it.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::SeqCst;

/// Words of a cache line.
pub(crate) const LINE_WORDS: usize = 8;

/// A row of atomic words.
pub(crate) trait Words {
    /// Reads a word.
    fn load(&self, at: usize) -> u64;

    /// Reads the words of a cache line, one after the other.
    fn load_line(&self, at: usize) -> [u64; LINE_WORDS] {
        core::array::from_fn(|offset| self.load(at + offset))
    }

    /// The words of a cache line where they lie, if they lie in memory like any other.
    #[inline]
    fn line_address(&self, _: usize) -> Option<&[AtomicU64; LINE_WORDS]> {
        None
    }

    /// Writes `new` if the word is still `current`; false if it was another.
    #[must_use]
    fn replace(&self, at: usize, current: u64, new: u64) -> bool;

    /// Writes `value` if it is more than the word.
    fn raise(&self, at: usize, value: u64);

    /// Asks for the cache line of a word, for writing. A hint.
    fn prefetch(&self, at: usize);
}

impl Words for [AtomicU64] {
    #[inline]
    fn load(&self, at: usize) -> u64 {
        self[at].load(SeqCst)
    }

    #[inline]
    fn load_line(&self, at: usize) -> [u64; LINE_WORDS] {
        let line: &[AtomicU64; LINE_WORDS] = self[at..at + LINE_WORDS].try_into().expect("as long");
        core::array::from_fn(|offset| line[offset].load(SeqCst))
    }

    #[inline]
    fn line_address(&self, at: usize) -> Option<&[AtomicU64; LINE_WORDS]> {
        self[at..at + LINE_WORDS].try_into().ok()
    }

    #[inline]
    fn replace(&self, at: usize, current: u64, new: u64) -> bool {
        self[at].compare_exchange(current, new, SeqCst, SeqCst).is_ok()
    }

    fn raise(&self, at: usize, value: u64) {
        self[at].fetch_max(value, SeqCst);
    }

    #[inline]
    fn prefetch(&self, at: usize) {
        super::prefetch::for_writing(&self[at]);
    }
}
