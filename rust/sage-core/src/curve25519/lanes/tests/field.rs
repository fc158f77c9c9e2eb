//! Every field against big integers, with limbs at their stated bounds.

use core::array::from_fn;

use num_bigint::{BigInt, BigUint};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::super::super::comb::{Comb, Entry};
use super::super::super::element::Element;
use super::super::super::ifma::Ifma;
use super::super::doubles::Doubles;
use super::super::vectors::Vectors;
use super::super::{Avx2, Avx512, Field, LANE_COUNT};

const CASE_COUNT: usize = 5_000;
const ALL: u8 = u8::MAX;
/// The largest that a multiple may have.
const MAX_FACTOR: u64 = (1 << 17) - 1;

fn prime() -> BigInt {
    (BigInt::from(1) << 255) - 19
}

fn modulo(value: BigInt) -> BigInt {
    ((value % prime()) + prime()) % prime()
}

fn value(element: &Element) -> BigInt {
    let limbs = element.0.iter().rev();
    BigInt::from(limbs.fold(BigUint::ZERO, |sum, limb| (sum << 51) + limb)) % prime()
}

/// Limbs up to the bound of a carried element, often 0 or that bound itself.
fn random_element(rng: &mut StdRng) -> Element {
    const MAX: u64 = (1 << 51) + (1 << 18) - 1;
    Element(from_fn(|_| match rng.random_range(0..5) {
        0 => 0,
        1 => MAX,
        2 => MAX - rng.random_range(0..4),
        3 => (1 << 50) + rng.random_range(0..4) - 2,
        _ => rng.random_range(0..=MAX),
    }))
}

/// Everything a field does, against big integers.
fn check<F: Field>(field: F) {
    let mut rng = StdRng::seed_from_u64(255);
    for n in 0..CASE_COUNT {
        let mut elements = || match n {
            0 => [Element([(1 << 51) + (1 << 18) - 1; 5]); LANE_COUNT],
            1 => [Element([1 << 50; 5]); LANE_COUNT],
            2 => [Element([0; 5]); LANE_COUNT],
            _ => from_fn(|_| random_element(&mut rng)),
        };
        let (a, b) = (elements(), elements());
        let mask: u8 = rng.random();
        let (x, y) = (field.of_elements(&a), field.of_elements(&b));
        let (xy, m) = (field.product(&x, &y), field.minuend(&x, &y));
        let (xx, mm) = (field.square(&x), field.square_minuend(&x));
        let twice = |wide| field.add(wide, wide);
        let is = |wide: &F::Wide, expected: &dyn Fn(&BigInt, &BigInt) -> BigInt| {
            let tight = field.carry(wide);
            // What a carry gives may be multiplied, and what is multiplied may be carried.
            let square = field.to_elements(&field.carry(&field.square(&tight)));
            for (lane, found) in field.to_elements(&tight).iter().enumerate() {
                let expected = modulo(expected(&value(&a[lane]), &value(&b[lane])));
                assert_eq!(value(found), expected, "{:x?} {:x?}", a[lane].0, b[lane].0);
                assert!(found.0.iter().all(|limb| *limb < (1 << 51) + (1 << 18)));
                assert_eq!(value(&square[lane]), modulo(&expected * &expected));
            }
        };
        is(&xy, &|a, b| a * b);
        is(&m, &|a, b| a * b);
        is(&xx, &|a, _| a * a);
        is(&mm, &|a, _| a * a);
        is(&field.add(&m, &xx), &|a, b| a * b + a * a);
        is(&field.sub(&m, &xx), &|a, b| a * b - a * a);
        is(&field.sub(&mm, &xy), &|a, b| a * a - a * b);
        is(&field.add(&m, &mm), &|a, b| a * b + a * a);
        is(&twice(&xy), &|a, b| 2 * a * b);
        is(&field.add(&twice(&m), &xx), &|a, b| 2 * a * b + a * a);
        is(&field.sub(&twice(&m), &xx), &|a, b| 2 * a * b - a * a);
        is(&field.sub(&twice(&twice(&mm)), &twice(&xy)), &|a, b| 4 * a * a - 2 * a * b);
        for factor in [0, 1, 121_665, MAX_FACTOR] {
            is(&field.plus_multiple(&m, &y, factor), &|a, b| a * b + factor * b);
        }
        is(&field.one(), &|_, _| BigInt::from(1));
        is(&field.product(&field.negated(ALL, &x), &y), &|a, b| -a * b);
        is(&field.product(&field.all_of(&a[0]), &y), &|_, b| value(&a[0]) * b);

        let chosen = field.to_elements(&field.chosen(mask, &x, &y));
        let wide = field.to_elements(&field.carry(&field.chosen_wide(mask, &xx, &xy)));
        let negated = field.to_elements(&field.carry(&field.product(&field.negated(mask, &x), &y)));
        for lane in 0..LANE_COUNT {
            let (p, q) = (value(&a[lane]), value(&b[lane]));
            let is_first = mask >> lane & 1 == 1;
            assert_eq!(value(&chosen[lane]), if is_first { p.clone() } else { q.clone() });
            assert_eq!(value(&wide[lane]), modulo(if is_first { &p * &p } else { &p * &q }));
            assert_eq!(value(&negated[lane]), modulo(if is_first { -p * q } else { p * q }));
        }
    }
    check_entries(field);
}

