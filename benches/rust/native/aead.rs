//! AES-256-GCM at several lengths: this crate's choice of code path beside the library alone.

use core::hint::black_box;
use core::mem::MaybeUninit;

use criterion::{BenchmarkId, Criterion, Throughput};
use sage_core::aead::{AeadKey, TAG_LEN};

const KEY: [u8; 32] = [1; 32];
const NONCE: [u8; 12] = [2; 12];
const AAD: [&[u8]; 2] = [&[3; 13], &[]];
const LENS: [usize; 6] = [16, 64, 256, 1024, 4096, 16_384];

pub fn measure(criterion: &mut Criterion) {
    for (path, key) in [("chosen", AeadKey::new(&KEY)), ("library", AeadKey::by_library(&KEY))] {
        measure_path(criterion, path, &key);
    }
    criterion.bench_function("aead/expand a key", |bencher| bencher.iter(|| AeadKey::new(black_box(&KEY))));
}

fn measure_path(criterion: &mut Criterion, path: &str, key: &AeadKey) {
    let mut group = criterion.benchmark_group("aead");
    for len in LENS {
        let plaintext = vec![4; len];
        let mut out = vec![MaybeUninit::uninit(); len + TAG_LEN];
        let sealed = sealed(key, &plaintext);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new(format!("seal, {path}"), len), |bencher| {
            bencher.iter(|| key.seal(&NONCE, AAD, black_box(&plaintext), &mut out));
        });
        group.bench_function(BenchmarkId::new(format!("open, {path}"), len), |bencher| {
            bencher.iter(|| key.open(&NONCE, AAD, black_box(&sealed), &mut out[..len]).expect("open"));
        });
    }
    group.finish();
}

fn sealed(key: &AeadKey, plaintext: &[u8]) -> Vec<u8> {
    let mut out = vec![MaybeUninit::new(0); plaintext.len() + TAG_LEN];
    key.seal(&NONCE, AAD, plaintext, &mut out);
    initialised(&out)
}

/// Copies what was filled. Every byte was initialised when the buffer was made.
#[allow(unsafe_code)]
pub fn initialised(bytes: &[MaybeUninit<u8>]) -> Vec<u8> {
    // SAFETY: the callers make their buffers with `MaybeUninit::new(0)`.
    bytes.iter().map(|byte| unsafe { byte.assume_init() }).collect()
}
