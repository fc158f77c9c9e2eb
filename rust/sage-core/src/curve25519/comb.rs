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
//! Bit i = c + n r is column c of row r, of n columns. With P_r = 2^(n r) P, the multiple is the sum over the
//! columns of 2^c (d_c P_0 + d_(c + n) P_1 + ...): n - 1 doublings. A table holds the sums for some neighbouring
//! rows, its *teeth*, of both signs at once, since an entry and its negative differ by a sign only: 2^(t - 1)
//! entries for t teeth, with the last row's point positive in them.
//!
//! * Of a key: 16 columns and 16 rows, two tables of 8 teeth: 256 entries of 96 bytes, 24 KiB, and 32 additions.
//! * Of the base point, once: likewise, or 8 columns and 32 rows, tables of 11, 11 and 10 teeth: 240 KiB, and 24 additions.
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

/// Columns, and tables in use for one, at the most.
pub const MAX_COLUMN_COUNT: usize = 16;
const MAX_TABLE_COUNT: usize = 3;
/// Tables of a key, each for all columns.
pub const KEY_TABLE_COUNT: usize = 2;

/// How numbers are cut into columns, and columns into tables.
#[derive(Debug)]
pub struct Shape {
    column_count: usize,
    teeth: &'static [u32],
}

const KEY: Shape = Shape { column_count: 16, teeth: &[8, 8] };
const BASE: Shape = Shape { column_count: 8, teeth: &[11, 11, 10] };

impl Shape {
    const fn entry_count(&self) -> usize {
        let (mut count, mut table) = (0, 0);
        while table < self.teeth.len() {
            count += 1 << (self.teeth[table] - 1);
            table += 1;
        }
        count
    }
}

const ZERO: Element = Element([0; 5]);

/// Words of y + x, y - x and 2 d x y, the lowest of the three first.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub struct Entry(pub [[u64; 3]; 4]);

/// The tables of one point.
pub struct Comb {
    shape: &'static Shape,
    /// All tables, one after the other.
    entries: Box<[Entry]>,
    point: Entry,
}

/// For each column and table, which entry to add.
#[derive(Clone)]
pub struct Digits {
    /// The entry's place among all entries, or the complement of that for its negative.
    places: [[i16; MAX_TABLE_COUNT]; MAX_COLUMN_COUNT],
    /// The number was even: take the point away once.
    pub is_one_too_many: bool,
}

impl Digits {
    /// The digits of any 256-bit little-endian number, for a comb of this shape.
    fn new(number: &[u8; 32], shape: &Shape) -> Self {
        let mut words = [0u64; 4];
        for (word, chunk) in words.iter_mut().zip(number.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        let is_one_too_many = words[0] & 1 == 0;
        let b: [u64; 4] = core::array::from_fn(|k| words[k] >> 1 | words.get(k + 1).unwrap_or(&1) << 63);
        let places = match shape.column_count {
            8 => places(&eight_columns(&b), [11, 11, 10]),
            _ => places(&sixteen_columns(&b), [8, 8]),
        };
        Self { places, is_one_too_many }
    }
}

/// The entries' places for columns that are cut into tables of so many teeth.
#[inline(always)]
fn places<const TABLE_COUNT: usize>(
    columns: &[u32; MAX_COLUMN_COUNT],
    teeth: [u32; TABLE_COUNT],
) -> [[i16; MAX_TABLE_COUNT]; MAX_COLUMN_COUNT] {
    columns.map(|mut column| {
        let mut places = [0; MAX_TABLE_COUNT];
        let mut first = 0;
        for (place, teeth) in places.iter_mut().zip(teeth) {
            let entry_count = 1 << (teeth - 1);
            // All ones where the last row is negative: then the complement says which entry.
            let negative = (column >> (teeth - 1) & 1).wrapping_sub(1);
            let index = first + ((column ^ negative) & (entry_count - 1));
            *place = (index ^ negative) as i16;
            column >>= teeth;
            first += entry_count;
        }
        places
    })
}

/// Column c of rows of 8 bits: bits c, c + 8, ..
fn eight_columns(words: &[u64; 4]) -> [u32; MAX_COLUMN_COUNT] {
    let mut columns = [0; MAX_COLUMN_COUNT];
    for (n, word) in words.iter().enumerate() {
        for (column, byte) in columns.iter_mut().zip(transposed(*word).to_le_bytes()) {
            *column |= u32::from(byte) << (8 * n);
        }
    }
    columns
}

/// Column c of rows of 16 bits: bits c, c + 16, ..
fn sixteen_columns(words: &[u64; 4]) -> [u32; MAX_COLUMN_COUNT] {
    let mut columns = [0; MAX_COLUMN_COUNT];
    for (n, pair) in words.as_chunks::<2>().0.iter().enumerate() {
        for (at, eight) in columns.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let [low, high] = pair.map(|word| even_bytes(word >> (8 * at)));
            for (column, byte) in eight.iter_mut().zip(transposed(low | high << 32).to_le_bytes()) {
                *column |= u32::from(byte) << (8 * n);
            }
        }
    }
    columns
}

