//! Shares of X25519 that deserve a test, and what RFC 7748 says of some.

use crate::aws_lc;

/// Of [`edge_shares`]: 0, 1, p - 1, p, p + 1 and two points of order 8, each with both top bits.
pub const LOW_ORDER_SHARE_COUNT: usize = 14;

/// Where the iterations of RFC 7748, 5.2, begin: 9.
pub const RFC_7748_START: [u8; 32] = {
    let mut nine = [0; 32];
    nine[0] = 9;
    nine
};

/// By AWS-LC.
pub fn aws(scalar: &[u8; 32], u: &[u8; 32]) -> [u8; 32] {
    let mut out = [0; 32];
    // False for small orders, whose result is zero all the same.
    let _contributory = aws_lc::x25519(scalar, u, &mut out);
    out
}

/// The bytes of 64 digits.
pub fn hex(text: &str) -> [u8; 32] {
    core::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

/// Scalar, share and outcome (RFC 7748, 5.2).
pub fn rfc_7748() -> [([u8; 32], [u8; 32], [u8; 32]); 2] {
    [
        [
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ],
        [
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ],
    ]
    .map(|[scalar, share, outcome]| (hex(scalar), hex(share), hex(outcome)))
}

/// After one iteration.
pub fn rfc_7748_once() -> [u8; 32] {
    hex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
}

/// After a thousand.
pub fn rfc_7748_thousand() -> [u8; 32] {
    hex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")
}

/// Small, near p, near 2^255, all low orders, each with the top bit clear and set.
pub fn edge_shares() -> Vec<[u8; 32]> {
    let low = |value: u8| {
        let mut bytes = [0; 32];
        bytes[0] = value;
        bytes
    };
    // 2^255 - 256 + value.
    let high = |value: u8| {
        let mut bytes = [0xff; 32];
        bytes[0] = value;
        bytes[31] = 0x7f;
        bytes
    };
    let mut points: Vec<_> = (0..=20).map(low).collect();
    points.extend((200..=255).map(high));
    points.push(hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"));
    points.push(hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"));
    let with_top: Vec<_> = points
        .iter()
        .map(|point| {
            let mut point = *point;
            point[31] |= 0x80;
            point
        })
        .collect();
    points.extend(with_top);
    points
}
