//! What holds for tables, sets and windows, under every order of events and over every clock.

mod capacity;
mod files;
mod interleavings;
mod interruptions;
mod modelled;
mod naive;
mod shared_windows;
mod threads;

use std::path::{Path, PathBuf};

use super::{DEFAULT_HORIZON_MS, Moment, Nonce, ReplaySet};
use crate::random::SystemRandom;

const NOW: u64 = 1_800_000_000_000;

fn set(capacity: u64) -> ReplaySet {
    set_at(None, capacity)
}

fn set_at(path: Option<&Path>, capacity: u64) -> ReplaySet {
    ReplaySet::open(path, capacity, DEFAULT_HORIZON_MS, Moment::at(NOW), &mut SystemRandom).expect("a set")
}

fn nonce(number: &[u8; 8], remember_until_ms: u64) -> Nonce<'_> {
    Nonce { scope: b"did:example:alice", nonce: number, remember_until_ms }
}

/// A directory that goes when it is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let mut name = [0_u8; 8];
        crate::random::RandomSource::fill(&mut SystemRandom, &mut name).expect("random");
        let path = std::env::temp_dir().join(format!("sage-replay-{:016x}", u64::from_le_bytes(name)));
        std::fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("table")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
