//! Multiples of the base point in lanes: how digits select, and sums against curve25519-dalek.

use core::array::from_fn;

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::super::super::base_lanes::BaseLanes;
use super::super::super::element::Element;
use super::super::super::ifma::Ifma;
use super::super::super::tests::scalars::{base_multiple, edge_scalars};
use super::super::super::windows::{Row, windows};
use super::super::base_multiples::Choice;
use super::super::doubles::Doubles;
use super::super::{Avx2, Avx512, Field, LANE_COUNT};

/// Each digit in each lane, with other digits beside it.
fn check_selection<F: Field>(field: F) {
    for (window, [shift, other_shift]) in windows().iter().zip([[0, 4], [4, 0]].iter().cycle()) {
        for first in 0..16_u8 {
            let nibble = |lane: usize| (first + 5 * lane as u8) & 15;
            let row = from_fn(|lane| nibble(lane) << shift | (nibble(lane) ^ first) << other_shift);
            let addends = Choice::new(&row, *shift).addends(field, window);
            let found = [addends.y_plus_x, addends.y_minus_x, addends.twice_dxy];
            let found = found.map(|coordinate| field.to_elements(&coordinate));
            for lane in 0..LANE_COUNT {
                let digit = 2 * i32::from(nibble(lane)) - 15;
                let place = digit.unsigned_abs() as usize / 2;
                let element = |rows: &[Row; 5]| Element(from_fn(|k| rows[k].0[place]));
                let plus = element(&window.y_plus_x);
                let minus = element(&window.y_minus_x);
                let twice_dxy = element(&window.twice_dxy);
                let expected = match digit < 0 {
                    true => [minus, plus, Element([0; 5]).sub(&twice_dxy)],
                    false => [plus, minus, twice_dxy],
                };
                for (found, expected) in found.iter().zip(&expected) {
                    assert!(found[lane].equals(expected), "digit {digit} in lane {lane}");
                }
            }
        }
    }
}

#[test]
fn every_digit_selects_its_multiple_with_ifma() {
    Ifma::detect().map_or_else(|| eprintln!("skipped: no IFMA"), check_selection);
}

#[test]
fn every_digit_selects_its_multiple_on_avx512() {
    Avx512::detect()
        .map_or_else(|| eprintln!("skipped: no AVX-512 F"), |unit| check_selection(Doubles(unit)));
}

#[test]
fn every_digit_selects_its_multiple_on_avx2() {
    Avx2::detect()
        .map_or_else(|| eprintln!("skipped: no AVX2 or FMA"), |unit| check_selection(Doubles(unit)));
}

#[test]
fn multiples_agree_with_dalek() {
    let mut rng = StdRng::seed_from_u64(64);
    let mut scalars = edge_scalars();
    scalars.extend((0..20_000).map(|_| rng.random::<[u8; 32]>()));
    let expected: Vec<_> = scalars.iter().map(base_multiple).collect();
    for lanes in BaseLanes::of_every_path() {
        assert!(lanes.multiples(&scalars) == expected, "{lanes:?}");
        for len in 0..=130 {
            let some = 3 * len..4 * len;
            assert_eq!(lanes.multiples(&scalars[some.clone()]), expected[some], "{lanes:?}");
        }
    }
}

/// The processor tells if an operand was ever subnormal, or a result, or no number, or infinite: their times differ.
#[test]
#[allow(unsafe_code, deprecated, reason = "reads and clears the flags of this thread")]
fn doubles_are_zero_or_normal_whatever_the_scalars() {
    use core::arch::x86_64::*;
    const HARMLESS: u32 = _MM_EXCEPT_INEXACT;
    let mut rng = StdRng::seed_from_u64(52);
    let mut scalars = edge_scalars();
    scalars.extend((0..1_000).map(|_| rng.random::<[u8; 32]>()));
    let flags = |scalars: &[[u8; 32]], lanes: BaseLanes| {
        // SAFETY: SSE is part of x86-64; only flags that nobody waits for are changed.
        unsafe { _mm_setcsr(_mm_getcsr() & !_MM_EXCEPT_MASK) };
        let _ = lanes.multiples(scalars);
        // SAFETY: as above.
        unsafe { _mm_getcsr() & _MM_EXCEPT_MASK }
    };
    for lanes in BaseLanes::of_every_path() {
        assert_eq!(flags(&scalars, lanes) & !HARMLESS, 0, "{lanes:?}");
    }
}