/// Bytes 0, 2, 4 and 6, together.
fn even_bytes(word: u64) -> u64 {
    let word = word & 0x00ff_00ff_00ff_00ff;
    let word = (word | word >> 8) & 0x0000_ffff_0000_ffff;
    (word | word >> 16) & 0xffff_ffff
}

/// Bit m of byte n becomes bit n of byte m.
pub fn transposed(mut word: u64) -> u64 {
    for (distance, mask) in
        [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)]
    {
        let changed = (word ^ word >> distance) & mask;
        word ^= changed ^ changed << distance;
    }
    word
}

impl Comb {
    /// Bytes of a comb that [`Comb::of_negative`] makes.
    pub const KEY_LEN: usize = size_of::<Self>() + size_of::<Entry>() * KEY.entry_count();

    /// The tables of minus an affine point, with one shared inversion.
    pub fn of_negative(point: &Affine) -> Self {
        let x = ZERO.sub(&point.x).carried();
        Self::new(Point { x, y: point.y, z: Element::ONE, t: x.mul(&point.y) }, &KEY)
    }

    /// The large tables of the base point, built at first use: fewer additions.
    pub fn of_base() -> &'static Self {
        static COMB: OnceLock<Comb> = OnceLock::new();
        COMB.get_or_init(|| Self::new(Point::BASE, &BASE))
    }

    /// Tables of the base point in the shape of a key's, built at first use: they stay in the nearest cache,
    /// which suits kernels for which an addition is cheap.
    pub fn of_base_small() -> &'static Self {
        static COMB: OnceLock<Comb> = OnceLock::new();
        COMB.get_or_init(|| Self::new(Point::BASE, &KEY))
    }

    fn new(point: Point, shape: &'static Shape) -> Self {
        let mut entries = affine(&multiples(point, shape));
        let point = entries.pop().expect("the point itself comes last");
        Self { shape, entries: entries.into_boxed_slice(), point }
    }

    /// The digits of any 256-bit little-endian number.
    pub fn digits(&self, number: &[u8; 32]) -> Digits {
        Digits::new(number, self.shape)
    }

    /// How many entries a column takes: none from the last of this comb's columns on.
    #[inline]
    pub fn table_count(&self, column: usize) -> usize {
        if column < self.shape.column_count { self.shape.teeth.len() } else { 0 }
    }

    /// The entry of a table for a column, and whether its negative is meant.
    #[inline]
    pub fn entry(&self, digits: &Digits, table: usize, column: usize) -> (&Entry, bool) {
        let place = digits.places[column][table];
        let is_negative = place < 0;
        let index = if is_negative { !place } else { place };
        (&self.entries[usize::from(index.cast_unsigned())], is_negative)
    }

    /// The point itself.
    pub fn point(&self) -> &Entry {
        &self.point
    }
}

/// All entries of all tables, and the point itself.
fn multiples(point: Point, shape: &Shape) -> Vec<Point> {
    let mut points = Vec::with_capacity(shape.entry_count() + 1);
    let mut row = point;
    for teeth in shape.teeth {
        let mut all_negative = Point::NEUTRAL;
        let mut twices = Vec::new();
        for _ in 1..*teeth {
            all_negative = all_negative.add(&row.negated());
            let twice = row.double();
            twices.push(twice);
            row = doubled(twice, shape.column_count - 1);
        }
        let first = points.len();
        points.push(row.add(&all_negative));
        for (tooth, twice) in twices.iter().enumerate() {
            for n in 0..1 << tooth {
                points.push(points[first + n].add(twice));
            }
        }
        row = doubled(row, shape.column_count);
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
    let mut sum: Option<Factors> = None;
    for column in (0..MAX_COLUMN_COUNT).rev() {
        sum = sum.map(|sum| sum.doubled());
        for (comb, digits) in terms {
            for table in 0..comb.table_count(column) {
                let (entry, is_negative) = comb.entry(digits, table, column);
                sum = Some(sum.unwrap_or(Factors::NEUTRAL).plus(entry, is_negative));
            }
        }
    }
    let mut sum = sum.unwrap_or(Factors::NEUTRAL);
    for (comb, digits) in terms {
        if digits.is_one_too_many {
            sum = sum.plus(comb.point(), true);
        }
    }
    sum.point()
}
