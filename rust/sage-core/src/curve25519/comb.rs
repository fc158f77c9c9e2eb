//! Multiples of a point that is known beforehand: a table once, then hardly any doublings.
//!
//! All of this is on public data and variable time.
//!
//! # Digits
//!
//! An odd number n < 2^256 is a sum of d_i 2^i, i = 0..256, with every d_i either 1 or -1: with
//! d_i = 2 b_i - 1 it is 2 b - (2^256 - 1), so the b_i are the bits of b = (n + 2^256 - 1) / 2 = (n >> 1) + 2^255. For an
//! even number the digits are those of n + 1, and the point is taken away once at the end. Numbers are
//! never reduced: with a small-order component in the point that would give another multiple.
//!
//! # Comb
//!
//! Bit i = c + 16 r is column c of row r. With P_r = 2^(16 r) P, the multiple is the sum over the 16 columns
//! of 2^c (d_c P_0 + d_(c + 16) P_1 + ... + d_(c + 240) P_15): 15 doublings. A table holds the sums for eight
//! rows, of both signs at once, since an entry and its negative differ by a sign only: 128 entries with +P_7 in
//! them. Two tables make 256 entries of 96 bytes, 24 KiB, and a multiple takes 32 additions.
//!
//! # Layout
//!
//! An entry is y + x, y - x and 2 d x y, fully reduced, four words each, *word by word*: so 32 bytes read at
//! once are one word of all three, one to a lane, as the vector kernels want them.
//!
//! # Why no case is exceptional
//!
//! The formulas of Hisil, Wong, Carter and Dawson for a = -1 are complete, because -1 is a square and d is not:
//! they hold for all points of the curve, whatever their order, equal, opposite or neutral.
//!
//! # Bounds
//!
//! As in [`super::point`]: products are carried, differences of carried elements below 2^54.

use std::sync::OnceLock;

use super::decompress::Affine;
use super::element::Element;
use super::point::{Point, invert_all, twice_dxy};

/// Columns, and so one more than the doublings of a multiple.
pub const COLUMN_COUNT: usize = 16;
/// Rows that share a table.
const TOOTH_COUNT: usize = 8;
/// Tables that share the rows.
pub const HALF_COUNT: usize = 2;
const ENTRY_COUNT: usize = 1 << (TOOTH_COUNT - 1);

const ZERO: Element = Element([0; 5]);

/// Words of y + x, y - x and 2 d x y, the lowest of the three first.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub struct Entry(pub [[u64; 3]; 4]);

/// The tables of one point.
pub struct Comb {
    halves: [[Entry; ENTRY_COUNT]; HALF_COUNT],
    point: Entry,
}

/// For each half and column, which entry, and whether its negative.
#[derive(Clone)]
pub struct Digits {
    bytes: [[u8; COLUMN_COUNT]; HALF_COUNT],
    /// The number was even: take the point away once.
    pub is_one_too_many: bool,
}

impl Digits {
    /// The digits of any 256-bit little-endian number.
    pub fn new(number: &[u8; 32]) -> Self {
        let mut words = [0u64; 4];
        for (word, chunk) in words.iter_mut().zip(number.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        let is_one_too_many = words[0] & 1 == 0;
        let b: [u64; 4] = core::array::from_fn(|k| words[k] >> 1 | words.get(k + 1).unwrap_or(&1) << 63);
        let bytes = [0, 1].map(|half| {
            let mut columns = [0; COLUMN_COUNT];
            for (at, chunk) in columns.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let byte_of_rows =
                    even_bytes(b[2 * half] >> (8 * at)) | even_bytes(b[2 * half + 1] >> (8 * at)) << 32;
                *chunk = transposed(byte_of_rows).to_le_bytes();
            }
            columns
        });
        Self { bytes, is_one_too_many }
    }
}

/// Bytes 0, 2, 4 and 6, together.
fn even_bytes(word: u64) -> u64 {
    let word = word & 0x00ff_00ff_00ff_00ff;
    let word = (word | word >> 8) & 0x0000_ffff_0000_ffff;
    (word | word >> 16) & 0xffff_ffff
}

/// Bit m of byte n becomes bit n of byte m.
fn transposed(mut word: u64) -> u64 {
    for (distance, mask) in
        [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)]
    {
        let changed = (word ^ word >> distance) & mask;
        word ^= changed ^ changed << distance;
    }
    word
}

impl Comb {
    /// The tables of minus an affine point, with one shared inversion.
    pub fn of_negative(point: &Affine) -> Box<Self> {
        let x = ZERO.sub(&point.x).carried();
        Self::new(Point { x, y: point.y, z: Element::ONE, t: x.mul(&point.y) })
    }

