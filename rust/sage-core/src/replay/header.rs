//! The first page of a table: what it is, and the few words that change.
//!
//! ```text
//! word  0  magic             3  horizon, ms     6  key, 2 words
//!       1  version, kind     4  line count      8  checksum of words 0 to 7
//!       2  capacity          5  body words
//!      64  floor           128  sweep cursor  192  remembers since: ms, ms of uptime
//!     256  boot id, device, inode, birth      320  table id, 2 words
//! ```
//!
//! The words above the checksum never change. The others lie far apart, so that they do not share
//! cache lines.

use core::hash::Hasher;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::SeqCst;

use siphasher::sip::SipHasher24;

use super::generation::Generations;
use super::moment::Moment;
use super::table::{LINE_SLOTS, Layout};
use super::words::LINE_WORDS;

/// Words of the first page.
pub(crate) const HEADER_WORDS: usize = 512;
/// The most entries that a table is made for.
pub(crate) const MAX_CAPACITY: u64 = 1 << 32;

const MAGIC: u64 = u64::from_le_bytes(*b"SAGEplay");
const VERSION: u64 = 2;

const FLOOR_AT: usize = 64;
const CURSOR_AT: usize = 128;
const SINCE_AT: usize = 192;
const PROVENANCE_AT: usize = 256;
const ID_AT: usize = 320;
const KEY_AT: usize = 6;
const CHECKSUM_AT: usize = 8;

/// What a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Request nonces: lines are all there is.
    Set,
    /// Replay windows: every slot has a body.
    Windows,
}

impl Kind {
    const fn number(self) -> u64 {
        match self {
            Self::Set => 1,
            Self::Windows => 2,
        }
    }

    /// Slots filled at the stated capacity, of a hundred. The memory of a window is in its body, so
    /// its slots are filled more; the search still ends within its run.
    const fn load_percent(self) -> u64 {
        match self {
            Self::Set => 70,
            Self::Windows => 75,
        }
    }
}

/// What a table is, beside what it remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) kind: Kind,
    pub(crate) capacity: u64,
    pub(crate) horizon_ms: u64,
    /// Words of the body behind each slot.
    pub(crate) body_words: u64,
}

impl Geometry {
    pub(crate) const fn line_count(&self) -> u64 {
        (self.capacity * 100).div_ceil(LINE_SLOTS as u64 * self.kind.load_percent())
    }

    /// Words of the whole table.
    pub(crate) const fn word_count(&self) -> usize {
        let line_words = LINE_WORDS as u64 + LINE_SLOTS as u64 * self.body_words;
        HEADER_WORDS + (self.line_count() * line_words) as usize
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout {
            floor_at: FLOOR_AT,
            cursor_at: CURSOR_AT,
            lines_at: HEADER_WORDS,
            line_count: self.line_count(),
            generations: Generations::for_horizon(self.horizon_ms),
            body_words: self.body_words as usize,
        }
    }
}

/// In which boot of the machine and which file the memory is without a gap. Memory without a file has
/// zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Provenance {
    /// The boot in which everything was written.
    pub(crate) boot: [u64; 2],
    /// Device, inode, and when the file was made in ns: inodes are used again.
    pub(crate) place: [u64; 3],
}

/// Why the first page of a file is not that of the table that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeaderError {
    NotATable,
    Version(u64),
    Kind,
    Capacity(u64),
    Horizon(u64),
    Damaged,
}

/// The first page, seen through the mapping.
#[derive(Clone, Copy)]
pub(crate) struct Header<'a>(pub(crate) &'a [AtomicU64]);

impl Header<'_> {
    /// Writes everything, into memory that nobody else sees yet.
    pub(crate) fn write(
        self,
        geometry: &Geometry,
        key: [u64; 2],
        id: [u64; 2],
        provenance: Provenance,
        since: Moment,
    ) {
        let Geometry { kind, capacity, horizon_ms, body_words } = *geometry;
        let lasting = [MAGIC, VERSION << 8 | kind.number(), capacity, horizon_ms, geometry.line_count()];
        self.set(0, &lasting);
        self.set(lasting.len(), &[body_words]);
        self.set(KEY_AT, &key);
        self.set(CHECKSUM_AT, &[self.checksum()]);
        self.set_since(since);
        self.set_id(id);
        self.set_provenance(provenance);
    }

    /// Compares the page with what was asked for.
    pub(crate) fn check(self, wanted: &Geometry) -> Result<(), HeaderError> {
        if self.word(0) != MAGIC {
            return Err(HeaderError::NotATable);
        }
        if self.word(1) >> 8 != VERSION {
            return Err(HeaderError::Version(self.word(1) >> 8));
        }
        if self.word(CHECKSUM_AT) != self.checksum() {
            return Err(HeaderError::Damaged);
        }
        if self.word(1) & 0xff != wanted.kind.number() {
            return Err(HeaderError::Kind);
        }
        if self.word(2) != wanted.capacity {
            return Err(HeaderError::Capacity(self.word(2)));
        }
        if self.word(3) != wanted.horizon_ms {
            return Err(HeaderError::Horizon(self.word(3)));
        }
        // These follow from the others; only another version of this code differs.
        if self.word(4) != wanted.line_count() || self.word(5) != wanted.body_words {
            return Err(HeaderError::Version(VERSION));
        }
        Ok(())
    }

    pub(crate) fn key(self) -> [u64; 2] {
        self.words(KEY_AT)
    }

    pub(crate) fn provenance(self) -> Provenance {
        let [high, low, device, inode, birth] = self.words(PROVENANCE_AT);
        Provenance { boot: [high, low], place: [device, inode, birth] }
    }

    pub(crate) fn set_provenance(self, Provenance { boot, place }: Provenance) {
        self.set(PROVENANCE_AT, &[boot[0], boot[1], place[0], place[1], place[2]]);
    }

    /// Since when nothing is missing.
    pub(crate) fn since(self) -> Moment {
        let [now_ms, uptime_ms] = self.words(SINCE_AT);
        Moment { now_ms, uptime_ms }
    }

    pub(crate) fn set_since(self, Moment { now_ms, uptime_ms }: Moment) {
        self.set(SINCE_AT, &[now_ms, uptime_ms]);
    }

    /// 16 random bytes that name what the table remembers.
    pub(crate) fn id(self) -> [u64; 2] {
        self.words(ID_AT)
    }

    pub(crate) fn set_id(self, id: [u64; 2]) {
        self.set(ID_AT, &id);
    }

    fn words<const N: usize>(self, at: usize) -> [u64; N] {
        core::array::from_fn(|offset| self.word(at + offset))
    }

    fn set(self, at: usize, words: &[u64]) {
        for (offset, word) in words.iter().enumerate() {
            self.0[at + offset].store(*word, SeqCst);
        }
    }

    fn word(self, at: usize) -> u64 {
        self.0[at].load(SeqCst)
    }

    fn checksum(self) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(MAGIC, VERSION);
        for at in 0..CHECKSUM_AT {
            hasher.write_u64(self.word(at));
        }
        hasher.finish()
    }
}
