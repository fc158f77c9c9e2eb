//! X25519: agreement and key pair.

use core::hint::black_box;

use criterion::Criterion;
use sage_core::random::SystemRandom;
use sage_core::x25519::{EphemeralSecret, StaticSecret};

pub fn measure(criterion: &mut Criterion) {
    let secret = StaticSecret::generate(&mut SystemRandom).expect("random");
    let peer = StaticSecret::generate(&mut SystemRandom).expect("random").public_key();
    let mut group = criterion.benchmark_group("x25519");
    group.bench_function("exchange", |bencher| bencher.iter(|| secret.exchange(black_box(&peer))));
    group.bench_function("key pair", |bencher| {
        bencher.iter(|| EphemeralSecret::generate(&mut SystemRandom).expect("random").public_key());
    });
    group.finish();
}
