//! Non-adjacent forms: few digits for a public scalar, in variable time.
//!
//! For a width w every number has exactly one form sum d_i 2^i with each d_i zero or odd, |d_i| <
//! 2^(w - 1), and among any w neighbours at most one not zero; on average one in w + 1 is not.

/// A 256-bit number has no digit from here on.
pub const DIGIT_COUNT: usize = 257;

/// The digits of a little-endian number, lowest first, for a width of at most 8.
pub fn digits<const WIDTH: u32>(scalar: &[u8; 32]) -> [i8; DIGIT_COUNT] {
    const { assert!(WIDTH >= 2 && WIDTH <= 8) };
    // One word more than the scalar, so that bits can be read from any position as pairs of words.
    let mut words = [0u64; 6];
    for (word, chunk) in words.iter_mut().zip(scalar.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    let bits_from = |position: usize| {
        let pair = u128::from(words[position / 64]) | u128::from(words[position / 64 + 1]) << 64;
        (pair >> (position % 64)) as u64
    };
    let mut digits = [0; DIGIT_COUNT];
    let mut carry = 0;
    let mut position = 0;
    while position < DIGIT_COUNT {
        // What is left, bits + carry, is even as long as the lowest bit equals the carry, and passing such
        // a bit keeps the carry.
        let passed = (bits_from(position) ^ 0u64.wrapping_sub(carry)).trailing_zeros();
        position += passed as usize;
        if passed == 64 || position >= DIGIT_COUNT {
            continue;
        }
        let window = (bits_from(position) & ((1 << WIDTH) - 1)) + carry;
        carry = window >> (WIDTH - 1);
        digits[position] = (window as i64 - ((carry as i64) << WIDTH)) as i8;
        position += WIDTH as usize;
    }
    digits
}
