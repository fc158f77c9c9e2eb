//! From encodings back to points of edwards25519, in variable time.
//!
//! RFC 8032, 5.1.3: x^2 = u / v with u = y^2 - 1 and v = d y^2 + 1, which is never 0, as -1 / d is not a
//! square. With w = u v^7 the candidate is x = u v^3 w^((p - 5) / 8); then v x^2 is u, or -u and x is to
//! be multiplied by a root of -1, or neither and there is no such point.
//!
//! The power is a chain of 252 squarings. Here it is taken in ordinary registers, for one point;
//! `ifma::decompress` takes it for two points at once.
//!
//! All elements are carried ("Bounds" in [`super::element`]).

use super::element::Element;

const ZERO: Element = Element([0; 5]);

const D: Element = Element([
    0x3_4dca_1359_78a3,
    0x1_a828_3b15_6ebd,
    0x5_e7a2_6001_c029,
    0x7_39c6_63a0_3cbb,
    0x5_2036_cee2_b6ff,
]);

const ROOT_OF_MINUS_ONE: Element = Element([
    0x6_1b27_4a0e_a0b0,
    0x0_d5a5_fc8f_189d,
    0x7_ef5e_9cbd_0c60,
    0x7_8595_a680_4c9e,
    0x2_b832_4804_fc1d,
]);

/// A point by its two coordinates.
pub struct Affine {
    pub x: Element,
    pub y: Element,
}

/// The point of an encoding; `None` where there is none, or x = 0 comes with the sign bit.
///
/// A y from p on wraps: whether an encoding is canonical is for the caller to ask.
pub fn decompress(encoded: &[u8; 32]) -> Option<Affine> {
    let half = Half::new(encoded);
    half.point(&power(&half.w), encoded[31] >> 7)
}

/// What is known before the power.
pub struct Half {
    y: Element,
    u: Element,
    v: Element,
    u_v3: Element,
    /// What is to be raised to the power.
    pub w: Element,
}

impl Half {
    pub fn new(encoded: &[u8; 32]) -> Self {
        let y = Element::from_bytes(encoded);
        let yy = y.square();
        let u = yy.sub(&Element::ONE).carried();
        let v = yy.mul(&D).add(&Element::ONE); // below 2^51 + 2^14
        let v3 = v.square().mul(&v);
        let u_v3 = u.mul(&v3);
        let w = u_v3.mul(&v3.mul(&v));
        Self { y, u, v, u_v3, w }
    }

    /// The point whose x has the parity `sign`, from w^((p - 5) / 8).
    pub fn point(&self, power: &Element, sign: u8) -> Option<Affine> {
        let mut x = self.u_v3.mul(power);
        let u_if_root = x.square().mul(&self.v);
        if !u_if_root.equals(&self.u) {
            if !u_if_root.equals(&ZERO.sub(&self.u)) {
                return None;
            }
            x = x.mul(&ROOT_OF_MINUS_ONE);
        }
        let bytes = x.to_bytes();
        if bytes[0] & 1 != sign {
            if bytes == [0; 32] {
                return None;
            }
            x = ZERO.sub(&x).carried();
        }
        Some(Affine { x, y: self.y })
    }
}

/// To the power (p - 5) / 8 = 2^252 - 3. Names give the exponent; `ones_n` is 2^n - 1.
fn power(z: &Element) -> Element {
    let squares = |element: &Element, count: usize| (0..count).fold(*element, |power, _| power.square());
    let z2 = z.square();
    let z9 = squares(&z2, 2).mul(z);
    let z11 = z9.mul(&z2);
    let ones_5 = z11.square().mul(&z9);
    let ones_10 = squares(&ones_5, 5).mul(&ones_5);
    let ones_20 = squares(&ones_10, 10).mul(&ones_10);
    let ones_40 = squares(&ones_20, 20).mul(&ones_20);
    let ones_50 = squares(&ones_40, 10).mul(&ones_10);
    let ones_100 = squares(&ones_50, 50).mul(&ones_50);
    let ones_200 = squares(&ones_100, 100).mul(&ones_100);
    let ones_250 = squares(&ones_200, 50).mul(&ones_50);
    squares(&ones_250, 2).mul(z)
}
