//! A table that gives each name one place, whoever asks for it and however many ask at once.
//!
//! # Shape
//!
//! Cache lines of eight words: one *mark* and seven [slots](super::slot). A name's hash says in
//! which line its search begins; when the seven are taken the search goes on in the next line. Slots
//! become free again when their generation falls below the *floor*; see `generation.rs`. Nothing is
//! ever removed by hand, so a search that starts at a name's home and takes the *first free slot*
//! always fills lines in order.
//!
//! The mark of a line says until which generation some entry lies beyond it that had to pass it. A
//! search for a name ends at the first line that has a free slot and whose mark is over.
//!
//! # A claim
//!
//! 1. Read the floor. A name of a generation below it is given up.
//! 2. Search for the name. If it is there and final, it is known.
//! 3. If the name is there *tentative*, raise the marks of the lines that were passed to its
//!    generation, and go on with step 6. But if a free slot lies before it, it is misplaced: make the
//!    place spent and begin again. If it is of an earlier generation than this request, write the
//!    later one, and begin again.
//! 4. Raise the marks of the lines that were passed. If the floor has moved, begin again.
//! 5. Replace the first free slot by the name, tentative. If somebody was quicker, begin again.
//! 6. If the floor has moved, begin again.
//! 7. Replace tentative by *final*. This is the moment of the claim. If somebody was quicker, begin
//!    again.
//! 8. If the floor has passed the name's generation in the meantime, it is given up.
//!
//! A tentative name belongs to nobody. Whoever finds it where it should be makes it final, and the
//! name is his; whether the one who wrote it was slower or is dead makes no difference.
//!
//! # Why no name is claimed twice
//!
//! All accesses are in one order (`words.rs`), and the floor only grows. While the floor stays the
//! same a slot that is taken stays taken: tentative, final and spent all count as taken, and only a
//! higher floor frees them. A replacement looks at whole words, and no word comes back to a slot:
//! what is over is swept to a word with the tag of the generation that was over last. So
//! a replacement that succeeds shows that the word it had read stood there all the time in between. A
//! search with floor f sees every slot up to the first one that was free for it, and every living
//! entry of the name beyond, since the marks of full lines before it were raised to its generation.
//!
//! Let A make the name final in slot i, with floor f in its steps 1 and 6, and let C do so in slot k,
//! with floor c, both for generations that are not given up. Let i lie before k.
//!
//! C's search found no free slot before k, and no name in i: for C, slot i was taken by somebody
//! else. B wrote the name there, over a word that was free for B's floor b and stood there since B
//! had read it. Whether C looked before that or meanwhile: what was taken for c was free for b, so
//! b > c. C read c, in step 6, after the name stood in k. B read b later than that, so B's search came
//! by k when the name was there. Had it been final, B would not have written. Had it been tentative,
//! B would have found it misplaced, for i was free and lies before it, and made it spent, and then C
//! could not make it final. So it was not there yet, and was written later, by somebody who had looked
//! at i before B wrote, with a floor below b. He does not pass step 6, and neither does anybody with
//! such a floor; to everybody with a higher one the name in k is misplaced or not the first. So nobody
//! makes the name final in k while it stands in i, tentative or final, and a search may end where it
//! first finds the name.
//!
//! Somebody gets it, or its time is over: whoever is refused as a replay has seen the name final.
//!
//! Step 4 looks at the floor again so that no slot is judged by a floor that is long past: a process
//! that was stopped for hours would else take a living entry for one that is over. Step 8 is for
//! whoever was stopped before step 7. What remains is the length of a tag: a word of the same name
//! and tag may stand in the same slot 4,096 generations later (70 minutes at the least). That takes a
//! process that stood still all that time between two instructions while others went on, and the
//! same name again.
//!
//! `tests/interleavings.rs` has a model checker try all this, and `tests/interruptions.rs` stops
//! claimers before each of their accesses.
//!
//! # Sweeping
//!
//! A slot whose generation is over may be taken as it is. It must not stand there until its tag
//! comes round (2,048 generations): it would seem alive again, which refuses nothing wrongly (that
//! takes a fingerprint too) but wastes the place. Whoever moves the floor sweeps a part of the
//! table, all of it once in [`SWEEP_PERIOD`] generations. After a longer silence the floor moves in
//! two steps, with a sweep of everything between them. A sweeper that dies leaves its part to the
//! next round.

