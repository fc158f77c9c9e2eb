//! One element of the field of 2^255 - 19, in ordinary registers.
//!
//! For what happens once: reading and writing the 32-byte form, the additions at the end of a
//! fixed-base multiplication, the tables. Five limbs `u64` of weight 2^(51 k).
//!
//! # Bounds
//!
//! * *carried*: limbs below 2^51 + 2^18, what [`Element::carried`] gives for any limbs; and, less,
//!   what `mul` and `square` give.
//! * `mul` and `square` take limbs below 2^54. A column is at most 77 products below 2^108, so below
//!   2^114.3; what it carries is below 2^63.4 and fits a `u64`. Column 4 has no factor 19: it is below
//!   2^110.4, and what it carries, below 2^59.5, is below 2^64 when multiplied by 19. The last carry
//!   leaves limb 1 below 2^51 + 2^13 and the others below 2^51.
//! * `sub` gives `a + 4 p - b`, for `b` below 2^53 - 76; of carried elements, or a sum of two less a
//!   carried one, the result is below 2^54 and may be multiplied. Comments name the other cases.
//!
//! # Timing
//!
//! 64-bit multiplications, additions and shifts by constants, all of fixed latency.

use zeroize::Zeroize;

const LOW_51: u64 = (1 << 51) - 1;

/// An element; the invariants on limbs are in the text above.
#[derive(Clone, Copy)]
pub struct Element(pub [u64; 5]);

impl Element {
    pub const ONE: Self = Self([1, 0, 0, 0, 0]);

    /// The element of a 255-bit little-endian number; bit 255 is ignored, values from p on wrap.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut words = [0u64; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        Self::from_words(words)
    }

    /// The element of a 255-bit number in words, lowest first; bit 255 is ignored.
    #[inline]
    pub fn from_words([w0, w1, w2, w3]: [u64; 4]) -> Self {
        Self([
            w0 & LOW_51,
            (w0 >> 51 | w1 << 13) & LOW_51,
            (w1 >> 38 | w2 << 26) & LOW_51,
            (w2 >> 25 | w3 << 39) & LOW_51,
            w3 >> 12 & LOW_51,
        ])
    }

    /// The 32-byte little-endian form, fully reduced.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.to_words()) {
            *chunk = word.to_le_bytes();
        }
        bytes
    }

    /// The fully reduced number in words, lowest first.
    pub fn to_words(self) -> [u64; 4] {
        let l = self.carried().carried().0;
        // Limbs are now at most 2^51 + 18 and the number is below 2 p: its quotient by p is 0 or 1, the
        // carry out of bit 255 of the number plus 19.
        let mut quotient = 19;
        for limb in l {
            quotient = (limb + quotient) >> 51;
        }
        let mut carry = 19 * quotient;
        let r = l.map(|limb| {
            let sum = limb + carry;
            carry = sum >> 51;
            sum & LOW_51
        });
        [r[0] | r[1] << 51, r[1] >> 13 | r[2] << 38, r[2] >> 26 | r[3] << 25, r[3] >> 39 | r[4] << 12]
    }

    /// Whether both, reduced, are the same. Variable time.
    pub fn equals(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }

    /// The same value with each limb's excess moved up: limbs below 2^51 + 2^18 from any.
    pub fn carried(self) -> Self {
        let l = self.0;
        Self([
            (l[0] & LOW_51) + 19 * (l[4] >> 51),
            (l[1] & LOW_51) + (l[0] >> 51),
            (l[2] & LOW_51) + (l[1] >> 51),
            (l[3] & LOW_51) + (l[2] >> 51),
            (l[4] & LOW_51) + (l[3] >> 51),
        ])
    }

    #[inline]
    pub fn add(&self, other: &Self) -> Self {
        Self(core::array::from_fn(|k| self.0[k] + other.0[k]))
    }

    /// `self + 4 p - other`.
    #[inline]
    pub fn sub(&self, other: &Self) -> Self {
        const FOUR_P: [u64; 5] = [(LOW_51 - 18) << 2, LOW_51 << 2, LOW_51 << 2, LOW_51 << 2, LOW_51 << 2];
        Self(core::array::from_fn(|k| self.0[k] + FOUR_P[k] - other.0[k]))
    }

    #[inline]
    pub fn mul(&self, other: &Self) -> Self {
        let (a, b) = (&self.0, &other.0);
        let b19: [u64; 5] = b.map(|limb| 19 * limb);
        let m = |i: usize, limb: u64| u128::from(a[i]) * u128::from(limb);
        Self::reduced([
            m(0, b[0]) + m(1, b19[4]) + m(2, b19[3]) + m(3, b19[2]) + m(4, b19[1]),
            m(0, b[1]) + m(1, b[0]) + m(2, b19[4]) + m(3, b19[3]) + m(4, b19[2]),
            m(0, b[2]) + m(1, b[1]) + m(2, b[0]) + m(3, b19[4]) + m(4, b19[3]),
            m(0, b[3]) + m(1, b[2]) + m(2, b[1]) + m(3, b[0]) + m(4, b19[4]),
            m(0, b[4]) + m(1, b[3]) + m(2, b[2]) + m(3, b[1]) + m(4, b[0]),
        ])
    }

    #[inline]
    pub fn square(&self) -> Self {
        let a = &self.0;
        let (d0, d1) = (2 * a[0], 2 * a[1]);
        let (t3, t4) = (19 * a[3], 19 * a[4]);
        let m = |x: u64, y: u64| u128::from(x) * u128::from(y);
        Self::reduced([
            m(a[0], a[0]) + m(d1, t4) + m(2 * a[2], t3),
            m(a[3], t3) + m(d0, a[1]) + m(2 * a[2], t4),
            m(a[1], a[1]) + m(d0, a[2]) + m(2 * a[3], t4),
            m(a[4], t4) + m(d0, a[3]) + m(d1, a[2]),
            m(a[2], a[2]) + m(d0, a[4]) + m(d1, a[3]),
        ])
    }

    #[inline]
    fn reduced(mut column: [u128; 5]) -> Self {
        let mut limbs = [0; 5];
        for k in 0..5 {
            limbs[k] = column[k] as u64 & LOW_51;
            let over = (column[k] >> 51) as u64;
            if k < 4 {
                column[k + 1] += u128::from(over);
            } else {
                limbs[0] += 19 * over;
            }
        }
        limbs[1] += limbs[0] >> 51;
        limbs[0] &= LOW_51;
        Self(limbs)
    }
}

impl Zeroize for Element {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}