/// Entries read from a table, and as factors next to extreme ones.
fn check_entries<F: Field>(field: F) {
    const LOW_51: u64 = (1 << 51) - 1;
    let mut rng = StdRng::seed_from_u64(12);
    for n in 0..CASE_COUNT {
        let entries: [Entry; LANE_COUNT] = from_fn(|_| match n {
            0 => Entry([[u64::MAX; 3], [u64::MAX; 3], [u64::MAX; 3], [u64::MAX >> 1; 3]]),
            _ => Entry(from_fn(|word| from_fn(|_| rng.random::<u64>() >> u32::from(word == 3)))),
        });
        let tight = field.entries(&from_fn(|lane| &entries[lane]));
        let other = match n % 2 {
            0 => [Element([1 << 50; 5]); LANE_COUNT],
            _ => [Element([LOW_51 >> 1; 5]); LANE_COUNT],
        };
        let factor = field.of_elements(&other);
        for (place, tight) in tight.iter().enumerate() {
            let product = field.to_elements(&field.carry(&field.product(tight, &factor)));
            let negative = field.product(&field.negated(ALL, tight), &factor);
            let negative = field.to_elements(&field.carry(&negative));
            for lane in 0..LANE_COUNT {
                let read = Element::from_words(entries[lane].0.map(|word| word[place]));
                let expected = modulo(value(&read) * value(&other[lane]));
                assert_eq!(value(&product[lane]), expected);
                assert_eq!(value(&negative[lane]), modulo(-expected));
            }
        }
    }
}

#[test]
fn ifma_agrees_with_big_integers() {
    super::super::super::ifma::Ifma::detect().map_or_else(|| eprintln!("skipped: no IFMA"), check::<Ifma>);
}

#[test]
fn doubles_on_avx512_agree_with_big_integers() {
    Avx512::detect().map_or_else(|| eprintln!("skipped: no AVX-512 F"), |unit| check(Doubles(unit)));
}

#[test]
fn doubles_on_avx2_agree_with_big_integers() {
    Avx2::detect().map_or_else(|| eprintln!("skipped: no AVX2 or FMA"), |unit| check(Doubles(unit)));
}

