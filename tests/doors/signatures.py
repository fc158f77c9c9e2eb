"""Ed25519 through every door."""

from __future__ import annotations

import pytest

from sage_native import (
    AuthenticationError,
    SigningKey,
    UsageError,
    VerifyingKey,
    VerifyingKeyCache,
)
from sage_native.keys import verify_many
from tests.doors.rows import COUNT, rows_of


def sign(key: SigningKey, message: bytes) -> bytes:
    """The one signature of single, list, tuple and array."""
    signature = key.sign(message)
    assert key.sign_many([message] * COUNT).tobytes() == signature * COUNT
    assert key.sign_many((message,)).tobytes() == signature
    assert key.sign_many(rows_of(message)).tobytes() == signature * COUNT
    return signature


def verdict(key: bytes, signature: bytes, message: bytes) -> bool:
    """The one verdict of single, cached and batch verification, whatever the bytes are."""
    verdicts = verify_many([key] * COUNT, [signature] * COUNT, [message] * COUNT).tolist()
    assert verdicts in ([True] * COUNT, [False] * COUNT)
    valid: bool = verdicts[0]
    arrays = verify_many(rows_of(key), rows_of(signature), rows_of(message))
    assert arrays.tolist() == verdicts
    try:
        loaded = VerifyingKey(key)
    except UsageError:
        assert not valid
        return False
    assert loaded.is_valid(signature, message) is valid
    assert loaded.is_valid(signature, message) is valid
    if valid:
        loaded.verify(signature, message)
    else:
        with pytest.raises(AuthenticationError):
            loaded.verify(signature, message)
    for keys in (loaded, [loaded] * COUNT):
        many = verify_many(keys, [signature] * COUNT, (message,) * COUNT)
        assert many.tolist() == verdicts
    assert expanded_verdict(loaded, signature, message) is valid
    return valid


# More than the eight lanes of a vector, so that some are verified beside them.
_EXPANDED_COUNT = 9


def expanded_verdict(key: VerifyingKey, signature: bytes, message: bytes) -> bool:
    """The one verdict of an expanded key and of a cache, single and in lanes."""
    try:
        expanded = key.expand()
    except UsageError:  # not a point of the curve
        return False
    valid = expanded.is_valid(signature, message)
    batch = ([signature] * _EXPANDED_COUNT, [message] * _EXPANDED_COUNT)
    assert verify_many(expanded, *batch).tolist() == [valid] * _EXPANDED_COUNT
    cache = VerifyingKeyCache()
    cache.register(key)
    # Plain, then expanded if they are valid.
    for _ in range(4):
        assert cache.is_valid(key, signature, message) is valid
    assert cache.statistics().expanded == int(valid)
    assert cache.verify_many(key, *batch).tolist() == [valid] * _EXPANDED_COUNT
    return valid
