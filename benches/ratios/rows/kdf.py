"""Row 10: HKDF-SHA256 to 32 bytes, whole and as an expansion from a kept PRK.

pyca's objects are good for one derivation, so it makes one each time; the hash object is kept.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from benches.ratios.sides import Row, Side, always
from sage_native.kdf import Prk, hkdf_sha256

IKM, SALT, INFO = bytes(range(32)), bytes(range(32, 64)), b"sage benchmark, row 10"
_SHA256 = SHA256()


def _our_derivation() -> Side:
    def call(ikm: bytes, salt: bytes, info: bytes) -> bytes:
        return hkdf_sha256(ikm, length=32, salt=salt, info=info)

    return Side(call, always(IKM, SALT, INFO))


def _pyca_derivation() -> Side:
    def call(ikm: bytes, salt: bytes, info: bytes) -> bytes:
        return HKDF(_SHA256, 32, salt, info).derive(ikm)

    return Side(call, always(IKM, SALT, INFO))


def _our_expansion() -> Side:
    return Side(Prk.from_bytes(IKM).expand, always(INFO, 32))


def _pyca_expansion() -> Side:
    def call(info: bytes, length: int) -> bytes:
        return HKDFExpand(_SHA256, length, info).derive(IKM)

    return Side(call, always(INFO, 32))


ROWS = (
    Row(
        10,
        "HKDF-SHA256 to 32 B",
        "pyca",
        lambda: (_our_derivation(), _pyca_derivation()),
        2.5,
        5,
    ),
    Row(
        10,
        "HKDF-SHA256 expand to 32 B from a kept PRK",
        "pyca",
        lambda: (_our_expansion(), _pyca_expansion()),
        5,
        10,
    ),
)
