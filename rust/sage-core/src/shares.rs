//! A batch of independent items, shared among threads.
//!
//! The items are cut into runs of neighbours that are expected to cost the same, one for each thread, and the results
//! are put together in the order of the items. Whoever asks takes the first share; the other threads are started for
//! this batch and have ended when it is done. So nothing is left running, nothing is held between batches, and a
//! process may fork before and after. Starting a thread costs some ten microseconds: a share is [`SHARE_MIN_NS`] of
//! work or more, and a smaller batch stays with whoever asks.
//!
//! A panic of any share reaches whoever asked when all shares have ended.

use core::num::NonZeroUsize;
use core::ops::Range;
use std::panic::resume_unwind;
use std::thread;

/// Less is not worth a thread. As costs are estimated, about 64 signatures.
pub const SHARE_MIN_NS: usize = 2_000_000;

/// How many threads a batch may take, with the one that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// This many, at most.
    UpTo(NonZeroUsize),
    /// As many as this process has processors.
    Processors,
}

impl Threads {
    /// Only the one that asks.
    pub const ONE: Self = Self::UpTo(NonZeroUsize::MIN);
    /// The most that a batch takes.
    pub const MAX: usize = 256;

    fn count(self) -> usize {
        let count = match self {
            Self::UpTo(count) => count,
            Self::Processors => thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        count.get().min(Self::MAX)
    }
}

/// How one batch is cut.
pub struct Shares {
    /// Where each share ends. The first begins at 0, the others where the one before ends.
    ends: Vec<usize>,
    expected_ns: usize,
}

impl Shares {
    /// Cuts a batch by what each item is expected to cost.
    #[must_use]
    pub fn new(threads: Threads, costs_ns: impl ExactSizeIterator<Item = usize> + Clone) -> Self {
        let (item_count, expected_ns) = (costs_ns.len(), costs_ns.clone().sum());
        // Counting processors reads files of the system, so it is done for large batches alone.
        let count = match expected_ns / SHARE_MIN_NS {
            0 | 1 => 1,
            worth => threads.count().min(worth),
        };
        let middles_ns: Vec<usize> = match count {
            1 => Vec::new(),
            _ => costs_ns
                .scan(0, |before_ns, cost_ns| {
                    let middle_ns = *before_ns + cost_ns / 2;
                    *before_ns += cost_ns;
                    Some(middle_ns)
                })
                .collect(),
        };
        let end = |part| middles_ns.partition_point(|middle_ns| middle_ns * count < expected_ns * part);
        let ends = (1..count).map(end).chain([item_count]).collect();
        Self { ends, expected_ns }
    }

    /// What the whole batch is expected to cost, on one thread.
    #[must_use]
    pub fn expected_ns(&self) -> usize {
        self.expected_ns
    }

    /// Does `work` on each share; what it returns, in the order of the items.
    pub fn run<T: Send>(&self, work: impl Fn(Range<usize>) -> Vec<T> + Sync) -> Vec<T> {
        let mut shares = self.ranges();
        let first = shares.next().unwrap_or_default();
        thread::scope(|scope| {
            let start = |share: Range<usize>| {
                let (work, range) = (&work, share.clone());
                let builder = thread::Builder::new().name("sage-batch".to_owned());
                (share, builder.spawn_scoped(scope, move || work(range)))
            };
            let started: Vec<_> = shares.map(start).collect();
            let mut results = work(first);
            for (share, thread) in started {
                results.extend(match thread {
                    Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                    // The system has no thread to give.
                    Err(_) => work(share),
                });
            }
            results
        })
    }

    /// The shares that hold anything.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let begins = [0].into_iter().chain(self.ends.iter().copied());
        let ranges = begins.zip(&self.ends).map(|(begin, end)| begin..*end);
        ranges.filter(|range| !range.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    fn up_to(count: usize) -> Threads {
        Threads::UpTo(NonZeroUsize::new(count).expect("at least one"))
    }

    fn even(threads: Threads, count: usize) -> Shares {
        Shares::new(threads, std::iter::repeat_n(SHARE_MIN_NS, count))
    }

    proptest! {
        /// No share is above its part by more than the dearest item, and every item is in one share.
        #[test]
        fn every_item_is_worked_on_once_and_shares_cost_about_the_same(
            costs_ns in prop::collection::vec(prop_oneof![0..50_000_usize, 0..40_000_000_usize], 0..200),
            threads in 1..300_usize,
        ) {
            let shares = Shares::new(up_to(threads), costs_ns.iter().copied());
            let done = shares.run(|share| share.collect());
            prop_assert_eq!(done, (0..costs_ns.len()).collect::<Vec<_>>());
            let total_ns: usize = costs_ns.iter().sum();
            prop_assert_eq!(shares.expected_ns(), total_ns);
            let count = shares.ends.len();
            prop_assert!(count == 1 || count <= threads.min(Threads::MAX).min(total_ns / SHARE_MIN_NS));
            let dearest_ns = costs_ns.iter().max().copied().unwrap_or(0);
            for share in shares.ranges() {
                let share_ns: usize = costs_ns[share].iter().sum();
                prop_assert!(share_ns <= total_ns / count + dearest_ns + 1);
            }
        }
    }

    #[test]
    fn each_share_has_a_thread_of_its_own_and_the_first_is_ours() {
        let seen = Mutex::new(HashSet::new());
        even(up_to(4), 10).run(|share| {
            seen.lock().expect("nobody panics").insert((share.start, thread::current().id()));
            vec![(); share.len()]
        });
        let seen = seen.into_inner().expect("nobody panics");
        let threads: HashSet<_> = seen.iter().map(|(_, thread)| *thread).collect();
        assert_eq!((seen.len(), threads.len()), (4, 4));
        assert!(seen.contains(&(0, thread::current().id())));
    }

    #[test]
    fn small_batches_and_one_thread_stay_here() {
        let here = thread::current().id();
        let almost_two = std::iter::repeat_n(SHARE_MIN_NS / 64, 127);
        for shares in [Shares::new(up_to(8), almost_two), even(Threads::ONE, 1_000), even(up_to(8), 0)] {
            assert!(
                shares.run(|share| vec![thread::current().id(); share.len()]).iter().all(|id| *id == here)
            );
        }
        assert_eq!(even(up_to(1_000), 1_000).ends.len(), Threads::MAX);
        let processors = thread::available_parallelism().expect("known").get();
        assert_eq!(even(Threads::Processors, 1_000).ends.len(), processors.min(Threads::MAX));
    }

    #[test]
    fn a_panic_comes_out_when_all_shares_have_ended() {
        for bad in 0..4 {
            let ended = AtomicUsize::new(0);
            let run = || {
                even(up_to(4), 4).run(|share| {
                    assert!(share.start != bad, "share {bad}");
                    thread::sleep(core::time::Duration::from_millis(20));
                    ended.fetch_add(1, Ordering::SeqCst);
                    vec![()]
                })
            };
            let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("one share panics");
            assert_eq!(panic.downcast_ref::<String>().expect("a text"), &format!("share {bad}"));
            assert_eq!(ended.into_inner(), 3);
        }
    }
}
