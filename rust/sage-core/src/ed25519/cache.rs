//! Keys that are seen again and again, in bounded memory.
//!
//! # Two tiers
//!
//! A *registered* key is held checked: decoded once, strictness known. After a few signatures of it
//! that verified it is *promoted*: its table is built ([`VerifyingKey::expand`]), and each further
//! signature costs a fraction. All other keys are verified as they come, and leave nothing behind: a flood of
//! made-up keys, or of signatures that do not verify, allocates nothing and evicts nothing.
//!
//! What the cache holds never changes a verdict, only its cost.
//!
//! # Budget and clock
//!
//! Every registered key is charged [`VerifyingKeyCache::KEY_COST`], every table
//! [`VerifyingKey::TABLE_LEN`]. When the next one would go beyond the budget, a hand passes over the keys in a
//! ring. A key that was used since the hand's last visit is passed and marked unused; one that was not loses its
//! table, or is forgotten if it has none and room is wanted for a key. Two rounds find room if there is any.
//!
//! A table costs as much as ten verifications, so a working set a little beyond the budget must not build
//! tables all the time: while room is free a table takes [`PROMOTE_AFTER`] signatures, but
//! [`DISPLACE_AFTER`] where another must go.
//!
//! # Locking
//!
//! One lock, held for a look-up or a change of the books, never while verifying or building. A verification
//! takes the key it found with it, so it ends well though the key is revoked meanwhile. A table that was
//! built for a key that is gone by then, or came back, is dropped.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{KeyRef, SIGNATURE_LEN, VERIFYING_KEY_LEN, VerifyingKey, verify_many};
use crate::error::InputError;

/// Valid signatures before a table is built in free room, and before it takes another's place.
const PROMOTE_AFTER: u32 = 3;
const DISPLACE_AFTER: u32 = 32;

/// See the module's head.
pub struct VerifyingKeyCache {
    budget_len: usize,
    books: Mutex<Books>,
}

/// What a cache holds and has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatistics {
    /// Registered keys, expanded ones included.
    pub registered: usize,
    /// Keys with a table.
    pub expanded: usize,
    /// Bytes that are charged for both.
    pub used_len: usize,
    /// Signatures that were checked with a table.
    pub hits: u64,
    /// Signatures of registered keys that had none.
    pub decoded_hits: u64,
    /// Signatures of keys that are not registered.
    pub misses: u64,
    /// Tables built.
    pub promotions: u64,
    /// Tables and keys given up for others.
    pub evictions: u64,
}

#[derive(Default)]
struct Books {
    slots: HashMap<[u8; VERIFYING_KEY_LEN], Slot>,
    /// The keys of `slots`, in the order in which the hand passes.
    ring: Vec<[u8; VERIFYING_KEY_LEN]>,
    hand: usize,
    next_registration: u64,
    statistics: CacheStatistics,
}

struct Slot {
    key: VerifyingKey,
    /// Tells a key that was revoked and came back from what it was.
    registration: u64,
    valid_count: u32,
    place: usize,
    is_used: bool,
    is_building: bool,
}

/// A table is due for this key.
struct Promotion {
    key: VerifyingKey,
    registration: u64,
}

impl VerifyingKeyCache {
    /// What a registered key is charged: its place in map and ring, spare places included.
    pub const KEY_COST: usize = 2 * (size_of::<Slot>() + 3 * VERIFYING_KEY_LEN);

    /// An empty cache for `budget_len` bytes. Memory is taken as keys come.
    #[must_use]
    pub fn new(budget_len: usize) -> Self {
        Self { budget_len, books: Mutex::default() }
    }

    /// The bytes that registered keys and tables may take.
    #[must_use]
    pub fn budget_len(&self) -> usize {
        self.budget_len
    }

    /// Holds a key that is known to be somebody's, so that it may be promoted. Returns false if it was
    /// registered before, which counts as a use. Room is made by the clock.
    ///
    /// # Errors
    /// [`InputError`] if the key is not a point of the curve, or the budget is less than one key.
    pub fn register(&self, key: &VerifyingKey) -> Result<bool, InputError> {
        if let Some(slot) = self.books().slots.get_mut(&key.bytes) {
            slot.is_used = true;
            return Ok(false);
        }
        key.must_be_point()?;
        if self.budget_len < Self::KEY_COST {
            return Err(InputError::Value {
                what: "budget of a verifying key cache",
                why: "is less than one key",
            });
        }
        Ok(self.books().register(&key.bytes, self.budget_len))
    }

    /// Forgets a key and its table at once; its signatures are then checked as those of any key that is
    /// not registered. Returns whether it was.
    pub fn revoke(&self, key: &VerifyingKey) -> bool {
        self.books().remove(&key.bytes)
    }

    /// The strict verdict on one signature, as [`VerifyingKey::verify`].
    #[must_use]
    pub fn verify(&self, key: &VerifyingKey, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        let Some(held) = self.books().look_up(&key.bytes) else { return key.verify(message, signature) };
        let valid = held.verify(message, signature);
        if valid && !held.is_expanded() {
            self.count_valid([&held.bytes]);
        }
        valid
    }

