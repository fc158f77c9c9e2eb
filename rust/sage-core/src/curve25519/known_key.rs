//! The equation of Ed25519 verification for a key that is known beforehand.
//!
//! [S]B - [k]A as multiples of two points with tables ([`super::comb`]), which is then encoded and compared
//! with R as bytes, as RFC 8032, 5.1.7, without cofactor, has it. All is public and variable time.

use super::comb::{Comb, Digits, combination};
use super::decompress::decompress;
use super::inversion::inverse;
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

/// Claims that share an inversion.
const GROUP_LEN: usize = 64;

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
        let mut inverses: Vec<_> = points.iter().map(|point| point.z).collect();
        let mut prefixes = inverses.clone();
        invert_all(&mut inverses, &mut prefixes);
        let verdict =
            |((claim, point), inverse): ((&Claim<'_>, &Point), _)| point.compressed(inverse) == *claim.r;
        verdicts.extend(group.iter().zip(&points).zip(&inverses).map(verdict));
    }
    verdicts
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

/// The same for each claim.
fn sums(claims: &[Claim<'_>], points: &mut Vec<Point>) {
    #[cfg(target_arch = "x86_64")]
    if let Some(ifma) = super::vector_unit() {
        let (lanes, rest) = claims.as_chunks::<{ super::ifma::LANE_COUNT }>();
        for eight in lanes {
            let base = eight.each_ref().map(|claim| claim.base_term(Comb::of_base_small()));
            points.extend(super::ifma::combinations(ifma, &[base, eight.each_ref().map(Claim::key_term)]));
        }
        points.extend(rest.iter().map(sum));
        return;
    }
    points.extend(claims.iter().map(sum));
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
            let lanes = core::array::from_fn(|_| claim.base_term(base));
            let terms = [lanes, core::array::from_fn(|_| claim.key_term())];
            points.extend(super::ifma::combinations(ifma, &terms));
        }
    }
    points.iter().map(|point| point.compressed(&inverse(&point.z)) == *claim.r).collect()
}
