"""HKDF-SHA256: Wycheproof, RFC 5869, pyca's long output, the TLS 1.3 trace of RFC 8448."""

from __future__ import annotations

import hashlib

import pytest

from sage_native import Prk, StaticSecret, UsageError, X25519PublicKey, hkdf_sha256
from tests.doors.agreement import exchange
from tests.doors.derivation import hkdf
from tests.published import files
from tests.published.tally import Tally


def wycheproof() -> Tally:
    tally = Tally()
    for _, case in files.wycheproof("Protocol/hkdf_sha256_test.json"):
        ikm, salt, info = (bytes.fromhex(case[field]) for field in ("ikm", "salt", "info"))
        tally.executed += 1
        if case["result"] == "valid":
            assert hkdf(ikm, salt, info, case["size"]).hex() == case["okm"], case
            continue
        assert case["flags"] == ["SizeTooLarge"]
        with pytest.raises(UsageError, match="may be at most 8160 bytes long"):
            hkdf_sha256(ikm, salt=salt, info=info, length=case["size"])
        with pytest.raises(UsageError, match="may be at most 8160 bytes long"):
            Prk.extract(ikm, salt=salt).expand(info, case["size"])
    return tally


def blocks(path: str) -> Tally:
    tally = Tally()
    for case in files.blocks(path):
        assert case["hash"] == "SHA-256"
        ikm, salt, info, okm = (
            bytes.fromhex(case[name]) for name in ("ikm", "salt", "info", "okm")
        )
        assert hkdf(ikm, salt, info, int(case["l"])) == okm
        if "prk" in case:
            assert Prk.from_bytes(bytes.fromhex(case["prk"])).expand(info, len(okm)) == okm
        tally.executed += 1
    return tally


# RFC 8448 §3. Both halves of the agreement:
CLIENT_SCALAR = "49af42ba7f7994852d713ef2784bcbcaa7911de26adc5642cb634540e7ea5005"
CLIENT_SHARE = "99381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c"
SERVER_SCALAR = "b1580eeadf6dd589b8ef4f2d5652578cc810e9980191ec8d058308cea216a21e"
SERVER_SHARE = "c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f"
SHARED = "8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d"
# Transcript hashes, and the secrets they lead to:
NOTHING_HASH = hashlib.sha256().hexdigest()
HELLO_HASH = "860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8"
SERVER_FINISHED_HASH = "9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13"
CLIENT_FINISHED_HASH = "209145a96ee8e2a122ff810047cc952684658d6049e86429426db87c54ad143d"
EARLY = "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"
EARLY_DERIVED = "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba"
HANDSHAKE = "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"
HANDSHAKE_DERIVED = "43de77e0c77713859a944db9db2590b53190a65b3ee2e4f12dd7a0bb7ce254b4"
MASTER = "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919"
CLIENT_HANDSHAKE = "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21"
SERVER_HANDSHAKE = "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38"
CLIENT_TRAFFIC = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"
SERVER_TRAFFIC = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"
RESUMPTION = "7df235f2031d2a051287d02b0241b0bfdaf86cc856231f2d5aba46c434ec196c"

# salt, ikm, PRK
EXTRACTED = (
    ("", "00" * 32, EARLY),
    (EARLY_DERIVED, SHARED, HANDSHAKE),
    (HANDSHAKE_DERIVED, "00" * 32, MASTER),
)
# secret, label, context, output
EXPANDED = (
    (EARLY, "derived", NOTHING_HASH, EARLY_DERIVED),
    (HANDSHAKE, "c hs traffic", HELLO_HASH, CLIENT_HANDSHAKE),
    (HANDSHAKE, "s hs traffic", HELLO_HASH, SERVER_HANDSHAKE),
    (HANDSHAKE, "derived", NOTHING_HASH, HANDSHAKE_DERIVED),
    (SERVER_HANDSHAKE, "key", "", "3fce516009c21727d0f2e4e86ee403bc"),
    (SERVER_HANDSHAKE, "iv", "", "5d313eb2671276ee13000b30"),
    (
        SERVER_HANDSHAKE,
        "finished",
        "",
        "008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8",
    ),
    (CLIENT_HANDSHAKE, "key", "", "dbfaa693d1762c5b666af5d950258d01"),
    (CLIENT_HANDSHAKE, "iv", "", "5bd3c71b836e0b76bb73265f"),
    (
        CLIENT_HANDSHAKE,
        "finished",
        "",
        "b80ad01015fb2f0bd65ff7d4da5d6bf83f84821d1f87fdc7d3c75b5a7b42d9c4",
    ),
    (MASTER, "c ap traffic", SERVER_FINISHED_HASH, CLIENT_TRAFFIC),
    (MASTER, "s ap traffic", SERVER_FINISHED_HASH, SERVER_TRAFFIC),
    (
        MASTER,
        "exp master",
        SERVER_FINISHED_HASH,
        "fe22f881176eda18eb8f44529e6792c50c9a3f89452f68d8ae311b4309d3cf50",
    ),
    (MASTER, "res master", CLIENT_FINISHED_HASH, RESUMPTION),
    (SERVER_TRAFFIC, "key", "", "9f02283b6c9c07efc26bb9f2ac92e356"),
    (SERVER_TRAFFIC, "iv", "", "cf782b88dd83549aadf1e984"),
    (CLIENT_TRAFFIC, "key", "", "17422dda596ed5d9acd890e3c63f5051"),
    (CLIENT_TRAFFIC, "iv", "", "5b78923dee08579033e523d9"),
    (
        RESUMPTION,
        "resumption",
        "0000",
        "4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3",
    ),
)


def rfc_8448() -> Tally:
    """The key schedule of TLS 1.3: three extractions, 19 labels, one agreement from both sides."""
    for secret, share in ((CLIENT_SCALAR, SERVER_SHARE), (SERVER_SCALAR, CLIENT_SHARE)):
        shared = exchange(
            StaticSecret(bytes.fromhex(secret)), X25519PublicKey(bytes.fromhex(share))
        )
        assert shared is not None
        assert shared.hex() == SHARED
    for salt, ikm, prk in EXTRACTED:
        # A PRK shows itself only by what it expands to.
        extracted = Prk.extract(bytes.fromhex(ikm), salt=bytes.fromhex(salt))
        assert extracted.expand(b"x", 32) == Prk.from_bytes(bytes.fromhex(prk)).expand(b"x", 32)
    for secret, label, context, expected in EXPANDED:
        info = hkdf_label(label, bytes.fromhex(context), len(expected) // 2)
        okm = Prk.from_bytes(bytes.fromhex(secret)).expand(info, len(expected) // 2)
        assert okm.hex() == expected, label
    return Tally(executed=2 + len(EXTRACTED) + len(EXPANDED))


def hkdf_label(label: str, context: bytes, length: int) -> bytes:
    """The structure of RFC 8446 §7.1, with TLS's own prefix."""
    name = b"tls13 " + label.encode()
    return b"".join(
        (length.to_bytes(2, "big"), bytes([len(name)]), name, bytes([len(context)]), context)
    )
