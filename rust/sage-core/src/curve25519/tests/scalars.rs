//! What multiples of the base point are tested with.

use curve25519_dalek::{EdwardsPoint, Scalar};

/// [s]B, encoded, by curve25519-dalek.
pub fn base_multiple(scalar: &[u8; 32]) -> [u8; 32] {
    EdwardsPoint::mul_base(&Scalar::from_bytes_mod_order(*scalar)).compress().to_bytes()
}

const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Scalars whose digits, or whose distance from the order, are out of the ordinary.
pub fn edge_scalars() -> Vec<[u8; 32]> {
    let mut scalars = vec![[0; 32], [0xff; 32], [0x88; 32], [0x77; 32], [0x80; 32], [0x08; 32]];
    for value in 0..=255 {
        let mut small = [0; 32];
        small[0] = value;
        scalars.push(small);
        let mut near_order = ORDER;
        near_order[0] = value;
        scalars.push(near_order);
        for top in [0x7f, 0x80, 0x8f, 0x90, 0xff, 0xef, 0xf0] {
            let mut large = [0xff; 32];
            large[0] = value;
            large[31] = top;
            scalars.push(large);
            let mut hollow = [0; 32];
            hollow[0] = value;
            hollow[31] = top;
            scalars.push(hollow);
        }
    }
    for bit in 0..256 {
        let mut power = [0; 32];
        power[bit / 8] = 1 << (bit % 8);
        scalars.push(power);
    }
    scalars
}