    /// The tables of the base point, built at first use.
    pub fn of_base() -> &'static Self {
        static BASE: OnceLock<Box<Comb>> = OnceLock::new();
        BASE.get_or_init(|| Self::new(Point::BASE))
    }

    fn new(point: Point) -> Box<Self> {
        let entries = affine(&multiples(point));
        let half = |n: usize| core::array::from_fn(|entry| entries[n * ENTRY_COUNT + entry]);
        Box::new(Self { halves: [half(0), half(1)], point: entries[HALF_COUNT * ENTRY_COUNT] })
    }

    /// The entry of a half for a column, and whether its negative is meant.
    #[inline]
    pub fn entry(&self, digits: &Digits, half: usize, column: usize) -> (&Entry, bool) {
        let byte = digits.bytes[half][column];
        let is_negative = byte >> (TOOTH_COUNT - 1) == 0;
        let index = if is_negative { !byte } else { byte } & (ENTRY_COUNT - 1) as u8;
        (&self.halves[half][usize::from(index)], is_negative)
    }

    /// The point itself.
    pub fn point(&self) -> &Entry {
        &self.point
    }
}

/// All entries of both halves, and the point itself.
fn multiples(point: Point) -> Vec<Point> {
    let mut points = Vec::with_capacity(HALF_COUNT * ENTRY_COUNT + 1);
    let mut row = point;
    for _ in 0..HALF_COUNT {
        let mut all_negative = Point::NEUTRAL;
        let mut twice = [Point::NEUTRAL; TOOTH_COUNT - 1];
        for twice in &mut twice {
            all_negative = all_negative.add(&row.negated());
            *twice = row.double();
            row = doubled(*twice, COLUMN_COUNT - 1);
        }
        let first = points.len();
        points.push(row.add(&all_negative));
        for (tooth, twice) in twice.iter().enumerate() {
            for n in 0..1 << tooth {
                points.push(points[first + n].add(twice));
            }
        }
        row = doubled(row, COLUMN_COUNT);
    }
    points.push(point);
    points
}

fn doubled(point: Point, count: usize) -> Point {
    (0..count).fold(point, |point, _| point.double())
}

fn affine(points: &[Point]) -> Vec<Entry> {
    let mut inverses: Vec<Element> = points.iter().map(|point| point.z).collect();
    invert_all(&mut inverses, &mut vec![ZERO; points.len()]);
    let entry = |(point, inverse): (&Point, &Element)| {
        let (x, y) = (point.x.mul(inverse), point.y.mul(inverse));
        let words = [y.add(&x), y.sub(&x), twice_dxy(&x, &y)].map(Element::to_words);
        Entry(core::array::from_fn(|k| words.map(|words| words[k])))
    };
    points.iter().zip(&inverses).map(entry).collect()
}

impl Entry {
    /// y + x, y - x and 2 d x y.
    fn elements(&self) -> [Element; 3] {
        [0, 1, 2].map(|n| Element::from_words(self.0.map(|word| word[n])))
    }
}

/// A point by X = e f, Y = g h, Z = f g, T = e h, of which a doubling does not need T.
struct Factors {
    e: Element,
    f: Element,
    g: Element,
    h: Element,
}

impl Factors {
    const NEUTRAL: Self = Self { e: ZERO, f: Element::ONE, g: Element::ONE, h: Element::ONE };

    fn point(&self) -> Point {
        Point::from_factors(&self.e, &self.f, &self.g, &self.h)
    }

    fn plus(&self, entry: &Entry, is_negative: bool) -> Self {
        let Point { x, y, z, t } = self.point();
        let [mut y_plus_x, mut y_minus_x, twice_dxy] = entry.elements();
        if is_negative {
            (y_plus_x, y_minus_x) = (y_minus_x, y_plus_x);
        }
        let a = y.sub(&x).mul(&y_minus_x);
        let b = y.add(&x).mul(&y_plus_x);
        let c = t.mul(&twice_dxy);
        let d = z.add(&z);
        let (mut f, mut g) = (d.sub(&c), d.add(&c));
        if is_negative {
            (f, g) = (g, f);
        }
        Self { e: b.sub(&a), f, g, h: b.add(&a) }
    }

    fn doubled(&self) -> Self {
        let (x, y, z) = (self.e.mul(&self.f), self.g.mul(&self.h), self.f.mul(&self.g));
        let (xx, yy, zz) = (x.square(), y.square(), z.square());
        let h = yy.add(&xx);
        let e = x.add(&y).square().sub(&h);
        let g = yy.sub(&xx).carried();
        let f = zz.add(&zz).sub(&g);
        Self { e, f, g, h }
    }
}

/// The sum of multiples of two points.
pub fn combination(terms: &[(&Comb, Digits); 2]) -> Point {
    let mut sum = Factors::NEUTRAL;
    for column in (0..COLUMN_COUNT).rev() {
        if column < COLUMN_COUNT - 1 {
            sum = sum.doubled();
        }
        for (comb, digits) in terms {
            for half in 0..HALF_COUNT {
                let (entry, is_negative) = comb.entry(digits, half, column);
                sum = sum.plus(entry, is_negative);
            }
        }
    }
    for (comb, digits) in terms {
        if digits.is_one_too_many {
            sum = sum.plus(comb.point(), true);
        }
    }
    sum.point()
}
