//! The kernels against big integers, RFC vectors, AWS-LC and curve25519-dalek. Each test says so and
//! ends where the processor lacks the instructions.

mod field;
mod fixed_base;
mod ladder;
mod verify;

fn detect() -> Option<super::Ifma> {
    let found = super::Ifma::detect();
    if found.is_none() {
        eprintln!("skipped: this processor has no AVX-512 IFMA");
    }
    found
}
