//! Records through a session, and the replay window by itself.

use core::hint::black_box;
use core::mem::MaybeUninit;

use criterion::{BatchSize, BenchmarkId, Criterion};
use sage_core::random::SystemRandom;
use sage_core::record::RECORD_OVERHEAD;
use sage_core::session::{SealOptions, Session};
use sage_core::window::ReplayWindow;

use crate::aead::initialised;
use crate::agents::{Agents, NOW_MS};

pub fn measure(criterion: &mut Criterion) {
    for len in [64, 1024] {
        measure_seal(criterion, len);
        measure_open(criterion, len);
    }
    measure_window(criterion);
}

fn measure_seal(criterion: &mut Criterion, len: usize) {
    let agents = Agents::new();
    let plaintext = vec![5; len];
    let mut out = vec![MaybeUninit::new(0); len + RECORD_OVERHEAD];
    let mut client = agents.sessions().0;
    let mut group = criterion.benchmark_group("record");
    group.bench_function(BenchmarkId::new("seal", len), |bencher| {
        bencher.iter(|| {
            // One key may seal 2^24 records; a fast machine reaches that in a long run.
            if seal(&mut client, &plaintext, &mut out).is_err() {
                client = agents.sessions().0;
            }
        });
    });
}

fn measure_open(criterion: &mut Criterion, len: usize) {
    let agents = Agents::new();
    let (plaintext, mut opened) = (vec![5; len], vec![MaybeUninit::new(0); len]);
    let (mut client, mut server) = agents.sessions();
    let mut out = vec![MaybeUninit::new(0); len + RECORD_OVERHEAD];
    let mut group = criterion.benchmark_group("record");
    group.bench_function(BenchmarkId::new("open", len), |bencher| {
        bencher.iter_batched(
            || {
                if seal(&mut client, &plaintext, &mut out).is_err() {
                    return None;
                }
                Some(initialised(&out))
            },
            |record| {
                let record = record.expect("within the budget of one key");
                server.open(black_box(&record), b"", NOW_MS, &mut opened).expect("open");
                record
            },
            BatchSize::NumIterations(500),
        );
    });
}

fn seal(session: &mut Session, plaintext: &[u8], out: &mut [MaybeUninit<u8>]) -> Result<(), ()> {
    let options = SealOptions::default();
    session.seal(black_box(plaintext), options, NOW_MS, &mut SystemRandom, out).map_err(|_| ())
}

fn measure_window(criterion: &mut Criterion) {
    let (mut window, mut seq) = (ReplayWindow::new(), 0);
    criterion.bench_function("window/admit the next number", |bencher| {
        bencher.iter(|| {
            seq += 1;
            window.admit(black_box(seq))
        });
    });
    criterion.bench_function("window/refuse a number seen before", |bencher| {
        bencher.iter(|| window.admit(black_box(seq - 1)));
    });
}
