//! Claimers that are stopped before any of their accesses, for as long as the rest of the world
//! likes, and then go on.

use std::cell::{Cell, RefCell};
use std::sync::atomic::AtomicU64;

use super::super::fingerprint::Name;
use super::super::generation::Generations;
use super::super::table::{Claim, LINE_SLOTS, Layout, Place, Table};
use super::super::window_table::{BODY_WORDS, Body, Step};
use super::super::words::{LINE_WORDS, Words};

const FLOOR: u64 = 1_000_000;
const LINES_AT: usize = 64;
/// No operation here takes more accesses.
const MAX_ACCESSES: usize = 400;

/// Words, one of whose users is stopped before an access while `meanwhile` happens.
struct Stopped<'a> {
    words: &'a [AtomicU64],
    left_count: Cell<usize>,
    meanwhile: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl Stopped<'_> {
    fn step(&self) {
        match self.left_count.get().checked_sub(1) {
            Some(left_count) => self.left_count.set(left_count),
            None => {
                let meanwhile = self.meanwhile.borrow_mut().take();
                if let Some(meanwhile) = meanwhile {
                    meanwhile();
                }
            }
        }
    }
}

impl Words for Stopped<'_> {
    fn load(&self, at: usize) -> u64 {
        self.step();
        self.words.load(at)
    }

    fn replace(&self, at: usize, current: u64, new: u64) -> bool {
        self.step();
        self.words.replace(at, current, new)
    }

    fn raise(&self, at: usize, value: u64) {
        self.step();
        self.words.raise(at, value);
    }

    fn prefetch(&self, _: usize) {}
}

struct World {
    words: Vec<AtomicU64>,
    layout: Layout,
}

impl World {
    fn new(line_count: u64) -> Self {
        let layout = Layout {
            floor_at: 0,
            cursor_at: 8,
            lines_at: LINES_AT,
            line_count,
            generations: Generations::for_horizon(180_000),
            body_words: BODY_WORDS,
        };
        let line_words = LINE_WORDS + LINE_SLOTS * BODY_WORDS;
        let words = (0..LINES_AT + line_count as usize * line_words).map(|_| AtomicU64::new(0)).collect();
        let world = Self { words, layout };
        world.advance(FLOOR);
        world
    }

    fn table(&self) -> Table<'_, [AtomicU64]> {
        Table { words: &self.words, layout: self.layout }
    }

    fn advance(&self, generation: u64) {
        self.table().advance(self.layout.generations.start_ms(generation));
    }

    /// Runs `with` and stops it before its access of this number. False if it took fewer.
    fn stopped<'a, R>(
        &'a self,
        access_count: usize,
        meanwhile: impl FnOnce() + 'a,
        with: impl FnOnce(Table<'_, Stopped<'a>>) -> R,
    ) -> (R, bool) {
        let words = Stopped {
            words: &self.words,
            left_count: Cell::new(access_count),
            meanwhile: RefCell::new(Some(Box::new(meanwhile))),
        };
        let result = with(Table { words: &words, layout: self.layout });
        let was_stopped = words.meanwhile.borrow().is_none();
        (result, was_stopped)
    }
}

fn name(number: u64) -> Name {
    Name::from_halves(0, number << 32)
}

fn place(claim: Claim) -> Place {
    match claim {
        Claim::Fresh(place) | Claim::Known(place) => place,
        Claim::GivenUp | Claim::Full => panic!("{claim:?}"),
    }
}

/// Calls `check` for every access of an operation, until it takes fewer.
fn for_every_access(check: impl Fn(usize) -> bool) {
    let last = (0..MAX_ACCESSES).find(|access_count| !check(*access_count)).expect("it ends");
    assert!(last > 4, "only {last} accesses");
}

#[test]
fn what_was_given_up_meanwhile_is_not_claimed() {
    for_every_access(|access_count| {
        let world = World::new(1);
        let was_final = Cell::new(false);
        let meanwhile = || {
            was_final.set(world.table().find(name(1)).is_some());
            // Only the floor: nobody sweeps.
            assert!(world.table().words.replace(0, FLOOR, FLOOR + 5));
        };
        let (claim, was_stopped) =
            world.stopped(access_count, meanwhile, |table| table.claim(name(1), FLOOR + 4));
        if was_stopped && !was_final.get() {
            assert_eq!(claim, Claim::GivenUp, "stopped before access {access_count}");
        }
        was_stopped
    });
}

/// A floor so long past that living entries look as if they were over.
#[test]
fn a_sleeper_takes_no_living_entry() {
    for ahead in [2, 100, 1030, 2000, 2047, 2048, 2500, 3000, 4000, 4095, 4096, 5000] {
        for_every_access(|access_count| {
            let world = World::new(1);
            let meanwhile = || {
                world.advance(FLOOR + ahead);
                for number in 10..15 {
                    let claim = world.table().claim(name(number), FLOOR + ahead + 50);
                    assert!(matches!(claim, Claim::Fresh(_)));
                }
            };
            let (claim, was_stopped) =
                world.stopped(access_count, meanwhile, |table| table.claim(name(1), FLOOR + 1));
            assert!(matches!(claim, Claim::Fresh(_) | Claim::GivenUp), "{claim:?}");
            for number in (10..15).filter(|_| was_stopped) {
                let claim = world.table().claim(name(number), FLOOR + ahead + 50);
                assert!(matches!(claim, Claim::Known(_)), "{number} after {ahead}, access {access_count}");
            }
            was_stopped
        });
    }
}

