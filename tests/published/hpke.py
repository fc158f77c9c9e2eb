"""HPKE (RFC 9180): nothing of ours, but made of exactly our parts.

DHKEM(X25519, HKDF-SHA256) with HKDF-SHA256 is run in all four modes, and its records where they are
AES-256-GCM. A set-up counts as a case, and so do each record and each exported value.
"""

from __future__ import annotations

from dataclasses import dataclass

from sage_native import AeadKey, Prk, StaticSecret, X25519PublicKey
from tests.doors.agreement import exchange
from tests.doors.sealing import open_sealed, seal
from tests.published import files
from tests.published.tally import Tally

KEM_X25519, KDF_SHA256, AES_256_GCM = 0x0020, 1, 2
EXPORT_ONLY = 0xFFFF
AUTH_MODES = (2, 3)


@dataclass(frozen=True)
class Labelled:
    """LabeledExtract and LabeledExpand of RFC 9180 §4, under one suite id."""

    suite_id: bytes

    def extract(self, salt: bytes, label: bytes, ikm: bytes) -> Prk:
        return Prk.extract(b"HPKE-v1" + self.suite_id + label + ikm, salt=salt)

    def expand(self, prk: Prk, label: bytes, info: bytes, length: int) -> bytes:
        return prk.expand(
            length.to_bytes(2, "big") + b"HPKE-v1" + self.suite_id + label + info, length
        )


def run() -> Tally:
    tally = Tally()
    for case in files.document("HPKE/test-vectors.json"):
        whole = 1 + len(case["encryptions"]) + len(case["exports"])
        if (case["kem_id"], case["kdf_id"]) != (KEM_X25519, KDF_SHA256):
            tally.excluded += whole
            continue
        check_set_up(case)
        check_exports(case)
        if case["aead_id"] == AES_256_GCM:
            check_records(case)
            tally.executed += whole
        else:
            tally.executed += 1 + len(case["exports"])
            tally.excluded += len(case["encryptions"])
    return tally


def check_set_up(case: files.Case) -> None:
    """The agreement seen from both sides (§4.1), then the key schedule (§5.1)."""
    ephemeral, receiver = secret(case, "skEm"), secret(case, "skRm")
    shares = [(ephemeral, share(case, "pkRm"), receiver, share(case, "enc"))]
    context = case["enc"] + case["pkRm"]
    if case["mode"] in AUTH_MODES:
        shares.append((secret(case, "skSm"), share(case, "pkRm"), receiver, share(case, "pkSm")))
        context += case["pkSm"]
    agreed = b""
    for ours, theirs, ours_there, theirs_there in shares:
        shared = exchange(ours, theirs)
        assert shared is not None
        assert shared == exchange(ours_there, theirs_there)
        agreed += shared
    kem = Labelled(b"KEM" + KEM_X25519.to_bytes(2, "big"))
    eae_prk = kem.extract(b"", b"eae_prk", agreed)
    shared_secret = kem.expand(eae_prk, b"shared_secret", bytes.fromhex(context), 32)
    assert shared_secret.hex() == case["shared_secret"]
    check_schedule(case, shared_secret)


def check_schedule(case: files.Case, shared_secret: bytes) -> None:
    hpke = suite_of(case)
    psk, psk_id = (bytes.fromhex(case.get(field, "")) for field in ("psk", "psk_id"))
    # The hashes of the schedule are PRKs, which never leave: they are taken from the file.
    context = bytes.fromhex(case["key_schedule_context"])
    assert context[0] == case["mode"]
    for label, hashed, start in ((b"psk_id_hash", psk_id, 1), (b"info_hash", info_of(case), 33)):
        expected = Prk.from_bytes(context[start : start + 32])
        assert hpke.extract(b"", label, hashed).expand(b"", 32) == expected.expand(b"", 32)
    drawn = hpke.extract(shared_secret, b"secret", psk)
    assert drawn.expand(b"", 32) == Prk.from_bytes(bytes.fromhex(case["secret"])).expand(b"", 32)
    expected_len = {b"key": len(case["key"]) // 2, b"base_nonce": len(case["base_nonce"]) // 2}
    for label, length in expected_len.items():
        assert hpke.expand(drawn, label, context, length).hex() == case[label.decode()]
    assert hpke.expand(drawn, b"exp", context, 32).hex() == case["exporter_secret"]


def check_exports(case: files.Case) -> None:
    exporter = Prk.from_bytes(bytes.fromhex(case["exporter_secret"]))
    for export in case["exports"]:
        context = bytes.fromhex(export["exporter_context"])
        exported = suite_of(case).expand(exporter, b"sec", context, export["L"])
        assert exported.hex() == export["exported_value"]


def check_records(case: files.Case) -> None:
    key = AeadKey(bytes.fromhex(case["key"]))
    base = int(case["base_nonce"], 16)
    columns: tuple[list[bytes], ...] = ([], [], [], [])
    for number, record in enumerate(case["encryptions"]):
        values = [bytes.fromhex(record[field]) for field in ("nonce", "pt", "aad", "ct")]
        nonce, plaintext, aad, sealed = values
        assert nonce == (base ^ number).to_bytes(12, "big")
        assert seal(key, nonce, plaintext, aad) == sealed
        assert open_sealed(key, nonce, sealed, aad) == plaintext
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    nonces, plaintexts, aads, all_sealed = columns
    assert key.seal_many(nonces, plaintexts, aads) == all_sealed
    assert key.open_many(nonces, all_sealed, aads) == plaintexts


def suite_of(case: files.Case) -> Labelled:
    ids = (case["kem_id"], case["kdf_id"], case["aead_id"])
    return Labelled(b"HPKE" + b"".join(number.to_bytes(2, "big") for number in ids))


def info_of(case: files.Case) -> bytes:
    return bytes.fromhex(case["info"])


def secret(case: files.Case, field: str) -> StaticSecret:
    return StaticSecret(bytes.fromhex(case[field]))


def share(case: files.Case, field: str) -> X25519PublicKey:
    return X25519PublicKey(bytes.fromhex(case[field]))