    /// The strict verdict on each signature, as [`verify_many`]. Keys that pass their mark in this batch are
    /// promoted after it.
    ///
    /// # Panics
    /// If the three slices differ in length.
    #[must_use]
    pub fn verify_many(&self, keys: &[KeyRef<'_>], signatures: &[&[u8]], messages: &[&[u8]]) -> Vec<bool> {
        let held: Vec<Option<VerifyingKey>> = {
            let mut books = self.books();
            keys.iter().map(|key| books.look_up(key.bytes()?)).collect()
        };
        let found: Vec<KeyRef<'_>> =
            keys.iter().zip(&held).map(|(key, held)| held.as_ref().map_or(*key, KeyRef::Checked)).collect();
        let verdicts = verify_many(&found, signatures, messages);
        let grown = held.iter().zip(&verdicts).filter_map(|(held, valid)| {
            held.as_ref().filter(|key| *valid && !key.is_expanded()).map(|key| &key.bytes)
        });
        self.count_valid(grown);
        verdicts
    }

    /// What is held and was done.
    #[must_use]
    pub fn statistics(&self) -> CacheStatistics {
        self.books().statistics
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a valid signature for each key, and builds the tables that are due.
    fn count_valid<'a>(&self, keys: impl IntoIterator<Item = &'a [u8; VERIFYING_KEY_LEN]>) {
        let due: Vec<Promotion> = {
            let mut books = self.books();
            keys.into_iter().filter_map(|key| books.count_valid(key, self.budget_len)).collect()
        };
        for promotion in due {
            let expanded = promotion.key.expand();
            self.books().promote(&promotion, expanded.ok(), self.budget_len);
        }
    }
}

impl Books {
    fn look_up(&mut self, key: &[u8; VERIFYING_KEY_LEN]) -> Option<VerifyingKey> {
        let Some(slot) = self.slots.get_mut(key) else {
            self.statistics.misses += 1;
            return None;
        };
        slot.is_used = true;
        let count = match slot.key.is_expanded() {
            true => &mut self.statistics.hits,
            false => &mut self.statistics.decoded_hits,
        };
        *count += 1;
        Some(slot.key.clone())
    }

    fn register(&mut self, key: &[u8; VERIFYING_KEY_LEN], budget_len: usize) -> bool {
        if self.slots.contains_key(key) || !self.make_room(VerifyingKeyCache::KEY_COST, budget_len, true) {
            return false;
        }
        let place = self.ring.len();
        self.ring.push(*key);
        let slot = Slot {
            key: VerifyingKey::plain(*key),
            registration: self.next_registration,
            valid_count: 0,
            place,
            is_used: false,
            is_building: false,
        };
        self.next_registration += 1;
        self.slots.insert(*key, slot);
        self.statistics.registered += 1;
        self.statistics.used_len += VerifyingKeyCache::KEY_COST;
        true
    }

    fn remove(&mut self, key: &[u8; VERIFYING_KEY_LEN]) -> bool {
        let Some(slot) = self.slots.remove(key) else { return false };
        self.ring.swap_remove(slot.place);
        if let Some(moved) = self.ring.get(slot.place) {
            self.slots.get_mut(moved).expect("every key of the ring has a slot").place = slot.place;
        }
        self.statistics.registered -= 1;
        self.statistics.used_len -= VerifyingKeyCache::KEY_COST;
        if slot.key.is_expanded() {
            self.statistics.expanded -= 1;
            self.statistics.used_len -= VerifyingKey::TABLE_LEN;
        }
        true
    }

    fn count_valid(&mut self, key: &[u8; VERIFYING_KEY_LEN], budget_len: usize) -> Option<Promotion> {
        let has_room = self.statistics.used_len + VerifyingKey::TABLE_LEN <= budget_len;
        let slot = self.slots.get_mut(key)?;
        slot.valid_count = slot.valid_count.saturating_add(1);
        let after = if has_room { PROMOTE_AFTER } else { DISPLACE_AFTER };
        if slot.valid_count < after || slot.is_building || slot.key.is_expanded() {
            return None;
        }
        let fits = VerifyingKeyCache::KEY_COST + VerifyingKey::TABLE_LEN <= budget_len;
        slot.is_building = fits;
        fits.then(|| Promotion { key: slot.key.clone(), registration: slot.registration })
    }

    fn promote(&mut self, promotion: &Promotion, expanded: Option<VerifyingKey>, budget_len: usize) {
        let is_due = |books: &mut Self| {
            let slot = books.slots.get(&promotion.key.bytes);
            slot.is_some_and(|slot| slot.registration == promotion.registration)
        };
        if !is_due(self) || expanded.is_none() {
            return;
        }
        let has_room = self.make_room(VerifyingKey::TABLE_LEN, budget_len, false);
        let slot = self.slots.get_mut(&promotion.key.bytes).expect("looked up above, and keys stay");
        (slot.is_building, slot.valid_count) = (false, 0);
        if let Some(expanded) = expanded.filter(|_| has_room) {
            slot.key = expanded;
            self.statistics.expanded += 1;
            self.statistics.promotions += 1;
            self.statistics.used_len += VerifyingKey::TABLE_LEN;
        }
    }

    /// Lets the hand pass until `len` more bytes fit. For a key, keys without a table may go as well.
    fn make_room(&mut self, len: usize, budget_len: usize, for_key: bool) -> bool {
        let mut left = 2 * self.ring.len();
        while self.statistics.used_len + len > budget_len {
            if left == 0 {
                return false;
            }
            left -= 1;
            self.hand = if self.hand + 1 < self.ring.len() { self.hand + 1 } else { 0 };
            self.pass(for_key);
        }
        true
    }

    /// What the hand does at the key under it.
    fn pass(&mut self, for_key: bool) {
        let key = self.ring[self.hand];
        let slot = self.slots.get_mut(&key).expect("every key of the ring has a slot");
        if core::mem::take(&mut slot.is_used) {
            return;
        }
        if slot.key.is_expanded() {
            slot.key = VerifyingKey::plain(key);
            slot.valid_count = 0;
            self.statistics.expanded -= 1;
            self.statistics.used_len -= VerifyingKey::TABLE_LEN;
            self.statistics.evictions += 1;
        } else if for_key && !slot.is_building {
            self.remove(&key);
            self.statistics.evictions += 1;
        }
    }
}