use core::ops::Range;

use super::fingerprint::Name;
use super::generation::Generations;
use super::line::Line;
use super::slot::{Slot, TAG_BITS, is_over};
use super::words::{LINE_WORDS, Words};

/// Slots of a line; its first word is the mark.
pub(crate) const LINE_SLOTS: usize = LINE_WORDS - 1;
/// How many lines a search may take. At the stated capacity the chance that so many neighbours are
/// full is below 10^-20; in a table that is fuller, the end of the search means *full*.
pub(crate) const MAX_RUN: u64 = 128;
/// In how many generations all of the table is swept.
const SWEEP_PERIOD: u64 = 1024;
/// By how many generations the floor moves at once, with a sweep of their share. Together with the
/// period it stays below 2,048, so that no tag comes round between two sweeps.
const MAX_SHARE: u64 = 600;

/// Lines that are swept between two looks at the cursor of a whole sweep.
const SWEEP_CHUNK: u64 = 512;

/// Where the parts of a table lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// The word with the floor.
    pub(crate) floor_at: usize,
    /// The word that says how far a whole sweep has come.
    pub(crate) cursor_at: usize,
    /// The first word of the first line.
    pub(crate) lines_at: usize,
    /// How many lines there are.
    pub(crate) line_count: u64,
    /// How time is cut.
    pub(crate) generations: Generations,
    /// Words of the body behind each slot.
    pub(crate) body_words: usize,
}

impl Layout {
    /// The first word of the first body.
    #[inline]
    pub(crate) const fn bodies_at(&self) -> usize {
        self.lines_at + self.line_count as usize * LINE_WORDS
    }
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The name is this caller's: it has a place now.
    Fresh(Place),
    /// The name had a place before.
    Known(Place),
    /// The name's generation is over.
    GivenUp,
    /// No place is free within reach of the name's home. Nothing was changed.
    Full,
}

/// Where an entry stands, and the word that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: usize,
    pub(crate) slot: Slot,
}

/// What a search found.
enum Found {
    Final(Place),
    /// Tentative, with or without a free slot before it.
    Tentative {
        place: Place,
        is_first: bool,
        passed_count: u64,
    },
    Free {
        place: Place,
        passed_count: u64,
    },
    Nothing,
}

/// A table, for the time of one call.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a, W: ?Sized> {
    pub(crate) words: &'a W,
    pub(crate) layout: Layout,
}