/// The same name claimed by others meanwhile, in this and in a later time: one gets it.
#[test]
fn a_sleeper_gets_no_second_claim() {
    for moves in [0, 1, 2] {
        for_every_access(|access_count| {
            let world = World::new(2);
            let other = Cell::new(None);
            let meanwhile = || {
                world.advance(FLOOR + moves);
                other.set(Some(world.table().claim(name(1), FLOOR + 10)));
            };
            let (claim, was_stopped) =
                world.stopped(access_count, meanwhile, |table| table.claim(name(1), FLOOR + 10));
            let claims = [Some(claim), other.get()];
            let fresh_count = claims.iter().filter(|claim| matches!(claim, Some(Claim::Fresh(_)))).count();
            assert_eq!(fresh_count, 1, "{claims:?} at access {access_count}");
            was_stopped
        });
    }
}

/// The same nonce in a later request: what stays behind is remembered as long as the later one asks.
#[test]
fn a_sleeper_shortens_no_memory() {
    // In its home line, and beyond one that was full when it was written.
    for others in [0, 7] {
        for_every_access(|access_count| {
            let world = World::new(2);
            for number in 10..10 + others {
                assert!(matches!(world.table().claim(name(number), FLOOR + 3), Claim::Fresh(_)));
            }
            let later = Cell::new(None);
            let meanwhile = || later.set(Some(world.table().claim(name(1), FLOOR + 20)));
            let (claim, was_stopped) =
                world.stopped(access_count, meanwhile, |table| table.claim(name(1), FLOOR + 10));
            if let Some(Claim::Fresh(_)) = later.get() {
                assert!(matches!(claim, Claim::Known(_)), "{claim:?}");
                world.advance(FLOOR + 15);
                let again = world.table().claim(name(1), FLOOR + 20);
                assert!(matches!(again, Claim::Known(_)), "{again:?}, stopped before access {access_count}");
            }
            was_stopped
        });
    }
}

/// The place that a sleeper had found free is taken by another, given up and swept, while the name is
/// claimed elsewhere.
#[test]
fn a_sleeper_takes_no_place_that_has_come_back() {
    for_every_access(|access_count| {
        let world = World::new(1);
        let (short, long) = (FLOOR + 1, FLOOR + 500);
        let other = Cell::new(None);
        let meanwhile = || {
            assert!(matches!(world.table().claim(name(2), short), Claim::Fresh(_)));
            other.set(Some(world.table().claim(name(1), long)));
            // The one line is swept once in 1,024 generations.
            world.advance(FLOOR.next_multiple_of(1024) + 1);
        };
        let (claim, was_stopped) = world.stopped(access_count, meanwhile, |table| table.claim(name(1), long));
        let again = world.table().claim(name(1), long);
        let claims = [Some(claim), other.get(), Some(again)];
        let fresh_count = claims.iter().filter(|claim| matches!(claim, Some(Claim::Fresh(_)))).count();
        assert_eq!(fresh_count, 1, "{claims:?}, stopped before access {access_count}");
        was_stopped
    });
}

/// A worker stopped in the middle of a window, whose place goes to another session meanwhile.
#[test]
fn a_sleeper_spoils_no_window_of_others() {
    for seqs in
        [vec![], vec![70], vec![5, 64, 65, 70, 200], vec![70, 70 + 39 * 32, 5000], (40..110).collect()]
    {
        for_every_access(|access_count| {
            let world = World::new(1);
            let sleeper = place(world.table().claim(name(1), FLOOR + 10));
            for seq in [60, 66, 71] {
                assert_eq!(Body::of(world.table(), sleeper).admit(seq), Step::Admitted);
            }
            let was_admitted = Cell::new(false);
            let meanwhile = || {
                was_admitted.set(!Body::of(world.table(), sleeper).is_fresh(70));
                world.advance(FLOOR + 11);
                let next = place(world.table().claim(name(2), FLOOR + 30));
                assert_eq!(next.at, sleeper.at, "the place goes on");
                for seq in &seqs {
                    assert_eq!(Body::of(world.table(), next).admit(*seq), Step::Admitted, "{seq}");
                }
            };
            let (step, was_stopped) =
                world.stopped(access_count, meanwhile, |table| Body::of(table, sleeper).admit(70));
            if was_stopped && !was_admitted.get() {
                assert_eq!(step, Step::Lost, "stopped before access {access_count}");
            }
            // Whatever was seen stays seen, and what is 1,024 behind the highest stays too old.
            let too_old = seqs.iter().max().and_then(|highest| highest.checked_sub(1024));
            for seq in seqs.iter().chain(&too_old).filter(|_| was_stopped) {
                let next = place(world.table().claim(name(2), FLOOR + 30));
                let again = Body::of(world.table(), next).admit(*seq);
                assert_eq!(again, Step::Replayed, "{seq}, stopped before access {access_count}");
            }
            was_stopped
        });
    }
}
