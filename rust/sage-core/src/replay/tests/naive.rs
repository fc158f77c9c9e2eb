//! The set against its definition in the plainest words, over hostile clocks.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::{AdmitError, DEFAULT_HORIZON_MS, Nonce};
use super::{NOW, set};

const LENGTH_MS: u64 = 1024;

/// Everything that was admitted, and what was given up.
#[derive(Default)]
struct Naive {
    forgotten_at_ms: HashMap<(u8, u8), u64>,
    given_up_before_ms: u64,
}

impl Naive {
    fn admit(&mut self, scope: u8, nonce: u8, until_ms: u64, now_ms: u64) -> Result<(), AdmitError> {
        let now_ms = now_ms.max(self.given_up_before_ms);
        if until_ms <= now_ms {
            return Err(AdmitError::GivenUp);
        }
        let (ahead_ms, horizon_ms) = (until_ms - now_ms, DEFAULT_HORIZON_MS);
        if ahead_ms > horizon_ms + LENGTH_MS {
            return Err(AdmitError::TooFarAhead { ahead_ms, horizon_ms });
        }
        self.given_up_before_ms = self.given_up_before_ms.max(now_ms / LENGTH_MS * LENGTH_MS);
        if until_ms < self.given_up_before_ms {
            return Err(AdmitError::GivenUp);
        }
        let given_up_before_ms = self.given_up_before_ms;
        self.forgotten_at_ms.retain(|_, end_ms| *end_ms > given_up_before_ms);
        if self.forgotten_at_ms.contains_key(&(scope, nonce)) {
            return Err(AdmitError::Replayed);
        }
        self.forgotten_at_ms.insert((scope, nonce), (until_ms / LENGTH_MS + 1) * LENGTH_MS);
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
struct Step {
    scope: u8,
    nonce: u8,
    clock_ms: i64,
    ahead_ms: i64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Mostly the clock of a normal day, now and then one that jumps.
    let clock_ms = prop_oneof![
        8 => 0..3000_i64,
        2 => -3_000..0_i64,
        1 => prop::sample::select(vec![-3_600_000, 3_600_000, 200_000, 1_100_000, 5_000_000, 90_000_000]),
    ];
    let ahead_ms = prop_oneof![8 => 0..182_000_i64, 1 => -5_000..400_000_i64];
    let step = (0..3_u8, 0..12_u8, clock_ms, ahead_ms).prop_map(|(scope, nonce, clock_ms, ahead_ms)| Step {
        scope,
        nonce,
        clock_ms,
        ahead_ms,
    });
    prop::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn single_is_the_definition(steps in steps()) {
        let (set, mut naive, mut now_ms) = (set(1000), Naive::default(), NOW);
        for step in steps {
            now_ms = now_ms.saturating_add_signed(step.clock_ms);
            let until_ms = now_ms.saturating_add_signed(step.ahead_ms);
            let (scope, nonce) = ([step.scope], [step.nonce]);
            let asked = Nonce { scope: &scope, nonce: &nonce, remember_until_ms: until_ms };
            let expected = naive.admit(step.scope, step.nonce, until_ms, now_ms);
            prop_assert_eq!(set.admit(b"", asked, now_ms), expected, "{:?} at {}", step, now_ms);
        }
    }

    #[test]
    fn batch_is_single(steps in steps(), lengths in prop::collection::vec(1..150_usize, 300)) {
        let (set, mut naive, mut now_ms) = (set(1000), Naive::default(), NOW);
        let mut left = &steps[..];
        for length in lengths {
            let (batch, rest) = left.split_at(length.min(left.len()));
            left = rest;
            let Some(first) = batch.first() else { break };
            now_ms = now_ms.saturating_add_signed(first.clock_ms);
            let bytes: Vec<_> = batch.iter().map(|step| ([step.scope], [step.nonce])).collect();
            let ends = batch.iter().map(|step| now_ms.saturating_add_signed(step.ahead_ms));
            let nonces = bytes.iter().zip(ends.clone()).map(|((scope, nonce), remember_until_ms)| {
                Nonce { scope, nonce, remember_until_ms }
            });
            let expected: Vec<_> = batch
                .iter()
                .zip(ends)
                .map(|(step, until_ms)| naive.admit(step.scope, step.nonce, until_ms, now_ms))
                .collect();
            prop_assert_eq!(set.admit_many(b"", nonces, now_ms), expected);
        }
        let counts = set.counts();
        let counted = counts.admitted + counts.replayed + counts.given_up + counts.full + counts.other;
        prop_assert_eq!(counted, steps.len() as u64 - left.len() as u64);
    }
}

/// Silences of every length, up to years: what was over is swept, and no tag seems alive again.
#[test]
fn no_ghosts_after_a_silence() {
    for silence in (1..5000).step_by(97).chain([1023, 1024, 2047, 2048, 2049, 4095, 4096, 10_000, 1 << 25]) {
        let set = set(2000);
        for number in 0..2000_u64 {
            let admitted = set.admit(b"", super::nonce(&number.to_le_bytes(), NOW + number * 90), NOW - 1);
            assert_eq!(admitted, Ok(()));
        }
        let now_ms = NOW + 181_000 + silence * LENGTH_MS;
        assert_eq!(set.admit(b"", super::nonce(b"a fresh!", now_ms + 1), now_ms), Ok(()));
        let statistics = set.statistics();
        assert_eq!((statistics.live, statistics.spent), (1, 0), "after {silence} generations");
        // There is room for as many as ever.
        for number in 1..2000_u64 {
            let admitted = set.admit(b"", super::nonce(&number.to_be_bytes(), now_ms + 60_000), now_ms);
            assert_eq!(admitted, Ok(()), "after {silence} generations");
        }
    }
}
