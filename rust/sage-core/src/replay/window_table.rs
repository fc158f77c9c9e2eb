//! Replay windows that all workers of a machine share.
//!
//! A window is named by peer, session, direction, epoch and incarnation, and has a place in a table like a
//! request nonce. Behind its place lies its *body*: the highest sequence number seen, and a ring of
//! words that each hold 32 sequence numbers.
//!
//! ```text
//!  63     52 51            32 31                     0
//! ┌─────────┬────────────────┬────────────────────────┐
//! │ owner   │ block          │ bits                   │   one word of the ring
//! ├─────────┼────────────────┴────────────────────────┤
//! │ owner   │ highest + 1                             │   the first word of the body
//! └─────────┴─────────────────────────────────────────┘
//! ```
//!
//! A word says itself which 32 numbers (block = seq / 32) its bits are of, so that moving on to
//! newer numbers and setting the bit is one replacement. A word of a newer block stays; numbers of
//! an older one are too old. Whether a number was seen is decided by its word alone. The highest
//! number only draws the line behind which nothing is accepted; should its writer die before it is
//! written, the next one writes it.
//!
//! The owner is the tag of the window's slot. When a place goes to another window, its words do not
//! belong to the new one and count as empty: nothing has to be cleared on the way. Sweeping clears
//! them before a tag comes round. A worker that was stopped
//! in the middle of its work does no harm when it goes on. It reads a word, then sees that the slot
//! is still its own, then replaces the word. If the slot has changed hands in between, its
//! replacement succeeds only where the new owner has not written, and what it writes is foreign to
//! the new owner. It looks at the slot again afterwards, and admits nothing if it has changed.

use std::path::Path;

use super::admission::AdmitError;
use super::counters::{Counters, Counts};
use super::file::OpenError;
use super::fingerprint::{Name, Namer};
use super::header::{Geometry, HEADER_WORDS, Kind};
use super::memory::Memory;
use super::moment::Moment;
use super::statistics::Statistics;
use super::table::{Claim, LINE_SLOTS, Place, Table};
use super::words::{LINE_WORDS, Words};
use crate::epoch::HARD_BUDGET;
use crate::random::RandomSource;
use crate::record::{Direction, IncarnationId, SessionId};
use crate::window::WINDOW_LEN;

/// Words of a body: five cache lines.
pub(super) const BODY_WORDS: usize = 40;
/// Words of a ring. 33 blocks of 32 can hold a part of a window of 1,024.
const RING_LEN: u64 = BODY_WORDS as u64 - 1;
const BLOCK_LEN: u64 = 32;
const OWNER_SHIFT: u32 = 52;
const LOW: u64 = (1 << OWNER_SHIFT) - 1;

/// Which window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowName<'a> {
    /// The DID of the other side: servers choose session ids, and two may choose the same.
    pub peer_did: &'a str,
    /// The session.
    pub session_id: SessionId,
    /// Which way the records travel.
    pub direction: Direction,
    /// The epoch of the record key.
    pub epoch: u32,
    /// The process that seals.
    pub incarnation: IncarnationId,
}

/// Replay windows, one table for all workers of a machine.
pub struct WindowTable {
    memory: Memory,
    namer: Namer,
    id: [u8; 16],
    counters: Counters,
}

impl WindowTable {
    /// Empty windows for this process and its children, or those in the file at `path`, which is
    /// made if it is not there. Windows of an earlier boot are not kept: the table then has a new
    /// id.
    ///
    /// # Errors
    /// As [`ReplaySet::open`](super::ReplaySet::open).
    pub fn open(
        path: Option<&Path>,
        capacity: u64,
        horizon_ms: u64,
        now: Moment,
        random: &mut dyn RandomSource,
    ) -> Result<Self, OpenError> {
        let geometry = Geometry { kind: Kind::Windows, capacity, horizon_ms, body_words: BODY_WORDS as u64 };
        let memory = Memory::new(path, geometry, now, random)?;
        let namer = Namer::new(memory.header().key());
        let [high, low] = memory.header().id();
        let mut id = [0; 16];
        id[..8].copy_from_slice(&high.to_be_bytes());
        id[8..].copy_from_slice(&low.to_be_bytes());
        Ok(Self { memory, namer, id, counters: Counters::default() })
    }

    /// Names what the table remembers: whoever has the same id has the same windows.
    #[must_use]
    pub fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// Since when nothing is missing, in ms.
    #[must_use]
    pub fn remembers_since_ms(&self) -> u64 {
        self.memory.header().since().now_ms
    }

    /// Accepts a sequence number once. It must have been authenticated before.
    ///
    /// `remember_until_ms` is when the session ends; a window must have the same one every time.
    ///
    /// # Errors
    /// [`AdmitError`]: seen before, or 1,024 or more behind the highest (`Replayed`); the session is
    /// over; the table is full; or the caller's doing.
    pub fn admit(
        &self,
        name: &WindowName<'_>,
        seq: u64,
        remember_until_ms: u64,
        now_ms: u64,
    ) -> Result<(), AdmitError> {
        let verdict = self.decide(name, seq, remember_until_ms, now_ms);
        self.counters.count(&verdict);
        verdict
    }

    /// Says whether a sequence number would be accepted, and remembers nothing.
    #[must_use]
    pub fn is_fresh(&self, name: &WindowName<'_>, seq: u64) -> bool {
        if seq >= HARD_BUDGET.records {
            return false;
        }
        let table = self.memory.table();
        match table.find(self.name(name)) {
            Some(place) => Body::of(table, place).is_fresh(seq),
            None => true,
        }
    }

