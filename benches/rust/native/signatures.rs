//! Ed25519 over 256 bytes, one at a time and in batches of distinct keys.

use core::hint::black_box;

use criterion::{Criterion, Throughput};
use sage_core::ed25519::{KeyRef, SigningKey, VerifyingKey, sign_many, verify_many};
use sage_core::random::SystemRandom;

const MESSAGE: [u8; 256] = [0x5a; 256];
const BATCH_LEN: usize = 64;

pub fn measure(criterion: &mut Criterion) {
    let keys: Vec<SigningKey> =
        (0..BATCH_LEN).map(|_| SigningKey::generate(&mut SystemRandom).expect("random")).collect();
    let signatures: Vec<[u8; 64]> = keys.iter().map(|key| key.sign(&MESSAGE).expect("sign")).collect();
    let key = &keys[0];
    let encoded = *key.verifying_key().as_bytes();
    let verifying = key.verifying_key();

    let mut group = criterion.benchmark_group("ed25519");
    group.bench_function("sign", |bencher| bencher.iter(|| key.sign(black_box(&MESSAGE))));
    group.bench_function("verify, key kept", |bencher| {
        bencher.iter(|| assert!(verifying.verify(black_box(&MESSAGE), &signatures[0])));
    });
    group.bench_function("verify, key from bytes", |bencher| {
        bencher.iter(|| {
            let key = VerifyingKey::from_bytes(black_box(&encoded)).expect("a key");
            assert!(key.verify(&MESSAGE, &signatures[0]));
        });
    });
    let hot = verifying.expand().expect("a point");
    group.bench_function("verify, key expanded", |bencher| {
        bencher.iter(|| assert!(hot.verify(black_box(&MESSAGE), &signatures[0])));
    });
    group.bench_function("expand a verifying key", |bencher| bencher.iter(|| black_box(verifying).expand()));
    group.bench_function("key pair", |bencher| {
        bencher.iter(|| SigningKey::generate(&mut SystemRandom));
    });

    let encoded: Vec<KeyRef<'_>> =
        keys.iter().map(|key| KeyRef::Raw(key.verifying_key().as_bytes())).collect();
    let expanded: Vec<VerifyingKey> =
        keys.iter().map(|key| key.verifying_key().expand().expect("a point")).collect();
    let hot: Vec<KeyRef<'_>> = expanded.iter().map(KeyRef::Checked).collect();
    let signatures: Vec<&[u8]> = signatures.iter().map(|signature| &signature[..]).collect();
    let messages = [&MESSAGE[..]; BATCH_LEN];
    group.throughput(Throughput::Elements(BATCH_LEN as u64));
    group.bench_function("sign, batch of 64", |bencher| {
        bencher.iter(|| sign_many(key, black_box(&messages)));
    });
    group.bench_function("verify, batch of 64, keys from bytes", |bencher| {
        bencher.iter(|| verify_many(black_box(&encoded), &signatures, &messages));
    });
    group.bench_function("verify, batch of 64, keys expanded", |bencher| {
        bencher.iter(|| verify_many(black_box(&hot), &signatures, &messages));
    });
    group.finish();
}
