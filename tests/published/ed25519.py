"""Ed25519: Wycheproof, djb's sign.input, RFC 8032, and this project's own strict cases."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from sage_native import SigningKey, UsageError, VerifyingKey
from sage_native.keys import verify_many
from tests.doors.signatures import batch_verdicts, sign, verdict
from tests.published import files
from tests.published.tally import Tally
from tests.reference import ed25519 as reference

STRICT = Path(__file__).parents[1] / "vectors" / "ed25519_strict.json"

# RFC 8032 §7.1, TEST SHA(abc): seed, key, signature. Tests 1, 2, 3 and 1024 are in sign.input.
SHA_ABC = (
    "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
    "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
    "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0"
    "303dca179c138ac17ad9bef1177331a704",
)


def wycheproof() -> Tally:
    """``acceptable`` means that implementations differ: the independent reference decides."""
    tally = Tally()
    keys, signatures, messages, expected = [], [], [], []
    for group, case in files.wycheproof("Signature/ed25519_test.json"):
        key = bytes.fromhex(group["publicKey"]["pk"])
        message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
        valid = case["result"] == "valid"
        if case["result"] == "acceptable":
            valid = reference.verify(key, message, signature)
            assert not (valid and "SmallOrderPublicKey" in case["flags"])
        assert verdict(key, signature, message) is valid, case
        keys.append(key)
        signatures.append(signature)
        messages.append(message)
        expected.append(valid)
        tally.executed += 1
    # All in one batch, by every way: the bad ones change nothing for their neighbours.
    assert batch_verdicts(keys, signatures, messages) == expected
    return tally


def sign_input() -> Tally:
    tally = Tally()
    keys, signatures, messages = [], [], []
    lines = files.text("asymmetric/Ed25519/sign.input").splitlines()
    for line in lines:
        secret, key, message, signed = (bytes.fromhex(field) for field in line.split(":")[:4])
        signature = signed[:64]
        assert signed == signature + message
        check(secret[:32], key, message, signature)
        keys.append(key)
        signatures.append(signature)
        messages.append(message)
        tally.executed += 1
    assert verify_many(keys, signatures, messages).all()
    shifted = messages[1:] + messages[:1]
    assert not verify_many(keys, signatures, shifted).any()
    return tally


def rfc_8032() -> Tally:
    seed, key, signature = (bytes.fromhex(field) for field in SHA_ABC)
    check(seed, key, hashlib.sha512(b"abc").digest(), signature)
    return Tally(executed=1)


def check(seed: bytes, key: bytes, message: bytes, signature: bytes) -> None:
    with SigningKey(seed) as signing_key:
        assert signing_key.verifying_key_bytes == key
        assert sign(signing_key, message) == signature
    assert verdict(key, signature, message)
    VerifyingKey(key).check()


def strict() -> Tally:
    """Exact verdicts, and exactly which keys may be somebody's identity."""
    tally = Tally()
    keys, signatures, messages, expected = [], [], [], []
    for case in json.loads(STRICT.read_bytes())["cases"]:
        key, message, signature = (
            bytes.fromhex(case[field]) for field in ("key", "message", "signature")
        )
        assert verdict(key, signature, message) is case["valid"], case["name"]
        assert is_acceptable(key) is case["key_acceptable"], case["name"]
        keys.append(key)
        signatures.append(signature)
        messages.append(message)
        expected.append(case["valid"])
        tally.executed += 1
    assert batch_verdicts(keys, signatures, messages) == expected
    return tally


def is_acceptable(key: bytes) -> bool:
    try:
        VerifyingKey(key).check()
    except UsageError:
        return False
    return True