    /// How many windows there is room for, at least.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.memory.geometry.capacity
    }

    /// How long a session may live, in ms.
    #[must_use]
    pub fn horizon_ms(&self) -> u64 {
        self.memory.geometry.horizon_ms
    }

    /// What this object has answered so far; other processes count for themselves.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// What the table holds. About a nanosecond a place.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.memory.statistics()
    }

    fn decide(
        &self,
        name: &WindowName<'_>,
        seq: u64,
        remember_until_ms: u64,
        now_ms: u64,
    ) -> Result<(), AdmitError> {
        if seq >= HARD_BUDGET.records {
            return Err(AdmitError::BeyondBudget(seq));
        }
        let generation = self.memory.enter(remember_until_ms, now_ms)?;
        let name = self.name(name);
        loop {
            let place = match self.memory.table().claim(name, generation) {
                Claim::Fresh(place) | Claim::Known(place) => place,
                Claim::GivenUp => return Err(AdmitError::GivenUp),
                Claim::Full => return Err(AdmitError::Full),
            };
            let body = Body::of(self.memory.table(), place);
            if !body.ends_with(generation) {
                return Err(AdmitError::OtherEnd);
            }
            match body.admit(seq) {
                Step::Admitted => return Ok(()),
                Step::Replayed => return Err(AdmitError::Replayed),
                // The session was over meanwhile, as the claim will say.
                Step::Lost => (),
            }
        }
    }

    fn name(&self, name: &WindowName<'_>) -> Name {
        let mut bytes = [0; 37];
        bytes[0] = name.direction as u8;
        bytes[1..5].copy_from_slice(&name.epoch.to_be_bytes());
        bytes[5..21].copy_from_slice(&name.session_id);
        bytes[21..].copy_from_slice(&name.incarnation);
        self.namer.begin(&[], name.peer_did.as_bytes()).name(&bytes)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Admitted,
    Replayed,
    Lost,
}

/// What lies behind a place.
pub(super) struct Body<'a, W: ?Sized> {
    words: &'a W,
    place: Place,
    owner: u64,
    highest_at: usize,
}

impl<'a, W: Words + ?Sized> Body<'a, W> {
    pub(super) fn of(table: Table<'a, W>, place: Place) -> Self {
        let offset = place.at - table.layout.lines_at;
        let number = offset / LINE_WORDS * LINE_SLOTS + offset % LINE_WORDS - 1;
        let highest_at = table.layout.bodies_at() + number * BODY_WORDS;
        Self { words: table.words, place, owner: place.slot.tag(), highest_at }
    }

    fn ends_with(&self, generation: u64) -> bool {
        self.place.slot.has_generation(generation)
    }

    pub(super) fn admit(&self, seq: u64) -> Step {
        if self.is_behind(seq) {
            return Step::Replayed;
        }
        let (block, at) = (seq / BLOCK_LEN, self.word_at(seq));
        loop {
            let word = self.words.load(at);
            if !self.is_ours() {
                return Step::Lost;
            }
            let Some(bits) = self.bits(word, block) else { return Step::Replayed };
            let bit = 1 << (seq % BLOCK_LEN);
            if bits & bit != 0 {
                return Step::Replayed;
            }
            let new = self.owner << OWNER_SHIFT | block << 32 | bits | bit;
            if self.words.replace(at, word, new) {
                break;
            }
        }
        if !self.is_ours() {
            return Step::Lost;
        }
        self.raise_highest(seq);
        Step::Admitted
    }

    pub(super) fn is_fresh(&self, seq: u64) -> bool {
        let word = self.words.load(self.word_at(seq));
        let bit = 1 << (seq % BLOCK_LEN);
        !self.is_behind(seq) && self.bits(word, seq / BLOCK_LEN).is_some_and(|bits| bits & bit == 0)
    }

    /// The bits of a block as its word tells; `None` if the word has moved on to a newer one.
    fn bits(&self, word: u64, block: u64) -> Option<u64> {
        if word >> OWNER_SHIFT != self.owner {
            return Some(0);
        }
        let found = (word & LOW) >> 32;
        match block.cmp(&found) {
            core::cmp::Ordering::Less => None,
            core::cmp::Ordering::Equal => Some(word & 0xffff_ffff),
            core::cmp::Ordering::Greater => Some(0),
        }
    }

    fn is_behind(&self, seq: u64) -> bool {
        self.highest_and_one(self.words.load(self.highest_at)) > seq + WINDOW_LEN
    }

    /// 0 while nothing was seen.
    fn highest_and_one(&self, word: u64) -> u64 {
        if word >> OWNER_SHIFT == self.owner { word & LOW } else { 0 }
    }

    fn raise_highest(&self, seq: u64) {
        loop {
            let word = self.words.load(self.highest_at);
            if self.highest_and_one(word) > seq || !self.is_ours() {
                return;
            }
            if self.words.replace(self.highest_at, word, self.owner << OWNER_SHIFT | (seq + 1)) {
                return;
            }
        }
    }

    fn is_ours(&self) -> bool {
        self.words.load(self.place.at) == self.place.slot.word()
    }

    fn word_at(&self, seq: u64) -> usize {
        self.highest_at + 1 + (seq / BLOCK_LEN % RING_LEN) as usize
    }
}

const _: () = assert!(HARD_BUDGET.records / BLOCK_LEN < 1 << 20, "a block fits its bits");
const _: () = assert!(RING_LEN * BLOCK_LEN >= WINDOW_LEN + BLOCK_LEN, "a ring holds a window");
const _: () = assert!(HEADER_WORDS.is_multiple_of(LINE_WORDS), "lines begin where cache lines do");
