"""Rows 8 and 9: AES-256-GCM with 13 bytes of associated data.

Both sides keep the key object, so its schedule is expanded once. Nonces repeat: that costs nothing
and protects nothing here. In a batch pyca gets what it handles best, lists of bytes and a
comprehension, also where our side takes and returns arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benches.ratios.sides import Row, Side, always
from sage_native.aead import AeadKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    _Kind: TypeAlias = Literal["list", "array"]

KEY = bytes(range(32))
NONCE = bytes(12)
AAD = bytes(13)
_LINES = {64: (4.0, 5.0), 1024: (2.3, 2.6), 16_384: (1.15, 1.22)}
_BATCH_LENS = (64, 1024)
_KINDS: tuple[_Kind, ...] = ("list", "array")


def our_seal(plaintext_len: int = 64) -> Side:
    """Seal under a kept key."""
    return Side(AeadKey(KEY).seal, always(NONCE, bytes(plaintext_len), AAD))


def our_open(plaintext_len: int = 64, aad: bytes = AAD) -> Side:
    """Open under a kept key."""
    sealed = AESGCM(KEY).encrypt(NONCE, bytes(plaintext_len), aad)
    return Side(AeadKey(KEY).open, always(NONCE, sealed, aad))


def _pyca_seal(plaintext_len: int) -> Side:
    return Side(AESGCM(KEY).encrypt, always(NONCE, bytes(plaintext_len), AAD))


def _pyca_open(plaintext_len: int) -> Side:
    sealed = AESGCM(KEY).encrypt(NONCE, bytes(plaintext_len), AAD)
    return Side(AESGCM(KEY).decrypt, always(NONCE, sealed, AAD))


@dataclass(frozen=True)
class _Batch:
    """So many messages of 64 bytes as lists; `sealed` is what must come out."""

    nonces: list[bytes]
    plaintexts: list[bytes]
    aads: list[bytes]
    sealed: list[bytes]

    @classmethod
    def of(cls, count: int) -> _Batch:
        nonces = [number.to_bytes(12, "big") for number in range(count)]
        plaintexts = [number.to_bytes(64, "big") for number in range(count)]
        aads = [number.to_bytes(13, "big") for number in range(count)]
        encrypt = AESGCM(KEY).encrypt
        return cls(nonces, plaintexts, aads, list(map(encrypt, nonces, plaintexts, aads)))

    def __len__(self) -> int:
        return len(self.nonces)


def _rows(items: list[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(items), np.uint8).reshape(len(items), -1)


def _items(rows: NDArray[np.uint8]) -> list[bytes]:
    return [row.tobytes() for row in rows]


def _our_seal_many(count: int, kind: _Kind) -> Side:
    batch, seal_many = _Batch.of(count), AeadKey(KEY).seal_many
    if kind == "list":
        arguments = always(batch.nonces, batch.plaintexts, batch.aads)
        return Side(seal_many, arguments, count)
    arguments = always(_rows(batch.nonces), _rows(batch.plaintexts), _rows(batch.aads))
    return Side(seal_many, arguments, count, seen=_items)


def _our_open_many(count: int, kind: _Kind) -> Side:
    batch, open_many = _Batch.of(count), AeadKey(KEY).open_many
    if kind == "list":
        return Side(open_many, always(batch.nonces, batch.sealed, batch.aads), count)
    arguments = always(_rows(batch.nonces), _rows(batch.sealed), _rows(batch.aads))
    return Side(open_many, arguments, count, seen=lambda result: _items(result[0]))


def _pyca_seal_each(count: int) -> Side:
    batch, encrypt = _Batch.of(count), AESGCM(KEY).encrypt

    def call(nonces: list[bytes], plaintexts: list[bytes], aads: list[bytes]) -> list[bytes]:
        return list(map(encrypt, nonces, plaintexts, aads))

    return Side(call, always(batch.nonces, batch.plaintexts, batch.aads), count)


def _pyca_open_each(count: int) -> Side:
    batch, decrypt = _Batch.of(count), AESGCM(KEY).decrypt

    def call(nonces: list[bytes], sealed: list[bytes], aads: list[bytes]) -> list[bytes]:
        return list(map(decrypt, nonces, sealed, aads))

    return Side(call, always(batch.nonces, batch.sealed, batch.aads), count)


def _size(length: int) -> str:
    return f"{length} B" if length < 1024 else f"{length // 1024} KiB"


def _sealing(length: int) -> tuple[Side, Side]:
    return our_seal(length), _pyca_seal(length)


def _opening(length: int) -> tuple[Side, Side]:
    return our_open(length), _pyca_open(length)


def _sealing_many(count: int, kind: _Kind) -> tuple[Side, Side]:
    return _our_seal_many(count, kind), _pyca_seal_each(count)


def _opening_many(count: int, kind: _Kind) -> tuple[Side, Side]:
    return _our_open_many(count, kind), _pyca_open_each(count)


def _single_rows() -> Iterator[Row]:
    for length, (must, goal) in _LINES.items():
        for verb, sides in (("seal", _sealing), ("open", _opening)):
            operation = f"AES-256-GCM {verb}, {_size(length)}"
            yield Row(8, operation, "pyca", partial(sides, length), must, goal)


def _batch_rows() -> Iterator[Row]:
    for count in _BATCH_LENS:
        for kind in _KINDS:
            for verb, sides in (("seal", _sealing_many), ("open", _opening_many)):
                operation = f"AES-256-GCM {verb}, 64 B, batch of {count:,}, {kind}"
                yield Row(9, operation, "pyca", partial(sides, count, kind), 5, 9)


ROWS = (*_single_rows(), *_batch_rows())
