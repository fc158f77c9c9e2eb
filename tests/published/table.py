"""Every file of vectors that others published, and what becomes of its cases.

``executed`` cases run to the stated bytes or verdict, through single, batch and ``*_into`` calls.
``refused`` cases are of a type that the API does not have, and their refusal is asserted.
``excluded`` cases are not run. Each number is exact: a new release of a package shows here first.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from tests.published import aes_gcm, ed25519, hkdf, hpke, x25519
from tests.published.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    Run: TypeAlias = Callable[[], Tally]


def cavp(name: str) -> Run:
    return partial(aes_gcm.cavp, f"ciphers/AES/GCM/{name}")


def blocks(name: str) -> Run:
    return partial(hkdf.blocks, f"KDF/{name}")


# fmt: off
TABLE: dict[str, tuple[Run, Tally]] = {
    # Executed, refused, excluded:
    "wycheproof ed25519_test.json": (ed25519.wycheproof, Tally(210, 0, 0)),
    "djb sign.input": (ed25519.sign_input, Tally(1024, 0, 0)),
    "RFC 8032 §7.1, SHA(abc)": (ed25519.rfc_8032, Tally(1, 0, 0)),
    "wycheproof x25519_test.json": (x25519.raw, Tally(518, 0, 0)),
    "wycheproof x25519_pem_test.json": (x25519.pem, Tally(518, 0, 0)),
    "wycheproof x25519_asn_test.json": (x25519.der, Tally(537, 0, 0)),
    "wycheproof x25519_jwk_test.json": (x25519.jwk, Tally(531, 0, 0)),
    "RFC 7748 §5.2": (x25519.rfc_7748_file, Tally(3, 0, 0)),
    "RFC 7748 §5.2, iterated": (x25519.rfc_7748_iterated, Tally(2, 0, 0)),
    "RFC 7748 §6.1": (x25519.rfc_7748_diffie_hellman, Tally(2, 0, 0)),
    # Refused: keys of 16 and 24 bytes, nonces of 0, 1, 2, 4, 6, 8, 10, 15, 16, 20 to 257 bytes.
    "wycheproof aes_gcm_test.json": (aes_gcm.wycheproof, Tally(66, 250, 0)),
    # Refused: nonces of 1 and 128 bytes, tags of 4 to 15 bytes.
    "CAVP gcmDecrypt256.rsp": (cavp("gcmDecrypt256.rsp"), Tally(375, 7500, 0)),
    "CAVP gcmEncryptExtIV256.rsp": (cavp("gcmEncryptExtIV256.rsp"), Tally(375, 7500, 0)),
    "wycheproof hkdf_sha256_test.json": (hkdf.wycheproof, Tally(86, 0, 0)),
    "RFC 5869 appendix A, SHA-256": (blocks("rfc-5869-HKDF-SHA256.txt"), Tally(3, 0, 0)),
    "pyca hkdf-generated.txt": (blocks("hkdf-generated.txt"), Tally(1, 0, 0)),
    "RFC 8448 §3": (hkdf.rfc_8448, Tally(24, 0, 0)),
    # Excluded: other curves, hashes and AEADs than this library has.
    "RFC 9180 HPKE test-vectors.json": (hpke.run, Tally(1092, 0, 24092)),
}
# fmt: on

# This project's own cases, which do not count as somebody else's.
OWN: dict[str, tuple[Run, Tally]] = {
    "ed25519_strict.json": (ed25519.strict, Tally(249, 0, 0)),
}

# Files of the two packages for algorithms that this library lacks although they look near:
# aes_wrap_test.json, aes_kwp_test.json (RFC 3394, 5649; secrets at rest are wrapped with
# AES-256-GCM-SIV here), ed448, x448, hkdf_sha1, hkdf_sha384, hkdf_sha512, AES-128 and AES-192 of
# CAVP (the key length is refused, as Wycheproof's 16- and 24-byte keys show), ciphers/AES/GCM-SIV
# (RFC 8452 has no Python call that takes a nonce: rust/sage-core/tests/gcm_siv.rs runs it).
