//! The equation of Ed25519 verification for many keys not seen before, in lanes ([`super::lanes`]).
//!
//! As in [`super::known_key`], [S]B - [k]A is encoded and compared with R as bytes, which is the equation of RFC 8032,
//! 5.1.7, without cofactor. All is public and variable time.

use core::array::from_fn;

use super::known_key::{GROUP_LEN, LANES_PAY_FROM, encodings};
use super::lanes::{Equations, LANE_COUNT, Unit, worthwhile_count};
use super::path::Path;
use super::point::Point;

/// One signature as numbers: A, R, S and k = H(R, A, M) modulo the order of B. Whether A is canonical is for the
/// caller to ask.
pub(crate) struct ColdClaim<'a> {
    pub(crate) public: &'a [u8; 32],
    pub(crate) r: &'a [u8; 32],
    pub(crate) s: &'a [u8; 32],
    pub(crate) k: [u8; 32],
}

/// The lanes that such claims are decided in.
#[derive(Clone, Copy)]
pub(crate) struct ColdLanes(Unit);

impl ColdLanes {
    /// `None` where there are no lanes, or they are not to be taken.
    pub(crate) fn taken() -> Option<Self> {
        Path::taken().unit().map(Self)
    }

    /// How many of so many claims are worth being made: what is left is cheaper one by one.
    pub(crate) fn worthwhile_count(count: usize) -> usize {
        worthwhile_count(count, LANES_PAY_FROM)
    }

    /// Whether each claim holds, by itself. Variable time.
    pub(crate) fn hold(self, claims: &[ColdClaim<'_>]) -> Vec<bool> {
        let mut verdicts = Vec::with_capacity(claims.len());
        for group in claims.chunks(GROUP_LEN) {
            let sums: Vec<_> = group.chunks(LANE_COUNT).flat_map(|eight| self.sums(eight)).collect();
            // What has no sum fails, whatever stands in its place.
            let points: Vec<_> = sums.iter().map(|sum| sum.unwrap_or(Point::BASE)).collect();
            let encodings = encodings(&points);
            let claimed = group.iter().zip(&sums).zip(&encodings);
            verdicts.extend(claimed.map(|((claim, sum), encoded)| sum.is_some() && encoded == claim.r));
        }
        verdicts
    }

    /// [S]B - [k]A of eight claims or fewer, `None` where A is no point. If they are fewer, the last is done several times.
    fn sums(self, claims: &[ColdClaim<'_>]) -> impl Iterator<Item = Option<Point>> + use<> {
        let claim = |lane: usize| claims.get(lane).unwrap_or(&claims[claims.len() - 1]);
        let sums = self.0.cold_combinations(&Equations {
            keys: from_fn(|lane| claim(lane).public),
            s: from_fn(|lane| claim(lane).s),
            k: from_fn(|lane| &claim(lane).k),
        });
        sums.into_iter().take(claims.len())
    }
}

/// The verdict in each lane of each unit of this processor.
#[cfg(test)]
pub(crate) fn cold_verdicts_by_every_path(claim: &ColdClaim<'_>) -> Vec<bool> {
    let eight = || (0..LANE_COUNT).map(|_| ColdClaim { ..*claim }).collect::<Vec<_>>();
    Path::units().flat_map(|unit| ColdLanes(unit).hold(&eight())).collect()
}
