use super::{Lanes, ShortGcm};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use core::mem::MaybeUninit;

/// Reproducible bytes without a pattern (splitmix64).
struct Noise(u64);

impl Noise {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.word() as u8).collect()
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.word() as u8)
    }
}

#[expect(clippy::vec_box, reason = "keys are only made boxed")]
fn each_lanes(key: &[u8; 32]) -> Vec<Box<ShortGcm>> {
    [Lanes::Narrow, Lanes::Wide].into_iter().filter_map(|lanes| ShortGcm::with_lanes(key, lanes)).collect()
}

fn seal(sealer: &ShortGcm, nonce: &[u8; 12], aad: [&[u8]; 2], text: &[u8]) -> (Vec<u8>, [u8; 16]) {
    let mut out = vec![MaybeUninit::new(0xa5); text.len()];
    let tag = sealer.seal(nonce, aad, text, &mut out);
    (written(&out), tag)
}

/// The verdict and the output, which starts as 0xa5 everywhere.
fn open(
    sealer: &ShortGcm,
    nonce: &[u8; 12],
    aad: [&[u8]; 2],
    text: &[u8],
    tag: &[u8; 16],
) -> (bool, Vec<u8>) {
    let mut out = vec![MaybeUninit::new(0xa5); text.len()];
    let right = sealer.open(nonce, aad, text, tag, &mut out);
    (right, written(&out))
}

fn written(out: &[MaybeUninit<u8>]) -> Vec<u8> {
    // SAFETY: both callers start with bytes that have values.
    out.iter().map(|byte| unsafe { byte.assume_init() }).collect()
}

fn reference(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &[u8]) -> (Vec<u8>, [u8; 16]) {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let mut out = text.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut out).unwrap();
    (out, tag.as_ref().try_into().unwrap())
}

/// Seals and opens on each kind of lanes and compares with the reference. `shift` moves all buffers off
/// alignment.
fn compare(noise: &mut Noise, text_len: usize, aad_len: [usize; 2], shift: usize) {
    let (key, nonce) = (noise.array(), noise.array());
    let (text, aad) = (noise.bytes(text_len + shift), noise.bytes(shift + aad_len[0] + aad_len[1]));
    let (text, aad) = (&text[shift..], &aad[shift..]);
    let expected = reference(&key, &nonce, aad, text);
    let (head, tail) = aad.split_at(aad_len[0]);
    for sealer in each_lanes(&key) {
        let case = format!("{:?}, text {text_len}, aad {aad_len:?}", sealer.lanes);
        let sealed = seal(&sealer, &nonce, [head, tail], text);
        assert!(sealed == expected, "{case}");
        let opened = open(&sealer, &nonce, [head, tail], &sealed.0, &sealed.1);
        assert!(opened == (true, text.to_vec()), "{case}");
    }
}

#[test]
fn every_short_text_with_every_seam() {
    let parts = [0, 1, 7, 13, 15, 16, 17, 31, 48, 63, 64, 65];
    let noise = &mut Noise(1);
    for text_len in 0..=600 {
        for head in parts {
            for tail in parts {
                compare(noise, text_len, [head, tail], text_len % 3);
            }
        }
    }
}

#[test]
fn long_texts_and_long_aad() {
    let noise = &mut Noise(2);
    for text_len in (600..9000).step_by(61).chain([1023, 1024, 1025, 2048, 4096, 4097, 16384, 65536 + 5]) {
        for aad_len in [[0, 0], [48, 0], [48, 7], [200, 133], [1, 1024], [127, 1], [129, 0]] {
            compare(noise, text_len, aad_len, 1);
        }
    }
    for head in 0..300 {
        compare(noise, 64, [head, 299 - head], 0);
        compare(noise, 33, [head, 5], 0);
    }
}

#[test]
fn one_changed_bit_is_refused_and_nothing_is_written() {
    let noise = &mut Noise(3);
    for text_len in [0, 1, 15, 16, 64, 65, 112, 127, 128, 129, 256, 300, 1024] {
        let (key, nonce, aad, text) = (noise.array(), noise.array(), noise.bytes(55), noise.bytes(text_len));
        for sealer in each_lanes(&key) {
            let (sealed, tag) = seal(&sealer, &nonce, [&aad[..48], &aad[48..]], &text);
            let refused = |nonce: &[u8; 12], aad: &[u8], sealed: &[u8], tag: &[u8; 16]| {
                let opened = open(&sealer, nonce, [&aad[..48], &aad[48..]], sealed, tag);
                assert!(opened == (false, vec![0xa5; text_len]), "{:?}, text {text_len}", sealer.lanes);
            };
            let flip = |bytes: &[u8], bit: usize| {
                let mut bytes = bytes.to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            };
            (0..8 * 16).for_each(|bit| refused(&nonce, &aad, &sealed, &flip(&tag, bit).try_into().unwrap()));
            (0..8 * 12).for_each(|bit| refused(&flip(&nonce, bit).try_into().unwrap(), &aad, &sealed, &tag));
            (0..8 * aad.len()).for_each(|bit| refused(&nonce, &flip(&aad, bit), &sealed, &tag));
            (0..8 * text_len).for_each(|bit| refused(&nonce, &aad, &flip(&sealed, bit), &tag));
        }
    }
}

/// McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", Appendix B, test cases 13 to 16.
#[test]
fn published_cases() {
    let key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
    let nonce = "cafebabefacedbaddecaf888";
    let text = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
    let sealed = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                  8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad";
    let aad = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
    let (zero_key, zero_nonce) = ("00".repeat(32), "00".repeat(12));
    let cases = [
        (&*zero_key, &*zero_nonce, "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
        (
            &zero_key,
            &zero_nonce,
            "",
            "00000000000000000000000000000000",
            "cea7403d4d606b6e074ec5d3baf39d18",
            "d0d1c8a799996bf0265b98b5d48ab919",
        ),
        (key, nonce, "", text, sealed, "b094dac5d93471bdec1a502270e3cc6c"),
        (key, nonce, aad, &text[..120], &sealed[..120], "76fc6ece0f4e1768cddf8853bb2d551b"),
    ];
    let mut executed_count = 0;
    for (key, nonce, aad, text, sealed, tag) in cases {
        let nonce = hex(nonce).try_into().unwrap();
        let expected = (hex(sealed), hex(tag).try_into().unwrap());
        for sealer in each_lanes(&hex(key).try_into().unwrap()) {
            assert_eq!(seal(&sealer, &nonce, [&hex(aad), &[]], &hex(text)), expected);
            assert_eq!(open(&sealer, &nonce, [&[], &hex(aad)], &expected.0, &expected.1), (true, hex(text)));
            executed_count += 1;
        }
    }
    assert_eq!(executed_count, 4 * each_lanes(&[0; 32]).len());
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn size_is_as_documented() {
    assert_eq!(size_of::<ShortGcm>(), 384);
}

#[test]
#[should_panic(expected = "output length")]
fn lengths_that_differ_panic() {
    let sealer = ShortGcm::new(&[0; 32]).expect("AES-NI");
    let _ = sealer.seal(&[0; 12], [&[], &[]], &[0; 5], &mut [MaybeUninit::uninit(); 4]);
}
