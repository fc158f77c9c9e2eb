//! AES-256-GCM-SIV against RFC 8452, appendix C.2 and C.3 (those with a plaintext).
//!
//! Key-encryption keys draw their own nonces and have no call in Python, so these vectors run here:
//! sealed with a random source that gives the nonce of the case, and opened.

use sage_core::kek::{KeyEncryptionKey, OVERHEAD};
use sage_core::random::{RandomError, RandomSource};

struct Case {
    key: &'static str,
    nonce: &'static str,
    aad: &'static str,
    plaintext: &'static str,
    /// `ciphertext ‖ tag`.
    sealed: &'static str,
}

impl Case {
    fn kek(&self) -> KeyEncryptionKey {
        let key = hex(self.key).try_into().expect("32 bytes");
        KeyEncryptionKey::new("id", &key).expect("a good id")
    }

    /// As the key-encryption key writes it: `nonce ‖ ciphertext ‖ tag`.
    fn sealed(&self) -> Vec<u8> {
        [hex(self.nonce), hex(self.sealed)].concat()
    }
}

/// Gives the nonce of a case.
struct Drawn(Vec<u8>);

impl RandomSource for Drawn {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

#[test]
fn every_case_seals_and_opens() {
    for case in &CASES {
        let (kek, aad, plaintext) = (case.kek(), hex(case.aad), hex(case.plaintext));
        let sealed = kek.seal(&aad, &plaintext, &mut Drawn(hex(case.nonce))).expect("a nonce");
        assert_eq!(sealed, case.sealed());
        let mut opened = vec![0xee; plaintext.len()];
        assert!(kek.open(&aad, &sealed, &mut opened));
        assert_eq!(opened, plaintext);
    }
}

#[test]
fn no_case_opens_with_one_bit_changed() {
    for case in &CASES {
        let (kek, aad, sealed) = (case.kek(), hex(case.aad), case.sealed());
        let mut opened = vec![0; sealed.len() - OVERHEAD];
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(!kek.open(&aad, &forged, &mut opened));
            assert!(opened.iter().all(|byte| *byte == 0));
        }
        assert!(!kek.open(&[aad, vec![0]].concat(), &sealed, &mut opened));
    }
}

#[test]
fn lengths_must_fit() {
    let kek = CASES[0].kek();
    let sealed = kek.seal(&[], &[], &mut Drawn(vec![0; 12])).expect("a nonce");
    assert_eq!(sealed.len(), OVERHEAD);
    assert!(kek.open(&[], &sealed, &mut []));
    assert!(!kek.open(&[], &sealed, &mut [0]));
    for len in 0..OVERHEAD {
        assert!(!kek.open(&[], &sealed[..len], &mut []));
    }
}

fn hex(text: &str) -> Vec<u8> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty());
    let digits = |pair| core::str::from_utf8(pair).expect("ASCII");
    pairs.iter().map(|pair| u8::from_str_radix(digits(pair), 16).expect("hex")).collect()
}

