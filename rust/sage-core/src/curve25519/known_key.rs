//! The equation of Ed25519 verification for a key that is known beforehand.
//!
//! [S]B - [k]A as multiples of two points with tables ([`super::comb`]), which is then encoded and compared
//! with R as bytes, as RFC 8032, 5.1.7, without cofactor, has it. All is public and variable time.

use super::comb::{Comb, Digits, combination};
use super::decompress::decompress;
use super::inversion::inverse;
#[cfg(target_arch = "x86_64")]
use super::lanes::{LANE_COUNT, worthwhile_count};
#[cfg(target_arch = "x86_64")]
use super::path::Path;
use super::point::{Point, invert_all};

/// What is known of a key: tables of minus A.
pub(crate) struct KeyTable(Comb);

/// One signature as numbers: R, S and k = H(R, A, M) modulo the order of B.
pub(crate) struct Claim<'a> {
    pub(crate) table: &'a KeyTable,
    pub(crate) r: &'a [u8; 32],
    pub(crate) s: &'a [u8; 32],
    pub(crate) k: [u8; 32],
}

impl KeyTable {
    /// Bytes of a table.
    pub(crate) const LEN: usize = Comb::KEY_LEN;

    /// Builds the tables. `None` if `public` encodes no point; whether it is canonical is for the caller to
    /// ask.
    pub(crate) fn new(public: &[u8; 32]) -> Option<Self> {
        decompress(public).map(|point| Self(Comb::of_negative(&point)))
    }
}

/// Lanes that are filled, if lanes are to pay for verifications.
#[cfg(target_arch = "x86_64")]
pub(super) const LANES_PAY_FROM: usize = 4;
/// Claims that share an inversion.
pub(super) const GROUP_LEN: usize = 64;

/// True if the claim holds.
pub(crate) fn holds(claim: &Claim<'_>) -> bool {
    let point = sum(claim);
    point.compressed(&inverse(&point.z)) == *claim.r
}

/// Whether each claim holds, by itself.
pub(crate) fn hold(claims: &[Claim<'_>]) -> Vec<bool> {
    let mut verdicts = Vec::with_capacity(claims.len());
    for group in claims.chunks(GROUP_LEN) {
        let mut points = Vec::with_capacity(group.len());
        sums(group, &mut points);
        let encodings = encodings(&points);
        verdicts.extend(group.iter().zip(&encodings).map(|(claim, sum)| sum == claim.r));
    }
    verdicts
}

/// The encodings of points, with one shared inversion.
pub(super) fn encodings(points: &[Point]) -> Vec<[u8; 32]> {
    let mut inverses: Vec<_> = points.iter().map(|point| point.z).collect();
    let mut prefixes = inverses.clone();
    invert_all(&mut inverses, &mut prefixes);
    points.iter().zip(&inverses).map(|(point, inverse)| point.compressed(inverse)).collect()
}

impl<'a> Claim<'a> {
    fn base_term(&self, base: &'static Comb) -> (&'static Comb, Digits) {
        (base, base.digits(self.s))
    }

    fn key_term(&self) -> (&'a Comb, Digits) {
        (&self.table.0, self.table.0.digits(&self.k))
    }
}

/// [S]B - [k]A.
fn sum(claim: &Claim<'_>) -> Point {
    match super::vector_unit() {
        #[cfg(target_arch = "x86_64")]
        Some(ifma) => {
            super::ifma::combination(ifma, &[claim.base_term(Comb::of_base_small()), claim.key_term()])
        }
        _ => combination(&[claim.base_term(Comb::of_base()), claim.key_term()]),
    }
}

/// The same for each claim, in lanes where there are any.
fn sums(claims: &[Claim<'_>], points: &mut Vec<Point>) {
    #[cfg(target_arch = "x86_64")]
    if let Some(unit) = Path::taken().unit() {
        let in_lanes = &claims[..worthwhile_count(claims.len(), LANES_PAY_FROM)];
        for group in in_lanes.chunks(LANE_COUNT) {
            // The last claim of a group that is not full is done several times.
            let claim = |lane: usize| group.get(lane).unwrap_or(&group[group.len() - 1]);
            let base = core::array::from_fn(|lane| claim(lane).base_term(Comb::of_base_small()));
            let key = core::array::from_fn(|lane| claim(lane).key_term());
            points.extend(&unit.combinations(&[base, key])[..group.len()]);
        }
    }
    points.extend(claims[points.len()..].iter().map(sum));
}

/// The verdict by each path of this processor: scalar, single vector, and each lane of eight.
#[cfg(test)]
pub(crate) fn verdicts_by_every_path(claim: &Claim<'_>) -> Vec<bool> {
    let mut points = Vec::new();
    for base in [Comb::of_base(), Comb::of_base_small()] {
        let terms = || [claim.base_term(base), claim.key_term()];
        points.push(combination(&terms()));
        #[cfg(target_arch = "x86_64")]
        if let Some(ifma) = super::ifma::Ifma::detect() {
            points.push(super::ifma::combination(
                ifma,
                &[claim.base_term(Comb::of_base_small()), claim.key_term()],
            ));
        }
        #[cfg(target_arch = "x86_64")]
        for unit in Path::units() {
            let lanes = core::array::from_fn(|_| claim.base_term(base));
            points.extend(unit.combinations(&[lanes, core::array::from_fn(|_| claim.key_term())]));
        }
    }
    points.iter().map(|point| point.compressed(&inverse(&point.z)) == *claim.r).collect()
}
