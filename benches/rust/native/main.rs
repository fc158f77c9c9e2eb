//! Native costs: what each operation of `sage-core` takes without Python around it.
//!
//! `cargo bench -p sage-benches`, or with a filter such as `-- record`. The ratios against other
//! libraries are `benches/ratios`; these figures say where the nanoseconds of ours go.

use core::time::Duration;

use criterion::Criterion;

mod aead;
mod agents;
mod handshake;
mod hkdf;
mod records;
mod replay;
mod signatures;
mod x25519;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(30)
        .configure_from_args();
    signatures::measure(&mut criterion);
    x25519::measure(&mut criterion);
    aead::measure(&mut criterion);
    hkdf::measure(&mut criterion);
    records::measure(&mut criterion);
    replay::measure(&mut criterion);
    handshake::measure(&mut criterion);
    criterion.final_summary();
}
