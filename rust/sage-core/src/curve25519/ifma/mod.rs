//! Curve25519 on the 52-bit multiply-add unit (AVX-512 IFMA: Ice Lake and Zen 4 onwards).
//!
//! One token, [`Ifma`], stands for "this processor has the instructions". It is obtained only from
//! [`Ifma::detect`], every public function asks for one, and so every public function is safe. All
//! functions but [`verify_equation`] and [`combination`], which know no secrets, run in time that does not depend on scalars
//! or coordinates: no branch, no memory address and no instruction with variable latency sees them.

#![allow(unsafe_code, reason = "entered only behind `Ifma`; each block has its proof")]

use super::{comb, decompress as portable, element, inversion, opaque, point, windows};

mod decompress;
mod eight;
mod field;
mod fixed_base;
mod known_key;
mod ladder;
mod naf;
mod selection;
#[cfg(test)]
mod tests;
mod verify;

pub use fixed_base::{mul_base_compressed, x25519_base};
pub use known_key::combination;
pub use ladder::x25519;
pub use verify::verify_equation;

/// Proof that this processor, and its operating system, run AVX-512 F, VL, DQ and IFMA.
#[derive(Clone, Copy, Debug)]
pub struct Ifma(());

impl Ifma {
    /// Ask the processor; `None` where any of the four is missing.
    #[must_use]
    pub fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512ifma");
        found.then_some(Self(()))
    }
}

/// The scalar with the three low bits and the top bit cleared and bit 254 set (RFC 7748, 5).
pub fn clamp(scalar: &[u8; 32]) -> zeroize::Zeroizing<[u8; 32]> {
    let mut clamped = zeroize::Zeroizing::new(*scalar);
    clamped[0] &= 248;
    clamped[31] = (clamped[31] & 127) | 64;
    clamped
}
