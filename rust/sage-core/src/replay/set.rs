//! The replay set over request nonces.

use core::ptr;
use std::path::Path;

use super::admission::AdmitError;
use super::counters::{Counters, Counts};
use super::file::OpenError;
use super::fingerprint::{Begun, Name, Namer};
use super::header::{Geometry, Kind};
use super::memory::Memory;
use super::moment::Moment;
use super::statistics::Statistics;
use super::table::Claim;
use crate::handshake::{REPLAY_MARGIN_MS, SKEW_MS};
use crate::random::RandomSource;

/// How far ahead of the clock the nonce of a handshake may have to be remembered: its time may lie
/// one skew ahead, and it is remembered for one skew and the margin after that.
pub const DEFAULT_HORIZON_MS: u64 = 2 * SKEW_MS + REPLAY_MARGIN_MS;

/// Nonces of a batch that are named, and whose lines are asked for, before the first is admitted.
const BLOCK_LEN: usize = 32;

/// Remembers request nonces until their time has passed, and admits each once.
///
/// A nonce belongs to a scope (whose it is) and a purpose (what for); the same nonce in another
/// scope or for another purpose is another. Admitting is one atomic step for all threads, all
/// children of `fork`, and all processes that opened the same file.
pub struct ReplaySet {
    memory: Memory,
    namer: Namer,
    counters: Counters,
}

/// A nonce whose place is known and asked for.
#[derive(Debug, Clone, Copy)]
pub struct LookedUp(Name);

/// One nonce of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Nonce<'a> {
    /// Whose it is: the client's DID.
    pub scope: &'a [u8],
    /// The random value of the request.
    pub nonce: &'a [u8],
    /// Signed time + skew + margin, in ms.
    pub remember_until_ms: u64,
}

impl ReplaySet {
    /// An empty set for this process and its children, or the one that lies in the file at `path`,
    /// which is made if it is not there.
    ///
    /// # Errors
    /// [`OpenError`]: a capacity of 0 or beyond 2^32, a horizon of 0 or beyond 31 days, no memory,
    /// or a file that is not to be relied on.
    pub fn open(
        path: Option<&Path>,
        capacity: u64,
        horizon_ms: u64,
        now: Moment,
        random: &mut dyn RandomSource,
    ) -> Result<Self, OpenError> {
        let geometry = Geometry { kind: Kind::Set, capacity, horizon_ms, body_words: 0 };
        let memory = Memory::new(path, geometry, now, random)?;
        let namer = Namer::new(memory.header().key());
        Ok(Self { memory, namer, counters: Counters::default() })
    }

    /// Admits a nonce once.
    ///
    /// # Errors
    /// [`AdmitError`]; nothing but `Ok` may be taken for admitted.
    #[inline]
    pub fn admit(&self, purpose: &[u8], nonce: Nonce<'_>, now_ms: u64) -> Result<(), AdmitError> {
        let known = self.look_up(purpose, nonce.scope, nonce.nonce);
        self.admit_known(known, nonce.remember_until_ms, now_ms)
    }

    /// The first half of [`ReplaySet::admit`]: says where a nonce belongs and asks for that memory,
    /// which takes as long as all the rest. Decides nothing.
    #[inline]
    #[must_use]
    pub fn look_up(&self, purpose: &[u8], scope: &[u8], nonce: &[u8]) -> LookedUp {
        let name = self.namer.begin(purpose, scope).name(nonce);
        self.memory.table().prefetch(name);
        LookedUp(name)
    }

    /// The second half, on the same set.
    ///
    /// # Errors
    /// As [`ReplaySet::admit`].
    #[inline]
    pub fn admit_known(
        &self,
        LookedUp(name): LookedUp,
        remember_until_ms: u64,
        now_ms: u64,
    ) -> Result<(), AdmitError> {
        let entered = self.memory.enter(remember_until_ms, now_ms);
        let verdict = entered.and_then(|generation| self.decide(name, generation));
        self.counters.count(&verdict);
        verdict
    }

