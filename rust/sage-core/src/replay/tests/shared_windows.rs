//! Shared windows against the window of one process, under the model checker, and among threads.

use std::sync::Arc;
use std::thread;

use proptest::prelude::*;

use super::super::{AdmitError, Moment, WindowName, WindowTable};
use super::NOW;
use crate::epoch::HARD_BUDGET;
use crate::random::SystemRandom;
use crate::record::Direction;
use crate::window::ReplayWindow;

const HOUR_MS: u64 = 3_600_000;

fn table(capacity: u64) -> WindowTable {
    WindowTable::open(None, capacity, 24 * HOUR_MS, Moment::at(NOW), &mut SystemRandom).expect("a table")
}

fn name(session: u8) -> WindowName<'static> {
    WindowName {
        peer_did: "did:example:alice",
        session_id: [session; 16],
        direction: Direction::ClientToServer,
        epoch: 0,
        incarnation: [7; 16],
    }
}

proptest! {
    #[test]
    fn agrees_with_the_window_of_one_process(
        jumps in prop::collection::vec((0_u64..3000, any::<bool>(), 0_u8..3), 1..400),
    ) {
        let table = table(8);
        let mut own = [(); 3].map(|()| (ReplayWindow::new(), 5000_u64));
        for (jump, ahead, session) in jumps {
            let (window, at) = &mut own[usize::from(session)];
            *at = if ahead { *at + jump } else { at.saturating_sub(jump) };
            let (seq, fresh) = (*at, window.is_fresh(*at));
            prop_assert_eq!(table.is_fresh(&name(session), seq), fresh, "at {}", seq);
            let admitted = table.admit(&name(session), seq, NOW + HOUR_MS, NOW);
            prop_assert_eq!(admitted, if fresh { Ok(()) } else { Err(AdmitError::Replayed) }, "at {}", seq);
            prop_assert_eq!(window.admit(seq), fresh);
        }
    }
}

#[test]
fn every_part_of_the_name_counts() {
    let (table, first) = (table(100), name(1));
    let others = [
        WindowName { peer_did: "did:example:bob", ..first },
        WindowName { session_id: [2; 16], ..first },
        WindowName { direction: Direction::ServerToClient, ..first },
        WindowName { epoch: 1, ..first },
        WindowName { incarnation: [8; 16], ..first },
    ];
    for name in [first].iter().chain(&others) {
        assert_eq!(table.admit(name, 3, NOW + HOUR_MS, NOW), Ok(()));
        assert_eq!(table.admit(name, 3, NOW + HOUR_MS, NOW), Err(AdmitError::Replayed));
    }
    assert_eq!(table.statistics().live, 6);
}

#[test]
fn edges() {
    let table = table(100);
    let admit = |seq, until_ms, now_ms| table.admit(&name(1), seq, until_ms, now_ms);
    let last = HARD_BUDGET.records - 1;
    assert_eq!(admit(0, NOW + HOUR_MS, NOW), Ok(()));
    assert_eq!(admit(last, NOW + HOUR_MS, NOW), Ok(()));
    assert_eq!(admit(last - 1023, NOW + HOUR_MS, NOW), Ok(()));
    assert_eq!(admit(last - 1024, NOW + HOUR_MS, NOW), Err(AdmitError::Replayed));
    assert_eq!(admit(last + 1, NOW + HOUR_MS, NOW), Err(AdmitError::BeyondBudget(last + 1)));
    assert_eq!(admit(u64::MAX, NOW + HOUR_MS, NOW), Err(AdmitError::BeyondBudget(u64::MAX)));
    assert_eq!(admit(last - 2, NOW + 2 * HOUR_MS, NOW), Err(AdmitError::OtherEnd));
    assert_eq!(admit(last - 2, NOW + HOUR_MS, NOW + HOUR_MS), Err(AdmitError::GivenUp));
    let ahead = admit(last - 2, NOW + 25 * HOUR_MS, NOW);
    assert!(matches!(ahead, Err(AdmitError::TooFarAhead { .. })), "{ahead:?}");
    for beyond in [last + 1, u64::MAX - 1023, u64::MAX] {
        assert!(!table.is_fresh(&name(1), beyond));
    }
}

/// What a window leaves behind is gone long before the tag of its owner comes round.
#[test]
fn nothing_is_left_when_a_tag_comes_round() {
    let table = table(1);
    let length_ms = 1 << 18;
    let admit = |session, seq, now_ms: u64| {
        table.admit(&name(session), seq, now_ms + HOUR_MS, now_ms).expect("a fresh number")
    };
    (0..5000).for_each(|seq| admit(1, seq, NOW));
    for generation in (600..=4096).step_by(200) {
        admit(2, generation, NOW + generation * length_ms);
    }
    (0..5000).for_each(|seq| admit(3, seq, NOW + 4096 * length_ms));
}

/// Places that go from session to session: nothing of the one before is left for the next.
#[test]
fn a_place_is_taken_over_clean() {
    let table = table(1);
    for session in 0..50_u8 {
        let now_ms = NOW + u64::from(session) * 24 * HOUR_MS;
        let end_ms = now_ms + 20 * HOUR_MS;
        // More sessions than places: the table is full, and each begins at numbers that were seen.
        let mut admitted = 0;
        for place in 0..20 {
            let name = WindowName { epoch: place, ..name(session) };
            match table.admit(&name, 40, end_ms, now_ms) {
                Ok(()) => {
                    admitted += 1;
                    assert_eq!(table.admit(&name, 39, end_ms, now_ms), Ok(()));
                    assert_eq!(table.admit(&name, 40, end_ms, now_ms), Err(AdmitError::Replayed));
                }
                Err(error) => assert_eq!(error, AdmitError::Full),
            }
        }
        assert_eq!(admitted, 7, "one line of seven");
    }
}

/// Threads deliver the same records to one table, in runs that overlap: each is accepted once.
#[test]
fn every_record_is_delivered_once() {
    const THREADS: u64 = 4;
    const COUNT: u64 = 40_000;
    let table = Arc::new(table(100));
    let workers: Vec<_> = (0..THREADS)
        .map(|worker| {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let mut accepted = Vec::new();
                for step in 0..COUNT {
                    // Everybody near the same number, a little ahead or behind.
                    let seq = (step + 97 * worker) ^ (step % 7);
                    match table.admit(&name(1), seq, NOW + HOUR_MS, NOW) {
                        Ok(()) => accepted.push(seq),
                        Err(error) => assert_eq!(error, AdmitError::Replayed),
                    }
                }
                accepted
            })
        })
        .collect();
    let mut accepted: Vec<_> =
        workers.into_iter().flat_map(|worker| worker.join().expect("worker")).collect();
    let accepted_count = accepted.len();
    accepted.sort_unstable();
    accepted.dedup();
    assert_eq!(accepted.len(), accepted_count, "a record was delivered twice");
    assert!(accepted_count as u64 > COUNT / 4, "{accepted_count}");
}
