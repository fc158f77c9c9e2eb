//! Words under the model checker: every access may be the moment at which another thread goes on.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::Ordering::SeqCst;
use loom::sync::atomic::fence;

use super::super::generation::Generations;
use super::super::table::{Layout, Table};
use super::super::words::{LINE_WORDS, Words};

pub(super) const FLOOR: u64 = 1000;
const LINES_AT: usize = LINE_WORDS;

/// Words of a small table.
pub(super) struct Modelled {
    words: Vec<AtomicU64>,
    line_count: u64,
}

impl Modelled {
    /// A table whose floor is [`FLOOR`] and whose words are as given, line by line.
    pub(super) fn new(lines: &[[u64; LINE_WORDS]]) -> Self {
        let mut initial = vec![0; LINES_AT];
        initial[0] = FLOOR;
        initial.extend(lines.iter().flatten());
        Self { words: initial.into_iter().map(AtomicU64::new).collect(), line_count: lines.len() as u64 }
    }

    pub(super) fn table(&self) -> Table<'_, Self> {
        Table { words: self, layout: self.layout() }
    }

    pub(super) fn layout(&self) -> Layout {
        Layout {
            floor_at: 0,
            cursor_at: 1,
            lines_at: LINES_AT,
            line_count: self.line_count,
            generations: Generations::for_horizon(180_000),
            body_words: 0,
        }
    }
}

// The checker takes sequentially consistent accesses for weaker ones; fences around them make up
// for it.
impl Words for Modelled {
    fn load(&self, at: usize) -> u64 {
        fence(SeqCst);
        self.words[at].load(SeqCst)
    }

    fn replace(&self, at: usize, current: u64, new: u64) -> bool {
        let replaced = self.words[at].compare_exchange(current, new, SeqCst, SeqCst).is_ok();
        fence(SeqCst);
        replaced
    }

    fn raise(&self, at: usize, value: u64) {
        self.words[at].fetch_max(value, SeqCst);
        fence(SeqCst);
    }

    fn prefetch(&self, _: usize) {}
}

/// The same words, seen by somebody who dies before a certain access.
pub(super) struct Mortal<'a> {
    words: &'a Modelled,
    left_count: Cell<usize>,
}

struct Death;

/// Calls `with` on a table; `None` if its user died before the access of this number.
pub(super) fn until_access<R>(
    words: &Modelled,
    access_count: usize,
    with: impl FnOnce(Table<'_, Mortal<'_>>) -> R,
) -> Option<R> {
    let mortal = Mortal { words, left_count: Cell::new(access_count) };
    let table = Table { words: &mortal, layout: words.layout() };
    match catch_unwind(AssertUnwindSafe(|| with(table))) {
        Ok(result) => Some(result),
        Err(cause) if cause.is::<Death>() => None,
        Err(cause) => resume_unwind(cause),
    }
}

impl Mortal<'_> {
    fn live(&self) {
        match self.left_count.get().checked_sub(1) {
            Some(left_count) => self.left_count.set(left_count),
            None => resume_unwind(Box::new(Death)),
        }
    }
}

impl Words for Mortal<'_> {
    fn load(&self, at: usize) -> u64 {
        self.live();
        self.words.load(at)
    }

    fn replace(&self, at: usize, current: u64, new: u64) -> bool {
        self.live();
        self.words.replace(at, current, new)
    }

    fn raise(&self, at: usize, value: u64) {
        self.live();
        self.words.raise(at, value);
    }

    fn prefetch(&self, _: usize) {}
}
