//! HKDF-SHA256 to 32 bytes.

use core::hint::black_box;

use criterion::Criterion;
use sage_core::hkdf::Prk;

pub fn measure(criterion: &mut Criterion) {
    let (ikm, salt, info) = ([1; 32], [2; 32], [3; 16]);
    let prk = Prk::extract(&salt, &ikm);
    let mut group = criterion.benchmark_group("hkdf");
    group.bench_function("extract and expand", |bencher| {
        bencher.iter(|| {
            let mut okm = [0; 32];
            Prk::extract(&salt, black_box(&ikm)).expand(&[&info], &mut okm).expect("expand");
            okm
        });
    });
    group.bench_function("expand from a kept PRK", |bencher| {
        bencher.iter(|| {
            let mut okm = [0; 32];
            prk.expand(&[black_box(&info)], &mut okm).expect("expand");
            okm
        });
    });
    group.finish();
}
