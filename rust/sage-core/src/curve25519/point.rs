//! Points of edwards25519, -x^2 + y^2 = 1 + d x^2 y^2, in ordinary registers.
//!
//! Extended coordinates (X : Y : Z : T), x = X / Z, y = Y / Z, T = X Y / Z; formulas of Hisil, Wong,
//! Carter and Dawson for a = -1, complete because -1 is a square and d is not. Used to build tables
//! and to join partial sums; the long loops run in vectors elsewhere.
//!
//! Bounds: coordinates are carried ("Bounds" in [`super::element`]); comments name what exceeds that.

use zeroize::Zeroize;

use super::element::Element;
use super::inversion::inverse;

/// 2 d.
pub const TWICE_D: Element = Element([
    0x6_9b94_26b2_f159,
    0x3_5050_762a_dd7a,
    0x3_cf44_c003_8052,
    0x6_738c_c740_7977,
    0x2_406d_9dc5_6dff,
]);

/// A point; all formulas hold for all points.
#[derive(Clone, Copy)]
pub struct Point {
    pub x: Element,
    pub y: Element,
    pub z: Element,
    pub t: Element,
}

impl Point {
    /// The base point B of RFC 8032: y = 4 / 5, x even.
    pub const BASE: Self = Self {
        x: Element([
            0x6_2d60_8f25_d51a,
            0x4_12a4_b4f6_592a,
            0x7_5b71_71a4_b31d,
            0x1_ff60_5271_18fe,
            0x2_1693_6d3c_d6e5,
        ]),
        y: Element([
            0x6_6666_6666_6658,
            0x4_cccc_cccc_cccc,
            0x1_9999_9999_9999,
            0x3_3333_3333_3333,
            0x6_6666_6666_6666,
        ]),
        z: Element::ONE,
        t: Element([
            0x6_8ab3_a5b7_dda3,
            0x0_0eea_2a5e_adbb,
            0x2_af8d_f483_c27e,
            0x3_32b3_7527_4732,
            0x6_7875_f0fd_78b7,
        ]),
    };

    /// The neutral element.
    pub const NEUTRAL: Self =
        Self { x: Element([0; 5]), y: Element::ONE, z: Element::ONE, t: Element([0; 5]) };

    /// The point of coordinates (Y + X, Y - X, Z, T), limbs of each below 2^52: twice each of X, Y, Z
    /// and T, which is the same point.
    pub fn from_sum_and_difference([sum, difference, z, t]: [Element; 4]) -> Self {
        Self {
            x: sum.sub(&difference).carried(),
            y: sum.add(&difference).carried(),
            z: z.add(&z).carried(),
            t: t.add(&t).carried(),
        }
    }

    pub fn negated(&self) -> Self {
        let negative = |element: &Element| Element([0; 5]).sub(element).carried();
        Self { x: negative(&self.x), t: negative(&self.t), ..*self }
    }

    pub fn double(&self) -> Self {
        let xx = self.x.square();
        let yy = self.y.square();
        let zz = self.z.square();
        let h = yy.add(&xx); // below 2^53 - 76
        let e = self.x.add(&self.y).square().sub(&h); // below 2^54
        let g = yy.sub(&xx).carried();
        let f = zz.add(&zz).sub(&g); // below 2^54
        Self::from_factors(&e, &f, &g, &h)
    }

    pub fn add(&self, other: &Self) -> Self {
        // The differences of carried elements are below 2^54, the sums below 2^53 - 76.
        let a = self.y.sub(&self.x).mul(&other.y.sub(&other.x));
        let b = self.y.add(&self.x).mul(&other.y.add(&other.x));
        let c = self.t.mul(&TWICE_D).mul(&other.t);
        let zz = self.z.mul(&other.z);
        let d = zz.add(&zz);
        Self::from_factors(&b.sub(&a), &d.sub(&c), &d.add(&c), &b.add(&a))
    }

    /// From X = e f, Y = g h, Z = f g, T = e h; limbs below 2^54.
    pub fn from_factors(e: &Element, f: &Element, g: &Element, h: &Element) -> Self {
        Self { x: e.mul(f), y: g.mul(h), z: f.mul(g), t: e.mul(h) }
    }

    /// The 32 bytes of RFC 8032 (5.1.2), from 1 / Z.
    pub fn compressed(&self, z_inverse: &Element) -> [u8; 32] {
        let mut bytes = self.y.mul(z_inverse).to_bytes();
        let mut x = self.x.mul(z_inverse).to_bytes();
        bytes[31] |= x[0] << 7;
        x.zeroize();
        bytes
    }

    /// Numerator and denominator of the u-coordinate (1 + y) / (1 - y) on the Montgomery curve.
    pub fn u_fraction(&self) -> (Element, Element) {
        (self.z.add(&self.y), self.z.sub(&self.y))
    }
}

/// 2 d x y for the affine (x, y).
pub fn twice_dxy(x: &Element, y: &Element) -> Element {
    x.mul(y).mul(&TWICE_D)
}

/// Replace each element by its inverse; none may be 0. One inversion and three multiplications an
/// element. `prefixes` is room for as many elements, and the caller wipes it.
pub fn invert_all(elements: &mut [Element], prefixes: &mut [Element]) {
    let mut product = Element::ONE;
    for (element, prefix) in elements.iter().zip(prefixes.iter_mut()) {
        *prefix = product;
        product = product.mul(element);
    }
    let mut inverse = inverse(&product);
    for (element, prefix) in elements.iter_mut().zip(prefixes.iter()).rev() {
        let one = inverse.mul(prefix);
        inverse = inverse.mul(element);
        *element = one;
    }
    product.zeroize();
    inverse.zeroize();
}

impl Zeroize for Point {
    fn zeroize(&mut self) {
        self.x.zeroize();
        self.y.zeroize();
        self.z.zeroize();
        self.t.zeroize();
    }
}
