//! Field arithmetic, in lanes and in registers, against big integers; limbs at their stated bounds.

use num_bigint::BigUint;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::super::element::Element;
use super::super::field::{ALL, EVEN, NONE, Tight2, Tight4, Tight8};

const TIGHT_MAX: u64 = (1 << 52) - 1;
/// The largest limb of a product, 267 * 2^52, and of one with the bias.
const PRODUCT_END: u64 = 267 << 52;
const BIASED_END: u64 = PRODUCT_END + (1 << 61);
const CARRIED_END: u64 = (1 << 51) + (1 << 18);

fn prime() -> BigUint {
    (BigUint::from(1u8) << 255) - 19u8
}

fn value(limbs: &[u64; 5]) -> BigUint {
    limbs.iter().rev().fold(BigUint::ZERO, |sum, limb| (sum << 51) + limb) % prime()
}

/// Limbs up to `max`, often 0 or `max` themselves.
fn random_limbs(rng: &mut StdRng, max: u64) -> [u64; 5] {
    core::array::from_fn(|_| match rng.random_range(0..4) {
        0 => 0,
        1 => max,
        2 => max - rng.random_range(0..4),
        _ => rng.random_range(0..=max),
    })
}

macro_rules! lane_tests {
    ($name:ident, $tight:ident, $count:literal) => {
        #[test]
        fn $name() {
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
            fn run() {
                let pack = |lanes: [[u64; 5]; $count]| {
                    $tight(core::array::from_fn(|k| {
                        // SAFETY: plain integers on both sides, of the same size.
                        unsafe { core::mem::transmute(lanes.map(|limbs| limbs[k])) }
                    }))
                };
                let mut rng = StdRng::seed_from_u64($count);
                let maximal = [[TIGHT_MAX; 5]; $count];
                for n in 0..20_000 {
                    let mut lanes = || match n {
                        0 => maximal,
                        _ => core::array::from_fn(|_| random_limbs(&mut rng, TIGHT_MAX)),
                    };
                    let (a, b) = (lanes(), lanes());
                    for minuends in [NONE, EVEN, ALL] {
                        let product = pack(a).mul(&pack(b), minuends);
                        let square = pack(a).square(minuends);
                        let wide = [product, square].map(|wide| $tight(wide.0).to_lanes());
                        let carried = [product, square].map(|wide| wide.carry().to_lanes());
                        for lane in 0..$count {
                            let (x, y) = (value(&a[lane]), value(&b[lane]));
                            let expected = [&x * &y % prime(), &x * &x % prime()];
                            let biased = minuends >> lane & 1 == 1;
                            let end = if biased { BIASED_END } else { PRODUCT_END };
                            for (kind, expected) in expected.iter().enumerate() {
                                let (wide, carried) = (wide[kind][lane], carried[kind][lane]);
                                assert_eq!(value(&wide), *expected);
                                assert_eq!(value(&carried), *expected);
                                assert!(wide.iter().all(|limb| *limb < end));
                                assert!(carried.iter().all(|limb| *limb < CARRIED_END));
                            }
                        }
                    }
                    let product = pack(a).mul(&pack(b), EVEN).sums_and_differences();
                    let carried = product.carry().to_lanes();
                    for pair in 0..$count / 2 {
                        let [p, q] = [0, 1].map(|side| {
                            let lane = 2 * pair + side;
                            value(&a[lane]) * value(&b[lane]) % prime()
                        });
                        assert_eq!(value(&carried[2 * pair]), (&p + &q) % prime());
                        assert_eq!(value(&carried[2 * pair + 1]), (prime() + p - q) % prime());
                    }
                }
            }
            if super::detect().is_some() {
                // SAFETY: an `Ifma` exists only where the four features do.
                unsafe { run() }
            }
        }
    };
}

lane_tests!(two_lanes_agree_with_big_integers, Tight2, 2);
lane_tests!(four_lanes_agree_with_big_integers, Tight4, 4);
lane_tests!(eight_lanes_agree_with_big_integers, Tight8, 8);

#[test]
fn any_wide_limbs_carry_to_tight_ones() {
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512ifma")]
    fn run() {
        let mut rng = StdRng::seed_from_u64(64);
        for _ in 0..20_000 {
            let limbs = random_limbs(&mut rng, u64::MAX);
            let wide = super::super::field::Wide4(
                limbs.map(|limb| core::arch::x86_64::_mm256_set1_epi64x(limb.cast_signed())),
            );
            for lane in wide.carry().to_lanes() {
                assert_eq!(value(&lane), value(&limbs));
                assert!(lane.iter().all(|limb| *limb < CARRIED_END));
            }
            let carried = Element(limbs).carried();
            assert_eq!(value(&carried.0), value(&limbs));
            assert!(carried.0.iter().all(|limb| *limb < CARRIED_END));
        }
    }
    if super::detect().is_some() {
        // SAFETY: an `Ifma` exists only where the four features do.
        unsafe { run() }
    }
}

#[test]
fn elements_agree_with_big_integers() {
    let mut rng = StdRng::seed_from_u64(5);
    for n in 0..100_000 {
        let max = (1 << 54) - 1;
        let [a, b] = match n {
            0 => [[max; 5]; 2],
            _ => [0; 2].map(|_| random_limbs(&mut rng, max)),
        };
        let (x, y) = (value(&a), value(&b));
        for (ours, expected) in [(Element(a).mul(&Element(b)), &x * &y), (Element(a).square(), &x * &x)] {
            assert_eq!(value(&ours.0), expected % prime());
            assert!(ours.0.iter().all(|limb| *limb < (1 << 51) + (1 << 13)));
        }
        let subtrahend = b.map(|limb| limb.min((1 << 53) - 77));
        let difference = Element(a).sub(&Element(subtrahend));
        assert_eq!(value(&difference.0), (prime() + x - value(&subtrahend)) % prime());
    }
}

#[test]
fn bytes_agree_with_big_integers() {
    let mut rng = StdRng::seed_from_u64(32);
    for n in 0..100_000 {
        // Near multiples of p as well as anywhere.
        let limbs = match n % 4 {
            0 => random_limbs(&mut rng, u64::MAX),
            1 => random_limbs(&mut rng, (1 << 51) - 1),
            near => {
                let low = near * ((1 << 51) - 19) - 20 + rng.random_range(0..40);
                let high = near * ((1 << 51) - 1);
                [low, high, high, high, high]
            }
        };
        let bytes = Element(limbs).to_bytes();
        assert_eq!(BigUint::from_bytes_le(&bytes), value(&limbs));

        let mut bytes: [u8; 32] = rng.random();
        let read = Element::from_bytes(&bytes);
        assert!(read.0.iter().all(|limb| *limb < 1 << 51));
        bytes[31] &= 127;
        assert_eq!(value(&read.0), BigUint::from_bytes_le(&bytes) % prime());
    }
}
