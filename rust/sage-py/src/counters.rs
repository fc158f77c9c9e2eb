//! How many operations there were, and how long some of them took.
//!
//! Counting is off until somebody asks for it; it then costs a branch. All counting happens under the
//! interpreter lock, in batches after it was taken back: so an addition is a load and a store, which
//! no other thread comes between.
//!
//! One operation in `EVERY` is measured: reading a clock twice costs as much as sealing a short
//! record. Those of a batch are measured together and share its mean.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use pyo3::prelude::*;

const EVERY: u64 = 64;

/// The upper bounds of the buckets, in nanoseconds; the last bucket has none.
const BOUNDS_NS: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

static IS_ON: AtomicBool = AtomicBool::new(false);

pub static SEAL: Operation = Operation::new();
pub static OPEN: Operation = Operation::new();
pub static SIGN: Operation = Operation::new();
pub static VERIFY: Operation = Operation::new();

/// What is counted of one kind of operation. In a cache line of its own, as far as every call needs it.
#[repr(align(64))]
pub struct Operation {
    calls: AtomicU64,
    refused: AtomicU64,
    plaintext_len: AtomicU64,
    took_ns: AtomicU64,
    took: [AtomicU64; BOUNDS_NS.len() + 1],
}

/// What is known of operations that have begun.
pub enum Watch {
    /// Nobody counts.
    Off,
    /// They are counted, and not measured.
    Counting,
    /// They are measured since then.
    Since(Instant),
}

/// What is known of operations at their end: nothing if nobody counts, else how long they took, in
/// ns, if that was measured.
pub struct Took(Option<Option<u64>>);

impl Operation {
    const fn new() -> Self {
        Self {
            calls: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            plaintext_len: AtomicU64::new(0),
            took_ns: AtomicU64::new(0),
            took: [const { AtomicU64::new(0) }; _],
        }
    }

    /// Begins one operation.
    #[inline]
    pub fn begin(&self) -> Watch {
        if !IS_ON.load(Ordering::Relaxed) {
            Watch::Off
        } else if !self.calls.load(Ordering::Relaxed).is_multiple_of(EVERY) {
            Watch::Counting
        } else {
            started()
        }
    }

    /// Ends one operation: `plaintext_len` bytes of it count if it is done.
    #[inline]
    pub fn end(&self, _locked: Python<'_>, watch: Watch, is_done: bool, plaintext_len: usize) {
        match watch {
            Watch::Off => return,
            Watch::Counting => {}
            Watch::Since(start) => self.measured(since_ns(start), 1),
        }
        add(&self.calls, 1);
        if is_done {
            add(&self.plaintext_len, plaintext_len as u64);
        } else {
            add(&self.refused, 1);
        }
    }

    /// Begins a batch of `count`.
    pub fn begin_many(&self, count: usize) -> Watch {
        match self.begin() {
            Watch::Counting if self.samples(count as u64) > 0 => started(),
            watch => watch,
        }
    }

    /// Ends a batch, of which `refused` were: `plaintext_len` bytes count of the others.
    pub fn end_many(
        &self,
        _locked: Python<'_>,
        took: Took,
        count: usize,
        refused: usize,
        plaintext_len: usize,
    ) {
        let Took(Some(took_ns)) = took else { return };
        if let Some(took_ns) = took_ns {
            self.measured(took_ns, count as u64);
        }
        add(&self.calls, count as u64);
        add(&self.refused, refused as u64);
        add(&self.plaintext_len, plaintext_len as u64);
    }

    /// Counts one operation that is a part of something else, and not measured.
    pub fn count(&self, locked: Python<'_>, is_done: bool) {
        if IS_ON.load(Ordering::Relaxed) {
            self.end(locked, Watch::Counting, is_done, 0);
        }
    }

    #[cold]
    fn measured(&self, took_ns: u64, count: u64) {
        let samples = self.samples(count);
        if let Some(mean_ns) = took_ns.checked_div(count) {
            add(&self.took[BOUNDS_NS.partition_point(|bound| *bound < mean_ns)], samples);
            add(&self.took_ns, samples * mean_ns);
        }
    }

    /// How many of the next `count` operations have a number that `EVERY` divides.
    fn samples(&self, count: u64) -> u64 {
        let calls = self.calls.load(Ordering::Relaxed);
        (calls + count).div_ceil(EVERY) - calls.div_ceil(EVERY)
    }

    fn read(&self) -> Read {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let took = self.took.iter().map(read).collect();
        (read(&self.calls), read(&self.refused), read(&self.plaintext_len), read(&self.took_ns), took)
    }
}

impl Watch {
    /// Ends the measurement, if there is one; needs no interpreter.
    pub fn stop(self) -> Took {
        Took(match self {
            Self::Off => None,
            Self::Counting => Some(None),
            Self::Since(start) => Some(Some(since_ns(start))),
        })
    }
}

#[cold]
fn started() -> Watch {
    Watch::Since(Instant::now())
}

fn since_ns(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[inline]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// Calls, refused ones among them, bytes of plaintext, measured ns, and measured calls by bucket.
type Read = (u64, u64, u64, u64, Vec<u64>);

/// Begin or cease to count. What was counted stays.
#[pyfunction]
#[pyo3(name = "_count_operations", signature = (is_on, /))]
pub fn count_operations(is_on: bool) {
    IS_ON.store(is_on, Ordering::Relaxed);
}

/// What was counted of seal, open, sign and verify, and the bounds of the buckets in ns.
#[pyfunction]
#[pyo3(name = "_operation_counts")]
pub fn operation_counts() -> (Read, Read, Read, Read, Vec<u64>) {
    (SEAL.read(), OPEN.read(), SIGN.read(), VERIFY.read(), BOUNDS_NS.to_vec())
}
