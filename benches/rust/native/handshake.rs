//! The server's side of a handshake, whole and step by step.

use core::hint::black_box;

use criterion::{BatchSize, Criterion};
use sage_core::handshake::{Request, accept_many, authenticate_many};
use sage_core::random::SystemRandom;

use crate::agents::{Agents, HOUR_MS, NOW_MS};

const BATCH_LEN: usize = 32;

pub fn measure(criterion: &mut Criterion) {
    let agents = Agents::new();
    let message = agents.first_message();
    let read = || agents.responder.read(black_box(&message), None, NOW_MS).expect("read");

    let mut group = criterion.benchmark_group("handshake, server");
    group.bench_function("whole", |bencher| bencher.iter(|| agents.respond(black_box(&message))));
    group.bench_function("read M1", |bencher| bencher.iter(read));
    group.bench_function("authenticate", |bencher| {
        bencher.iter_batched(
            read,
            |mut request| request.authenticate(None).expect("authenticate"),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("accept", |bencher| {
        bencher.iter_batched(
            || {
                let mut request = read();
                request.authenticate(None).expect("authenticate");
                request
            },
            |mut request| request.accept(&agents.bob, HOUR_MS, 600, NOW_MS, &mut SystemRandom),
            BatchSize::SmallInput,
        );
    });
    let read_many = || (0..BATCH_LEN).map(|_| read()).collect::<Vec<_>>();
    let listed = vec![vec![agents.alice.verifying_key().expand().expect("a point")]; BATCH_LEN];
    let authenticate = |requests: &mut [Request]| {
        authenticate_many(&mut requests.iter_mut().collect::<Vec<_>>(), &listed).expect("authenticate")
    };
    group.bench_function("authenticate 32 of hot keys", |bencher| {
        bencher.iter_batched(read_many, |mut requests| authenticate(&mut requests), BatchSize::SmallInput);
    });
    group.bench_function("accept 32", |bencher| {
        bencher.iter_batched(
            || {
                let mut requests = read_many();
                assert!(authenticate(&mut requests).iter().all(|valid| *valid));
                requests
            },
            |mut requests| {
                let mut requests: Vec<_> = requests.iter_mut().collect();
                accept_many(&mut requests, &agents.bob, HOUR_MS, 600, NOW_MS, &mut SystemRandom)
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}
