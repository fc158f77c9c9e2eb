"""AES-256-GCM through every door."""

from __future__ import annotations

from sage_native import AeadKey, AuthenticationError
from sage_native.aead import TAG_LEN
from tests.doors.rows import COUNT, rows_of

# What stands behind the result in a caller's buffer that is longer than needed.
BEYOND = b"\xee" * 5


def seal(key: AeadKey, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """The one result of ``seal``, ``seal_into`` and ``seal_many`` over lists and arrays."""
    sealed = key.seal(nonce, plaintext, aad)
    out = bytearray(bytes(len(sealed)) + BEYOND)
    assert key.seal_into(nonce, plaintext, out, aad) == len(sealed)
    assert bytes(out) == sealed + BEYOND
    items = key.seal_many([nonce] * COUNT, [plaintext] * COUNT, [aad] * COUNT)
    assert items == [sealed] * COUNT
    rows = key.seal_many(rows_of(nonce), rows_of(plaintext), rows_of(aad))
    assert rows.tobytes() == sealed * COUNT
    if not aad:
        assert key.seal(nonce, plaintext) == sealed
        assert key.seal_many([nonce], [plaintext]) == [sealed]
    return sealed


def open_sealed(key: AeadKey, nonce: bytes, sealed: bytes, aad: bytes) -> bytes | None:
    """The one plaintext of ``open``, ``open_into`` and ``open_many``; None if all refuse."""
    try:
        plaintext: bytes | None = key.open(nonce, sealed, aad)
    except AuthenticationError:
        plaintext = None
    assert open_into(key, nonce, sealed, aad) == plaintext
    items = key.open_many([nonce] * COUNT, [sealed] * COUNT, [aad] * COUNT)
    assert items == [plaintext] * COUNT
    rows, verdicts = key.open_many(rows_of(nonce), rows_of(sealed), rows_of(aad))
    assert verdicts.tolist() == [plaintext is not None] * COUNT
    shown = bytes(len(sealed) - TAG_LEN) if plaintext is None else plaintext
    assert rows.tobytes() == shown * COUNT
    return plaintext


def open_into(key: AeadKey, nonce: bytes, sealed: bytes, aad: bytes) -> bytes | None:
    """``open_into`` alone; a refusal must leave nothing of the message behind."""
    plaintext_len = len(sealed) - TAG_LEN
    out = bytearray(bytes(plaintext_len) + BEYOND)
    try:
        assert key.open_into(nonce, sealed, out, aad) == plaintext_len
    except AuthenticationError:
        assert bytes(out) == bytes(plaintext_len) + BEYOND
        return None
    assert out[plaintext_len:] == BEYOND
    return bytes(out[:plaintext_len])
