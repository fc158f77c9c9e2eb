//! Full tables, and what a fingerprint of so many bits lets through.

use core::sync::atomic::AtomicU64;

use super::super::AdmitError;
use super::super::fingerprint::Name;
use super::super::generation::Generations;
use super::super::table::{Claim, Layout, Table};
use super::{NOW, nonce, set};

/// As many as were asked for always fit.
#[test]
fn a_table_holds_what_it_is_made_for() {
    for capacity in [1, 2, 7, 8, 100, 1000, 200_000] {
        let set = set(capacity);
        for number in 0..capacity {
            assert_eq!(set.admit(b"", nonce(&number.to_le_bytes(), NOW + 120_000), NOW), Ok(()), "{number}");
        }
        let statistics = set.statistics();
        assert_eq!((statistics.live, statistics.spent), (capacity, 0));
    }
}

/// What is over makes room for as many again, for ever.
#[test]
fn a_full_table_turns_over() {
    let (capacity, set) = (20_000, set(20_000));
    for round in 0..40 {
        let now_ms = NOW + round * 2048;
        for number in 0..capacity {
            let number = round * capacity + number;
            let admitted = set.admit(b"", nonce(&number.to_le_bytes(), now_ms + 1000), now_ms);
            assert_eq!(admitted, Ok(()), "{number} of round {round}");
        }
        assert_eq!(set.statistics().live, capacity);
    }
}

/// More than fit are refused, nobody is evicted, and what was admitted stays refused.
#[test]
fn a_flood_evicts_nobody() {
    let set = set(1000);
    let (mut admitted, mut full) = (Vec::new(), 0);
    for number in 0..20_000_u64 {
        match set.admit(b"", nonce(&number.to_le_bytes(), NOW + 120_000), NOW) {
            Ok(()) => admitted.push(number),
            Err(AdmitError::Full) => full += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(admitted.len() >= 1000, "{}", admitted.len());
    assert_eq!(admitted.len() + full, 20_000);
    for number in &admitted {
        let replayed = set.admit(b"", nonce(&number.to_le_bytes(), NOW + 120_000), NOW + 60_000);
        assert_eq!(replayed, Err(AdmitError::Replayed));
    }
    // When its time is over there is room again.
    assert_eq!(set.admit(b"", nonce(b"a fresh!", NOW + 250_000), NOW + 130_000), Ok(()));
}

/// The formula of `fingerprint.rs`, measured where it can be: with 13 bits left of the fingerprint,
/// by names that differ in the others only.
#[test]
fn false_refusals_are_as_many_as_stated() {
    let (kept_bits, line_count) = (13, 2000);
    let words: Vec<AtomicU64> = (0..64 + line_count * 8).map(|_| AtomicU64::new(0)).collect();
    let generations = Generations::for_horizon(180_000);
    let layout = Layout { floor_at: 0, cursor_at: 8, lines_at: 64, line_count, generations, body_words: 0 };
    let table = Table { words: &words[..], layout };
    table.advance(NOW);
    let generation = generations.of(NOW + 1000);
    let mut random = Random(1);
    let mut name = move || Name::from_halves(random.next(), random.next() & !(u64::MAX >> kept_bits));

    let (load, mut live) = (line_count * 49 / 10, 0);
    while live < load {
        live += u64::from(matches!(table.claim(name(), generation), Claim::Fresh(_)));
    }
    let try_count = 1_000_000;
    let refused_count = (0..try_count).filter(|_| table.find(name()).is_some()).count();
    let measured = refused_count as f64 / f64::from(try_count);
    let stated = 8.5 / f64::from(1 << kept_bits);
    assert!((0.85..1.15).contains(&(measured / stated)), "measured {measured}, stated {stated}");
}

/// splitmix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}
