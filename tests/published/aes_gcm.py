"""AES-256-GCM: Wycheproof and CAVP.

Executed is what the API has a type for: 32-byte keys, 12-byte nonces, 16-byte tags. Everything else
is shown to be refused.
"""

from __future__ import annotations

import pytest

from sage_native import AeadKey, AuthenticationError, UsageError
from sage_native.aead import TAG_LEN
from tests.doors.sealing import open_sealed, seal
from tests.published import files
from tests.published.tally import Tally

KEY_LEN, NONCE_LEN = 32, 12


def wycheproof() -> Tally:
    tally = Tally()
    for _, case in files.wycheproof("Cipher/aes_gcm_test.json"):
        key, nonce, aad, plaintext, ciphertext, tag = (
            bytes.fromhex(case[field]) for field in ("key", "iv", "aad", "msg", "ct", "tag")
        )
        if not has_type(key, nonce, tag):
            assert_refused(key, nonce, aad, ciphertext + tag)
            tally.refused += 1
        elif case["result"] == "valid":
            check_valid(AeadKey(key), nonce, aad, plaintext, ciphertext + tag)
            tally.executed += 1
        else:
            assert open_sealed(AeadKey(key), nonce, ciphertext + tag, aad) is None, case
            tally.executed += 1
    return tally


def cavp(path: str) -> Tally:
    tally = Tally()
    for case in files.blocks(path):
        key, nonce, aad, ciphertext, tag = (
            bytes.fromhex(case[field]) for field in ("key", "iv", "aad", "ct", "tag")
        )
        if not has_type(key, nonce, tag):
            assert_refused(key, nonce, aad, ciphertext + tag)
            tally.refused += 1
        elif "fail" in case:
            assert open_sealed(AeadKey(key), nonce, ciphertext + tag, aad) is None, case
            tally.executed += 1
        else:
            plaintext = bytes.fromhex(case["pt"])
            check_valid(AeadKey(key), nonce, aad, plaintext, ciphertext + tag)
            tally.executed += 1
    return tally


def has_type(key: bytes, nonce: bytes, tag: bytes) -> bool:
    return (len(key), len(nonce), len(tag)) == (KEY_LEN, NONCE_LEN, TAG_LEN)


def check_valid(key: AeadKey, nonce: bytes, aad: bytes, plaintext: bytes, sealed: bytes) -> None:
    assert seal(key, nonce, plaintext, aad) == sealed
    assert open_sealed(key, nonce, sealed, aad) == plaintext
    # A neighbour that does not open changes nothing for the ones that do.
    forged = bytes(byte ^ 1 for byte in sealed)
    opened = key.open_many([nonce] * 3, [sealed, forged, sealed], [aad] * 3)
    assert opened == [plaintext, None, plaintext]


def assert_refused(key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> None:
    """Other lengths of key and nonce are a usage error; a truncated tag never authenticates."""
    if len(key) != KEY_LEN:
        with pytest.raises(UsageError, match=f"must be 32 bytes long, not {len(key)}"):
            AeadKey(key)
        return
    if len(nonce) != NONCE_LEN:
        with pytest.raises(UsageError, match=f"must be 12 bytes long, not {len(nonce)}"):
            AeadKey(key).seal(nonce, b"", aad)
        with pytest.raises(UsageError, match=f"must be 12 bytes long, not {len(nonce)}"):
            AeadKey(key).open(nonce, sealed + bytes(TAG_LEN), aad)
        return
    with pytest.raises(UsageError if len(sealed) < TAG_LEN else AuthenticationError):
        AeadKey(key).open(nonce, sealed, aad)
