//! Request nonces admitted, singly and in batches, with a million live.

use criterion::{BatchSize, Criterion, Throughput};
use sage_core::random::{RandomSource, SystemRandom};
use sage_core::replay::{DEFAULT_HORIZON_MS, Moment, Nonce, ReplaySet};

const NOW: u64 = 1_800_000_000_000;
const SCOPE: &[u8] = b"did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
const LIVE_COUNT: usize = 1_000_000;
const BATCH_LEN: usize = 1000;

type Bytes = [u8; 32];

fn drawn(count: usize) -> Vec<Bytes> {
    let mut nonces = vec![[0; 32]; count];
    SystemRandom.fill(nonces.as_flattened_mut()).expect("random");
    nonces
}

fn asked(nonce: &Bytes) -> Nonce<'_> {
    Nonce { scope: SCOPE, nonce, remember_until_ms: NOW + 120_000 }
}

pub fn measure(criterion: &mut Criterion) {
    // Room for what is measured, beside the million.
    let capacity = 8 * LIVE_COUNT as u64;
    let set = ReplaySet::open(None, capacity, DEFAULT_HORIZON_MS, Moment::at(NOW), &mut SystemRandom);
    let set = set.expect("a set");
    let verdicts = set.admit_many(b"", drawn(LIVE_COUNT).iter().map(asked), NOW);
    assert!(verdicts.iter().all(Result::is_ok));

    let mut group = criterion.benchmark_group("replay set, a million live");
    group.bench_function("admit", |bencher| {
        bencher.iter_batched_ref(
            || drawn(1)[0],
            |nonce| set.admit(b"", asked(nonce), NOW),
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Elements(BATCH_LEN as u64));
    group.bench_function("admit a batch of 1,000", |bencher| {
        bencher.iter_batched_ref(
            || drawn(BATCH_LEN),
            |nonces| set.admit_many(b"", nonces.iter().map(asked), NOW),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}