impl<W: Words + ?Sized> Table<'_, W> {
    /// The first generation that is still remembered.
    #[inline]
    pub(crate) fn floor(&self) -> u64 {
        self.words.load(self.layout.floor_at)
    }

    /// Asks for the line where the search for a name begins.
    #[inline]
    pub(crate) fn prefetch(&self, name: Name) {
        self.words.prefetch(self.line_at(name.home(self.layout.line_count)));
    }

    /// Gives the name a place until `generation` is over, unless it has one.
    ///
    /// The floor must have been moved up to the present before, so that `generation` lies no more
    /// than [`Generations::window`] above it.
    #[inline]
    pub(crate) fn claim(&self, name: Name, generation: u64) -> Claim {
        loop {
            let floor = self.floor();
            if generation < floor {
                return Claim::GivenUp;
            }
            let place = match self.search(name, floor) {
                Found::Final(place) => return Claim::Known(place),
                Found::Nothing if self.floor() == floor => return Claim::Full,
                Found::Nothing => continue,
                Found::Tentative { place, is_first, passed_count } => {
                    if !self.settle(place, is_first, name, generation, floor) {
                        continue;
                    }
                    // Who wrote it may have passed other lines, or for a shorter time.
                    self.mark_passed(name, passed_count, place.slot.generation(floor));
                    place
                }
                Found::Free { place, passed_count } => {
                    self.mark_passed(name, passed_count, generation);
                    let tentative = Slot::tentative(name.fingerprint, generation);
                    if self.floor() != floor || !self.replace(place, tentative) {
                        continue;
                    }
                    Place { at: place.at, slot: tentative }
                }
            };
            let decided = Place { at: place.at, slot: place.slot.decided() };
            if self.floor() == floor && self.replace(place, decided.slot) {
                let is_over = generation < self.floor();
                return if is_over { Claim::GivenUp } else { Claim::Fresh(decided) };
            }
        }
    }

    /// The place of a name, if it has one. Decides nothing.
    pub(crate) fn find(&self, name: Name) -> Option<Place> {
        match self.search(name, self.floor()) {
            Found::Final(place) => Some(place),
            Found::Tentative { .. } | Found::Free { .. } | Found::Nothing => None,
        }
    }

    /// Moves the floor up to the generation of `now_ms`. It never moves down.
    #[inline]
    pub(crate) fn advance(&self, now_ms: u64) {
        let target = self.layout.generations.of(now_ms);
        if target > self.floor() {
            self.raise_floor(target);
        }
    }

    /// Calls `with` on every word that holds an entry, final or not, alive or not.
    pub(crate) fn for_each(&self, mut with: impl FnMut(Slot)) {
        for line in 0..self.layout.line_count {
            for at in self.slots_of(line) {
                let slot = Slot::from_word(self.words.load(at));
                if !slot.is_vacant() {
                    with(slot);
                }
            }
        }
    }

    #[inline]
    fn search(&self, name: Name, floor: u64) -> Found {
        let line = name.home(self.layout.line_count);
        let home = self.read_line(line, name, floor);
        // So most searches end.
        if home.held_bits == 0 && home.free_bits != 0 && home.is_last {
            return Found::Free { place: self.place(line, home.free_bits, home), passed_count: 0 };
        }
        self.search_on(name, floor, line, home)
    }

    #[inline(never)]
    fn search_on(&self, name: Name, floor: u64, mut line: u64, mut seen: Line) -> Found {
        let mut free = None;
        for passed_count in 0..MAX_RUN.min(self.layout.line_count) {
            if passed_count > 0 {
                line = self.next_line(line);
                seen = self.read_line(line, name, floor);
            }
            let Line { free_bits, held_bits, is_last, .. } = seen;
            if held_bits != 0 {
                let place = self.place(line, held_bits, seen);
                if place.slot.is_final() {
                    return Found::Final(place);
                }
                let is_first = free.is_none() && held_bits.trailing_zeros() < free_bits.trailing_zeros();
                return Found::Tentative { place, is_first, passed_count };
            }
            if free.is_none() && free_bits != 0 {
                free = Some(Found::Free { place: self.place(line, free_bits, seen), passed_count });
            }
            if free.is_some() && is_last {
                break;
            }
        }
        free.unwrap_or(Found::Nothing)
    }

    #[inline]
    fn read_line(&self, line: u64, name: Name, floor: u64) -> Line {
        Line::read(self.words, self.line_at(line), name.fingerprint, floor)
    }

    /// The first of the slots that a look has chosen.
    #[inline]
    fn place(&self, line: u64, bits: u8, seen: Line) -> Place {
        Place { at: self.line_at(line) + bits.trailing_zeros() as usize, slot: Slot::from_word(seen.word) }
    }

    #[inline]
    fn mark_passed(&self, name: Name, passed_count: u64, generation: u64) {
        let mut line = name.home(self.layout.line_count);
        for _ in 0..passed_count {
            let mark_at = self.line_at(line);
            if self.words.load(mark_at) < generation {
                self.words.raise(mark_at, generation);
            }
            line = self.next_line(line);
        }
    }

    #[inline]
    fn replace(&self, place: Place, new: Slot) -> bool {
        self.words.replace(place.at, place.slot.word(), new.word())
    }

    /// Step 3, for a name that somebody else has written: true if it may be made final.
    #[cold]
    fn settle(&self, place: Place, is_first: bool, name: Name, generation: u64, floor: u64) -> bool {
        let right = if !is_first {
            place.slot.spent()
        } else if place.slot.generation(floor) < generation {
            Slot::tentative(name.fingerprint, generation)
        } else {
            return true;
        };
        let _by_somebody_else = self.replace(place, right);
        false
    }

    #[cold]
    fn raise_floor(&self, target: u64) {
        loop {
            let floor = self.floor();
            if floor >= target {
                return;
            }
            // Nothing was ever admitted below the first floor.
            let is_new = floor == 0;
            if is_new || target - floor <= MAX_SHARE {
                if self.words.replace(self.layout.floor_at, floor, target) && !is_new {
                    self.sweep_share(floor, target);
                }
                continue;
            }
            // All that was admitted so far is over at the floor between, and so is swept away.
            let between = floor + self.layout.generations.window();
            if self.words.load(self.layout.cursor_at) >> 32 != floor & 0xffff_ffff {
                if self.words.replace(self.layout.floor_at, floor, between) {
                    self.sweep_all(between);
                }
                continue;
            }
            self.sweep_all(floor);
            let _by_somebody_else = self.words.replace(self.layout.floor_at, floor, target);
        }
    }

    /// The part of the table that belongs to the generations from `floor` to `target`.
    fn sweep_share(&self, floor: u64, target: u64) {
        let share = self.layout.line_count.div_ceil(SWEEP_PERIOD);
        for generation in floor..target {
            let start = generation % SWEEP_PERIOD * share;
            let end = (start + share).min(self.layout.line_count);
            self.sweep(start.min(end)..end);
        }
    }

    /// All of the table, together with everybody else who waits for it. The cursor holds the floor
    /// that it is done for, 32 bits of it, and the next line.
    fn sweep_all(&self, floor: u64) {
        let job = floor << 32;
        loop {
            let cursor = self.words.load(self.layout.cursor_at);
            let start = if cursor >> 32 == floor & 0xffff_ffff { cursor & 0xffff_ffff } else { 0 };
            if start >= self.layout.line_count || self.floor() != floor {
                return;
            }
            let end = (start + SWEEP_CHUNK).min(self.layout.line_count);
            if self.words.replace(self.layout.cursor_at, cursor, job | end) {
                self.sweep(start..end);
            }
        }
    }

    fn sweep(&self, lines: Range<u64>) {
        for line in lines {
            for at in self.slots_of(line) {
                let slot = Slot::from_word(self.words.load(at));
                let floor = self.floor();
                if !slot.is_vacant() && slot.is_free(floor) {
                    let _taken_again = self.replace(Place { at, slot }, Slot::swept(floor));
                }
            }
            self.sweep_bodies(line);
        }
    }

    /// Clears what the owners of long ago have left behind the slots of a line. The tag of an owner
    /// stands in the upper bits of each word.
    fn sweep_bodies(&self, line: u64) {
        let words_of_line = LINE_SLOTS * self.layout.body_words;
        let start = self.layout.bodies_at() + line as usize * words_of_line;
        for at in start..start + words_of_line {
            let word = self.words.load(at);
            if word != 0 && is_over(word >> (64 - TAG_BITS), self.floor()) {
                let _written_again = self.words.replace(at, word, 0);
            }
        }
    }

    #[inline]
    fn line_at(&self, line: u64) -> usize {
        self.layout.lines_at + line as usize * LINE_WORDS
    }

    #[inline]
    fn slots_of(&self, line: u64) -> Range<usize> {
        let mark_at = self.line_at(line);
        mark_at + 1..mark_at + LINE_WORDS
    }

    #[inline]
    fn next_line(&self, line: u64) -> u64 {
        if line + 1 == self.layout.line_count { 0 } else { line + 1 }
    }
}