const CASES: [Case; 24] = [
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "",
        plaintext: "0100000000000000",
        sealed: "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28",
    },
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "",
        plaintext: "010000000000000000000000",
        sealed: "9aab2aeb3faa0a34aea8e2b18ca50da9ae6559e48fd10f6e5c9ca17e",
    },
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "",
        plaintext: "01000000000000000000000000000000",
        sealed: "85a01b63025ba19b7fd3ddfc033b3e76c9eac6fa700942702e90862383c6c366",
    },
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "",
        plaintext: "0100000000000000000000000000000002000000000000000000000000000000",
        sealed: "4a6a9db4c8c6549201b9edb53006cba821ec9cf850948a7c86c68ac7539d027fe819e63abcd020b006a976397632eb5d",
    },
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "",
        plaintext: "010000000000000000000000000000000200000000000000000000000000000003000000000000000000000000000000",
        sealed: "c00d121893a9fa603f48ccc1ca3c57ce7499245ea0046db16c53c7c66fe717e39cf6c748837b61f6ee3adcee17534ed5790bc96880a99ba804bd12c0e6a22cc4",
    },
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "",
        plaintext: "01000000000000000000000000000000020000000000000000000000000000000300000000000000000000000000000004000000000000000000000000000000",
        sealed: "c2d5160a1f8683834910acdafc41fbb1632d4a353e8b905ec9a5499ac34f96c7e1049eb080883891a4db8caaa1f99dd004d80487540735234e3744512c6f90ce112864c269fc0d9d88c61fa47e39aa08",
    },
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "01",
        plaintext: "0200000000000000",
        sealed: "1de22967237a813291213f267e3b452f02d01ae33e4ec854",
    },
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "01",
        plaintext: "020000000000000000000000",
        sealed: "163d6f9cc1b346cd453a2e4cc1a4a19ae800941ccdc57cc8413c277f",
    },
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "01",
        plaintext: "02000000000000000000000000000000",
        sealed: "c91545823cc24f17dbb0e9e807d5ec17b292d28ff61189e8e49f3875ef91aff7",
    },
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "01",
        plaintext: "0200000000000000000000000000000003000000000000000000000000000000",
        sealed: "07dad364bfc2b9da89116d7bef6daaaf6f255510aa654f920ac81b94e8bad365aea1bad12702e1965604374aab96dbbc",
    },
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "01",
        plaintext: "020000000000000000000000000000000300000000000000000000000000000004000000000000000000000000000000",
        sealed: "c67a1f0f567a5198aa1fcc8e3f21314336f7f51ca8b1af61feac35a86416fa47fbca3b5f749cdf564527f2314f42fe2503332742b228c647173616cfd44c54eb",
    },
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "01",
        plaintext: "02000000000000000000000000000000030000000000000000000000000000000400000000000000000000000000000005000000000000000000000000000000",
        sealed: "67fd45e126bfb9a79930c43aad2d36967d3f0e4d217c1e551f59727870beefc98cb933a8fce9de887b1e40799988db1fc3f91880ed405b2dd298318858467c895bde0285037c5de81e5b570a049b62a0",
    },
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "010000000000000000000000",
        plaintext: "02000000",
        sealed: "22b3f4cd1835e517741dfddccfa07fa4661b74cf",
    },
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "010000000000000000000000000000000200",
        plaintext: "0300000000000000000000000000000004000000",
        sealed: "43dd0163cdb48f9fe3212bf61b201976067f342bb879ad976d8242acc188ab59cabfe307",
    },
    Case {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "0100000000000000000000000000000002000000",
        plaintext: "030000000000000000000000000000000400",
        sealed: "462401724b5ce6588d5a54aae5375513a075cfcdf5042112aa29685c912fc2056543",
    },
    Case {
        key: "bae8e37fc83441b16034566b7a806c46bb91c3c5aedb64a6c590bc84d1a5e269",
        nonce: "e4b47801afc0577e34699b9e",
        aad: "4fbdc66f14",
        plaintext: "671fdd",
        sealed: "0eaccb93da9bb81333aee0c785b240d319719d",
    },
    Case {
        key: "6545fc880c94a95198874296d5cc1fd161320b6920ce07787f86743b275d1ab3",
        nonce: "2f6d1f0434d8848c1177441f",
        aad: "6787f3ea22c127aaf195",
        plaintext: "195495860f04",
        sealed: "a254dad4f3f96b62b84dc40c84636a5ec12020ec8c2c",
    },
    Case {
        key: "d1894728b3fed1473c528b8426a582995929a1499e9ad8780c8d63d0ab4149c0",
        nonce: "9f572c614b4745914474e7c7",
        aad: "489c8fde2be2cf97e74e932d4ed87d",
        plaintext: "c9882e5386fd9f92ec",
        sealed: "0df9e308678244c44bc0fd3dc6628dfe55ebb0b9fb2295c8c2",
    },
    Case {
        key: "a44102952ef94b02b805249bac80e6f61455bfac8308a2d40d8c845117808235",
        nonce: "5c9e940fea2f582950a70d5a",
        aad: "0da55210cc1c1b0abde3b2f204d1e9f8b06bc47f",
        plaintext: "1db2316fd568378da107b52b",
        sealed: "8dbeb9f7255bf5769dd56692404099c2587f64979f21826706d497d5",
    },
    Case {
        key: "9745b3d1ae06556fb6aa7890bebc18fe6b3db4da3d57aa94842b9803a96e07fb",
        nonce: "6de71860f762ebfbd08284e4",
        aad: "f37de21c7ff901cfe8a69615a93fdf7a98cad481796245709f",
        plaintext: "21702de0de18baa9c9596291b08466",
        sealed: "793576dfa5c0f88729a7ed3c2f1bffb3080d28f6ebb5d3648ce97bd5ba67fd",
    },
    Case {
        key: "b18853f68d833640e42a3c02c25b64869e146d7b233987bddfc240871d7576f7",
        nonce: "028ec6eb5ea7e298342a94d4",
        aad: "9c2159058b1f0fe91433a5bdc20e214eab7fecef4454a10ef0657df21ac7",
        plaintext: "b202b370ef9768ec6561c4fe6b7e7296fa85",
        sealed: "857e16a64915a787637687db4a9519635cdd454fc2a154fea91f8363a39fec7d0a49",
    },
    Case {
        key: "3c535de192eaed3822a2fbbe2ca9dfc88255e14a661b8aa82cc54236093bbc23",
        nonce: "688089e55540db1872504e1c",
        aad: "734320ccc9d9bbbb19cb81b2af4ecbc3e72834321f7aa0f70b7282b4f33df23f167541",
        plaintext: "ced532ce4159b035277d4dfbb7db62968b13cd4eec",
        sealed: "626660c26ea6612fb17ad91e8e767639edd6c9faee9d6c7029675b89eaf4ba1ded1a286594",
    },
    Case {
        key: "0000000000000000000000000000000000000000000000000000000000000000",
        nonce: "000000000000000000000000",
        aad: "",
        plaintext: "000000000000000000000000000000004db923dc793ee6497c76dcc03a98e108",
        sealed: "f3f80f2cf0cb2dd9c5984fcda908456cc537703b5ba70324a6793a7bf218d3eaffffffff000000000000000000000000",
    },
    Case {
        key: "0000000000000000000000000000000000000000000000000000000000000000",
        nonce: "000000000000000000000000",
        aad: "",
        plaintext: "eb3640277c7ffd1303c7a542d02d3e4c0000000000000000",
        sealed: "18ce4f0b8cb4d0cac65fea8f79257b20888e53e72299e56dffffffff000000000000000000000000",
    },
];
