//! Threads that race for the same nonces.

use std::sync::{Arc, Barrier};
use std::thread;

use super::super::{AdmitError, Nonce};
use super::{NOW, set};

const THREADS: usize = 4;

/// Every nonce is presented by every thread, singly by some and in batches by others, while the time
/// goes on and the floor moves: exactly one gets it.
#[test]
fn exactly_one_of_many_is_admitted() {
    const ROUNDS: u64 = 100;
    const LEN: u64 = 1000;
    let (set, barrier) = (Arc::new(set(8 * LEN)), Arc::new(Barrier::new(THREADS)));
    let workers: Vec<_> = (0..THREADS)
        .map(|worker| {
            let (set, barrier) = (Arc::clone(&set), Arc::clone(&barrier));
            thread::spawn(move || {
                let mut admitted = vec![0_u64; (ROUNDS * LEN) as usize];
                for round in 0..ROUNDS {
                    barrier.wait();
                    let numbers: Vec<_> = (round * LEN..(round + 1) * LEN).collect();
                    let bytes: Vec<_> = numbers.iter().map(|number| number.to_le_bytes()).collect();
                    let now_ms = NOW + round * 1000;
                    let nonces = bytes.iter().map(|nonce| Nonce {
                        scope: b"scope",
                        nonce,
                        remember_until_ms: now_ms + 2000,
                    });
                    let verdicts: Vec<_> = if worker % 2 == 0 {
                        set.admit_many(b"", nonces, now_ms)
                    } else {
                        nonces.map(|nonce| set.admit(b"", nonce, now_ms)).collect()
                    };
                    for (number, verdict) in numbers.iter().zip(verdicts) {
                        match verdict {
                            Ok(()) => admitted[*number as usize] += 1,
                            Err(error) => assert_eq!(error, AdmitError::Replayed),
                        }
                    }
                }
                admitted
            })
        })
        .collect();
    let admitted: Vec<_> = workers.into_iter().map(|worker| worker.join().expect("worker")).collect();
    for number in 0..(ROUNDS * LEN) as usize {
        let count: u64 = admitted.iter().map(|admitted| admitted[number]).sum();
        assert_eq!(count, 1, "nonce {number}");
    }
}

/// One table at its capacity, from all sides at once: as many as fit, each once.
#[test]
fn a_table_filled_by_many_holds_what_it_is_made_for() {
    const LEN: u64 = 50_000;
    let set = Arc::new(set(LEN));
    let workers: Vec<_> = (0..THREADS as u64)
        .map(|worker| {
            let set = Arc::clone(&set);
            thread::spawn(move || {
                (0..LEN)
                    .filter(|number| {
                        let number = (number + worker * LEN / 4) % LEN;
                        set.admit(b"", super::nonce(&number.to_le_bytes(), NOW + 1000), NOW).is_ok()
                    })
                    .count() as u64
            })
        })
        .collect();
    let admitted: u64 = workers.into_iter().map(|worker| worker.join().expect("worker")).sum();
    assert_eq!(admitted, LEN);
    assert_eq!(set.statistics().live, LEN);
}
