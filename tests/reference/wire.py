"""Big-endian integers, fixed fields and ``lp``: the alphabet of every binary form.

Source: docs/protocol.md, "Notation".
"""

from __future__ import annotations

from .errors import malformed


def u8(value: int) -> bytes:
    """Encode one byte."""
    return value.to_bytes(1, "big")


def u16(value: int) -> bytes:
    """Encode two bytes."""
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    """Encode four bytes."""
    return value.to_bytes(4, "big")


def u64(value: int) -> bytes:
    """Encode eight bytes."""
    return value.to_bytes(8, "big")


def lp(data: bytes) -> bytes:
    """Encode ``u16 length || data``."""
    return u16(len(data)) + data


class Reader:
    """Takes fields off the front of a byte string; running short is ``malformed_request``."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    @property
    def remaining_len(self) -> int:
        """Bytes not taken yet."""
        return len(self._data) - self._offset

    def take(self, length: int) -> bytes:
        """Return exactly `length` bytes."""
        if self.remaining_len < length:
            raise malformed(f"{length} bytes wanted, {self.remaining_len} left")
        start, self._offset = self._offset, self._offset + length
        return self._data[start : self._offset]

    def uint(self, length: int) -> int:
        """Return a big-endian integer of `length` bytes."""
        return int.from_bytes(self.take(length), "big")

    def lp(self) -> bytes:
        """Return the content of a length-prefixed field."""
        return self.take(self.uint(2))

    def finish(self) -> None:
        """Refuse trailing bytes."""
        if self.remaining_len:
            raise malformed(f"{self.remaining_len} trailing bytes")
