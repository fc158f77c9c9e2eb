"""Ed25519 through every door."""

from __future__ import annotations

import numpy as np
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

# More than the eight lanes of a vector, so that one is signed or verified beside them.
_LANED_COUNT = 9


def sign(key: SigningKey, message: bytes) -> bytes:
    """The one signature of single, list, tuple and array."""
    signature = key.sign(message)
    assert key.sign_many([message] * COUNT).tobytes() == signature * COUNT
    assert key.sign_many([message] * _LANED_COUNT).tobytes() == signature * _LANED_COUNT
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


def batch_verdicts(keys: list[bytes], signatures: list[bytes], messages: list[bytes]) -> list[bool]:
    """The one list of verdicts of all batches: lists and arrays, cold and hot, on any threads."""
    verdicts: list[bool] = verify_many(keys, signatures, messages).tolist()
    loaded = {place: key for place, key in enumerate(map(_expanded, keys)) if key is not None}
    assert not any(valid for place, valid in enumerate(verdicts) if place not in loaded)
    # Some times over, so that there is enough for more than two threads.
    many = [repeated * _REPEATED for repeated in (keys, signatures, messages)]
    hot = [[repeated[place] for place in loaded] * _REPEATED for repeated in (signatures, messages)]
    hot_keys = list(loaded.values()) * _REPEATED
    hot_verdicts = [verdicts[place] for place in loaded] * _REPEATED
    for threads in (1, 3, None):
        assert verify_many(*many, threads=threads).tolist() == verdicts * _REPEATED
        assert verify_many(hot_keys, *hot, threads=threads).tolist() == hot_verdicts
        cache = VerifyingKeyCache()
        for key in loaded.values():
            cache.register(key)
        # Cold; with tables from the fourth on.
        for _ in range(4):
            assert cache.verify_many(*many, threads=threads).tolist() == verdicts * _REPEATED
        proven = {key for key, valid in zip(keys, verdicts, strict=True) if valid}
        assert cache.statistics().expanded == len(proven)
    assert _array_verdicts(keys, signatures, messages) == verdicts
    return verdicts


_REPEATED = 2


def _expanded(key: bytes) -> VerifyingKey | None:
    try:
        return VerifyingKey(key).expand()
    except UsageError:
        return None


def _array_verdicts(
    keys: list[bytes], signatures: list[bytes], messages: list[bytes]
) -> list[bool]:
    """Verdicts of arrays, of which each holds what is equally long."""
    groups: dict[tuple[int, ...], list[int]] = {}
    batch = keys, signatures, messages
    for place, items in enumerate(zip(*batch, strict=True)):
        groups.setdefault(tuple(map(len, items)), []).append(place)
    verdicts = [False] * len(keys)
    for lengths, places in groups.items():
        arrays = [
            np.frombuffer(b"".join(items[place] for place in places), np.uint8).reshape(-1, length)
            if length
            else np.empty((len(places), 0), np.uint8)
            for items, length in zip(batch, lengths, strict=True)
        ]
        on_one = verify_many(*arrays).tolist()
        on_many = verify_many(*(np.tile(one, (40, 1)) for one in arrays), threads=3).tolist()
        cached = VerifyingKeyCache().verify_many(*arrays).tolist()
        assert (on_many, cached) == (on_one * 40, on_one)
        for place, valid in zip(places, on_one, strict=True):
            verdicts[place] = valid
    return verdicts


def expanded_verdict(key: VerifyingKey, signature: bytes, message: bytes) -> bool:
    """The one verdict of an expanded key and of a cache, single and in lanes."""
    try:
        expanded = key.expand()
    except UsageError:  # not a point of the curve
        return False
    valid = expanded.is_valid(signature, message)
    batch = ([signature] * _LANED_COUNT, [message] * _LANED_COUNT)
    assert verify_many(expanded, *batch).tolist() == [valid] * _LANED_COUNT
    cache = VerifyingKeyCache()
    cache.register(key)
    # Plain, then expanded if they are valid.
    for _ in range(4):
        assert cache.is_valid(key, signature, message) is valid
    assert cache.statistics().expanded == int(valid)
    assert cache.verify_many(key, *batch).tolist() == [valid] * _LANED_COUNT
    return valid
