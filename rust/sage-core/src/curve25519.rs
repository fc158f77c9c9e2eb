//! Scalar multiplication on Curve25519, by the fastest means that this processor has.
//!
//! Several means, the same bytes ([`Path`]): the vector kernels of `ifma`, or AWS-LC; and for batches of
//! signatures, verifications and agreements `lanes`, on whatever vectors there are. All of it is constant time in the scalars, but
//! for verification, which sees public data alone.

#[cfg(target_arch = "x86_64")]
mod base_lanes;
#[cfg(target_arch = "x86_64")]
mod cold_key;
mod comb;
mod decompress;
mod element;
#[cfg(target_arch = "x86_64")]
mod ifma;
mod inversion;
mod known_key;
#[cfg(target_arch = "x86_64")]
mod ladder_lanes;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod opaque;
mod path;
mod point;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod windows;

use zeroize::Zeroizing;

#[cfg(target_arch = "x86_64")]
pub(crate) use self::base_lanes::BaseLanes;
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) use self::cold_key::cold_verdicts_by_every_path;
#[cfg(target_arch = "x86_64")]
pub(crate) use self::cold_key::{ColdClaim, ColdLanes};
#[cfg(target_arch = "x86_64")]
use self::ifma::Ifma;
#[cfg(test)]
pub(crate) use self::known_key::verdicts_by_every_path;
pub(crate) use self::known_key::{Claim, KeyTable, hold, holds};
#[cfg(target_arch = "x86_64")]
use self::ladder_lanes::LadderLanes;
pub(crate) use self::path::Path;
use crate::aws_lc;

/// The name of the kernel in use, if it is one of this crate's own.
pub(crate) fn kernel() -> Option<&'static str> {
    match Path::taken() {
        Path::Ifma => Some("curve25519-ifma"),
        Path::Avx512 => Some("curve25519-avx512"),
        Path::Avx2 => Some("curve25519-avx2"),
        Path::Scalar => None,
    }
}

/// X25519 (RFC 7748 §5). False if the shared secret is all zero, that is, if the peer's share has
/// small order.
#[must_use]
pub(crate) fn x25519(secret: &[u8; 32], peer: &[u8; 32], shared: &mut [u8; 32]) -> bool {
    match vector_unit() {
        #[cfg(target_arch = "x86_64")]
        Some(ifma) => {
            *shared = ifma::x25519(ifma, secret, peer);
            shared.iter().fold(0, |any, byte| any | byte) != 0
        }
        _ => aws_lc::x25519(secret, peer, shared),
    }
}

/// [`x25519`] for many: a secret and a share each. All zero where the share has small order.
#[must_use]
pub(crate) fn x25519_many(agreements: &[(&[u8; 32], &[u8; 32])]) -> Zeroizing<Vec<[u8; 32]>> {
    let mut shared = Zeroizing::new(vec![[0; 32]; agreements.len()]);
    #[allow(unused_mut, reason = "other processors have no lanes")]
    let mut in_lanes_count = 0;
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = LadderLanes::taken() {
        in_lanes_count = lanes.worthwhile_count(agreements.len());
        lanes.agree(&agreements[..in_lanes_count], &mut shared[..in_lanes_count]);
    }
    let rest = agreements.iter().zip(shared.iter_mut()).skip(in_lanes_count);
    for ((secret, peer), shared) in rest {
        let _ = x25519(secret, peer, shared);
    }
    shared
}

/// The public share of an X25519 secret.
pub(crate) fn x25519_public(secret: &[u8; 32]) -> [u8; 32] {
    match vector_unit() {
        #[cfg(target_arch = "x86_64")]
        Some(ifma) => ifma::x25519_base(ifma, secret),
        _ => aws_lc::x25519_public(secret),
    }
}

/// [`x25519_public`] for many.
pub(crate) fn x25519_public_many(secrets: &[&[u8; 32]]) -> Vec<[u8; 32]> {
    #[allow(unused_mut, reason = "other processors have no lanes")]
    let mut shares = Vec::new();
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = BaseLanes::taken() {
        shares = lanes.shares(&secrets[..lanes.worthwhile_count(secrets.len())]);
    }
    let rest = &secrets[shares.len()..];
    shares.extend(rest.iter().map(|secret| x25519_public(secret)));
    shares
}

/// True if these bytes encode a point of edwards25519, canonically or not.
pub(crate) fn is_point(encoded: &[u8; 32]) -> bool {
    decompress::decompress(encoded).is_some()
}

/// The kernels that Ed25519 is made of, where there are any.
#[cfg(target_arch = "x86_64")]
pub(crate) struct VectorUnit(Ifma);

#[cfg(target_arch = "x86_64")]
impl VectorUnit {
    /// `None` where AWS-LC signs and verifies.
    pub(crate) fn available() -> Option<Self> {
        vector_unit().map(Self)
    }

    /// `[s]B` as RFC 8032 encodes it.
    pub(crate) fn base_multiple(&self, scalar: &[u8; 32]) -> [u8; 32] {
        ifma::mul_base_compressed(self.0, scalar)
    }

    /// The cofactorless equation `R = [s]B − [k]A`, variable time on public data. `A` must be
    /// canonically encoded, `s` and `k` below 2^253.
    pub(crate) fn verifies(&self, public: &[u8; 32], r: &[u8; 32], s: &[u8; 32], k: &[u8; 32]) -> bool {
        ifma::verify_equation(self.0, public, r, s, k)
    }
}

#[cfg(target_arch = "x86_64")]
fn vector_unit() -> Option<Ifma> {
    if Path::taken() == Path::Ifma { Ifma::detect() } else { None }
}

#[cfg(not(target_arch = "x86_64"))]
fn vector_unit() -> Option<core::convert::Infallible> {
    None
}
