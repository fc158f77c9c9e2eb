//! The strictness checks that are about encodings alone.
//!
//! Cofactorless verification recomputes `R` and compares encodings, so a non-canonical `R` can
//! never match; it is refused here all the same, before any curve arithmetic, together with the
//! small-order points. All of this is on public data and variable time.

/// `y` of the small-order points, little-endian, without the sign bit: order 4, 1, 2 and the two
/// `y` of order 8 (RFC 7748's curve has cofactor 8; the values are those of libsodium's list).
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    [0; 32],
    one(),
    p_plus(-1),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// ℓ = 2^252 + 27742317777372353535851937790883648493, little-endian.
const GROUP_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

const fn one() -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    bytes
}

/// `p + delta` for a small delta, where p = 2^255 − 19.
const fn p_plus(delta: i8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed_u8.wrapping_add_signed(delta);
    bytes[31] = 0x7f;
    bytes
}

/// True if `y < p` and the sign bit is not set where `x = 0` leaves it no meaning.
pub(super) fn is_canonical_point(encoded: &[u8; 32]) -> bool {
    let y = without_sign(encoded);
    if !less_than(&y, &p_plus(0)) {
        return false;
    }
    // x = 0 only for y = ±1, and "minus zero" is a second spelling of it.
    let negative = encoded[31] & 0x80 != 0;
    !(negative && (y == one() || y == p_plus(-1)))
}

/// True for every encoding of a point of order 1, 2, 4 or 8.
pub(super) fn is_small_order(encoded: &[u8; 32]) -> bool {
    SMALL_ORDER_Y.contains(&without_sign(encoded))
}

/// True if `R` is canonical and not of small order, and `S < ℓ`.
pub(super) fn is_signature_form(signature: &[u8; 64]) -> bool {
    let (r, s) = signature.split_first_chunk().expect("64 bytes");
    let s: &[u8; 32] = s.try_into().expect("32 of 64 bytes");
    is_canonical_point(r) && !is_small_order(r) && less_than(s, &GROUP_ORDER)
}

fn without_sign(encoded: &[u8; 32]) -> [u8; 32] {
    let mut y = *encoded;
    y[31] &= 0x7f;
    y
}

/// Little-endian comparison.
fn less_than(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;

    use super::*;

    #[test]
    fn knows_all_eight_small_order_points() {
        for point in EIGHT_TORSION {
            assert!(is_small_order(point.compress().as_bytes()));
        }
    }

    #[test]
    fn refuses_every_second_spelling() {
        for delta in 0..19 {
            for sign in [0, 0x80] {
                let mut encoded = p_plus(delta);
                encoded[31] |= sign;
                assert!(!is_canonical_point(&encoded), "p + {delta}, sign {sign:#x}");
            }
        }
        for y in [one(), p_plus(-1)] {
            let mut minus_zero = y;
            minus_zero[31] |= 0x80;
            assert!(is_canonical_point(&y));
            assert!(!is_canonical_point(&minus_zero));
        }
    }

    #[test]
    fn refuses_s_from_the_group_order_up() {
        let mut signature = [0x33; 64];
        signature[32..].copy_from_slice(&GROUP_ORDER);
        assert!(!is_signature_form(&signature));
        signature[32] -= 1;
        assert!(is_signature_form(&signature));
    }
}