/// The largest limbs that the bounds of doubles allow, of either sign, which elements do not reach.
fn check_extreme_limbs<V: Vectors>(vectors: V) {
    const TIGHT_MAX: i64 = (1 << 50) + (19 << 11) - 1;
    const ENTRY_MAX: i64 = (1 << 51) - 1;
    const WIDE_END: i64 = (1 << 62) - (1 << 50);
    let field = Doubles(vectors);
    let mut rng = StdRng::seed_from_u64(102);
    let big = |limbs: [i64; 5]| limbs.iter().rev().fold(BigInt::ZERO, |sum, limb| (sum << 51) + *limb);
    let mut limbs = |max: i64, n: usize| -> [i64; 5] {
        from_fn(|k| match n {
            0 => max,
            1 => -max,
            2 => {
                if k % 2 == 0 {
                    max
                } else {
                    -max
                }
            }
            3 => [1, -1, 0, max, -max][k],
            _ if rng.random() => {
                if rng.random() {
                    max
                } else {
                    -max
                }
            }
            _ => rng.random_range(-max..=max),
        })
    };
    let doubles = |limbs: [i64; 5]| limbs.map(|limb| vectors.all((limb as f64).to_bits()));
    let signed = |limbs: &[V::Vector; 5]| limbs.map(|limb| vectors.to_lanes(limb)[0].cast_signed());
    for n in 0..20_000 {
        let (a, b) = (limbs(TIGHT_MAX, n % 64), limbs(ENTRY_MAX, n / 7 % 64));
        let product = signed(&field.product(&doubles(a), &doubles(b)));
        assert_eq!(modulo(big(product)), modulo(big(a) * big(b)), "{a:x?} {b:x?}");
        assert!(product.iter().all(|limb| limb.abs() <= 172 << 51));
        let square = signed(&field.square(&doubles(a)));
        assert_eq!(modulo(big(square)), modulo(big(a) * big(a)), "{a:x?}");
        assert!(square.iter().all(|limb| limb.abs() <= 172 << 51));
        let multiple = field.plus_multiple(&doubles([0; 5]), &doubles(a), MAX_FACTOR);
        assert_eq!(modulo(big(signed(&multiple))), modulo(big(a) * MAX_FACTOR), "{a:x?}");
        let wide = limbs(WIDE_END - 1, n % 64);
        let carried = field.carry(&wide.map(|limb| vectors.all(limb.cast_unsigned())));
        let carried = signed(&carried).map(|bits| f64::from_bits(bits.cast_unsigned()) as i64);
        assert_eq!(modulo(big(carried)), modulo(big(wide)), "{wide:x?}");
        assert!(carried.iter().all(|limb| limb.abs() <= TIGHT_MAX + 1));
    }
}

#[test]
fn extreme_limbs_on_avx512_agree_with_big_integers() {
    Avx512::detect().map_or_else(|| eprintln!("skipped: no AVX-512 F"), check_extreme_limbs);
}

#[test]
fn extreme_limbs_on_avx2_agree_with_big_integers() {
    Avx2::detect().map_or_else(|| eprintln!("skipped: no AVX2 or FMA"), check_extreme_limbs);
}

/// Other modes of rounding, which a host may have set, change no answer.
#[test]
#[allow(unsafe_code, deprecated, reason = "sets the rounding mode of this thread, and sets it back")]
fn every_mode_of_rounding_gives_the_same_sums() {
    use core::arch::x86_64::*;
    let Some(unit) = Avx2::detect() else { return };
    // SAFETY: SSE is part of x86-64; only the two bits of the mode are changed, and changed back below.
    let before = unsafe { _mm_getcsr() };
    for mode in [_MM_ROUND_DOWN, _MM_ROUND_UP, _MM_ROUND_TOWARD_ZERO] {
        // SAFETY: as above.
        unsafe { _mm_setcsr(before & !_MM_ROUND_MASK | mode) };
        check_extreme_limbs(unit);
        if let Some(unit) = Avx512::detect() {
            check_extreme_limbs(unit);
        }
        // SAFETY: as above.
        unsafe { _mm_setcsr(before) };
    }
}

/// A comb's own entries come out as they were built.
#[test]
fn entries_are_read_as_they_were_written() {
    let comb = Comb::of_base_small();
    let digits = comb.digits(&[0x5a; 32]);
    let (entry, _) = comb.entry(&digits, 1, 3);
    let expected = [0, 1, 2].map(|n| value(&Element::from_words(entry.0.map(|word| word[n]))));
    let check = |found: [[Element; LANE_COUNT]; 3]| {
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found.iter().all(|element| value(element) == *expected));
        }
    };
    if let Some(unit) = Avx2::detect() {
        let field = Doubles(unit);
        check(field.entries(&[entry; LANE_COUNT]).map(|tight| field.to_elements(&tight)));
    }
    if let Some(unit) = Avx512::detect() {
        let field = Doubles(unit);
        check(field.entries(&[entry; LANE_COUNT]).map(|tight| field.to_elements(&tight)));
    }
}
