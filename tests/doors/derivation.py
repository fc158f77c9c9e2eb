"""HKDF-SHA256 through every door."""

from __future__ import annotations

from sage_native import Prk, hkdf_sha256


def hkdf(ikm: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """The one result of the whole and of extract, keep, expand."""
    okm = hkdf_sha256(ikm, salt=salt, info=info, length=length)
    prk = Prk.extract(ikm, salt=salt)
    assert prk.expand(info, length) == okm
    assert prk.expand(info, length) == okm
    if not salt:
        assert Prk.extract(ikm).expand(info, length) == okm
        assert hkdf_sha256(ikm, info=info, length=length) == okm
    if not info:
        assert hkdf_sha256(ikm, salt=salt, length=length) == okm
    return okm