    /// Admits each nonce of a batch by itself, in order; of equal ones the first is admitted. Calls
    /// `tell` with one verdict for each.
    #[inline]
    pub fn admit_each<'a>(
        &self,
        purpose: &[u8],
        nonces: impl IntoIterator<Item = Nonce<'a>>,
        now_ms: u64,
        mut tell: impl FnMut(Result<(), AdmitError>),
    ) {
        let mut begun: Option<(&[u8], Begun<'_>)> = None;
        let mut entered: Option<(u64, Result<u64, AdmitError>)> = None;
        let mut nonces = nonces.into_iter();
        let mut block = Vec::with_capacity(BLOCK_LEN);
        let mut admitted_count = 0;
        loop {
            for Nonce { scope, nonce, remember_until_ms } in nonces.by_ref().take(BLOCK_LEN) {
                // Batches often have few scopes and times: what the last one gave is kept.
                let begun = match &begun {
                    Some((last, begun)) if ptr::eq(*last, scope) || *last == scope => begun,
                    _ => &begun.insert((scope, self.namer.begin(purpose, scope))).1,
                };
                let name = begun.name(nonce);
                self.memory.table().prefetch(name);
                let generation = match entered {
                    Some((last_ms, generation)) if last_ms == remember_until_ms => generation,
                    _ => {
                        let generation = self.memory.enter(remember_until_ms, now_ms);
                        entered.insert((remember_until_ms, generation)).1
                    }
                };
                block.push((name, generation));
            }
            if block.is_empty() {
                break;
            }
            for (name, entered) in block.drain(..) {
                let verdict = entered.and_then(|generation| self.decide(name, generation));
                // One addition for all that are admitted.
                match verdict {
                    Ok(()) => admitted_count += 1,
                    Err(_) => self.counters.count(&verdict),
                }
                tell(verdict);
            }
        }
        self.counters.count_admitted(admitted_count);
    }

    /// As [`ReplaySet::admit_each`]; returns the verdicts.
    pub fn admit_many<'a>(
        &self,
        purpose: &[u8],
        nonces: impl IntoIterator<Item = Nonce<'a>>,
        now_ms: u64,
    ) -> Vec<Result<(), AdmitError>> {
        let mut verdicts = Vec::new();
        self.admit_each(purpose, nonces, now_ms, |verdict| verdicts.push(verdict));
        verdicts
    }

    /// Since when nothing is missing, in ms: when the set was made, or when its file was found to be
    /// of an earlier boot or of another place.
    #[must_use]
    pub fn remembers_since_ms(&self) -> u64 {
        self.memory.header().since().now_ms
    }

    /// True once everything that was admitted before the set began to remember is over, by the clock
    /// on the wall and by the one that does not step: a nonce that is fresh to the set is fresh.
    #[must_use]
    pub fn is_complete(&self, now: Moment) -> bool {
        now.is_later_by(self.memory.header().since(), self.memory.layout.generations.limit_ms())
    }

    /// Checks the ends of a batch before any of it is admitted: the floor only grows, so what is not
    /// too far ahead now is not later.
    ///
    /// # Errors
    /// [`AdmitError::TooFarAhead`] for the farthest.
    pub fn check_ends(&self, ends_ms: &[u64], now_ms: u64) -> Result<(), AdmitError> {
        self.memory.check_ahead(ends_ms.iter().copied().max().unwrap_or_default(), now_ms)
    }

    /// How many nonces there is room for, at least.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.memory.geometry.capacity
    }

    /// How far ahead of the clock a nonce may have to be remembered, in ms.
    #[must_use]
    pub fn horizon_ms(&self) -> u64 {
        self.memory.geometry.horizon_ms
    }

    /// What the set holds. About a nanosecond a place.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.memory.statistics()
    }

    /// What this object has answered so far; other processes count for themselves.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    #[inline]
    fn decide(&self, name: Name, generation: u64) -> Result<(), AdmitError> {
        match self.memory.table().claim(name, generation) {
            Claim::Fresh(_) => Ok(()),
            Claim::Known(_) => Err(AdmitError::Replayed),
            Claim::GivenUp => Err(AdmitError::GivenUp),
            Claim::Full => Err(AdmitError::Full),
        }
    }
}
