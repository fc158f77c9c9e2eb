"""What Alice and Bob say to each other inside the session: the plaintext of records.

::

    "F" {"name", "size"}     a file begins          "D" bytes           a piece of it
    "E" {"sha256"}           it ends                "R" {"name", "size", "sha256", "verified"}
                                                    what Bob got, his answer to "E"
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from sage_native.exceptions import PeerError

__all__ = ["PIECE", "Inbox", "MessageError", "Receipt", "begin", "end", "read_receipt"]

BEGIN, PIECE, END, RECEIPT = b"F", b"D", b"E", b"R"


class MessageError(PeerError):
    """The peer said, inside the session, what makes no sense here."""


@dataclass(frozen=True)
class Receipt:
    """What the receiver got of one file."""

    name: str
    size: int
    sha256: str
    """The receiver's own digest."""
    verified: bool
    """Whether size and digest are those that the sender announced."""


def begin(name: str, size: int) -> bytes:
    """Return the message with which a file begins."""
    return BEGIN + json.dumps({"name": name, "size": size}).encode()


def end(sha256: str) -> bytes:
    """Return the message with which a file ends."""
    return END + json.dumps({"sha256": sha256}).encode()


def read_receipt(message: bytes) -> Receipt:
    """Parse the answer to ``end``."""
    if message[:1] != RECEIPT:
        raise MessageError("the answer is no receipt")
    fields = _fields(message, name=str, size=int, sha256=str, verified=bool)
    return Receipt(**fields)


class Inbox:
    """The receiving end: takes messages in order, keeps no content, only its digest."""

    def __init__(self) -> None:
        self._name, self._announced, self._size = "", 0, 0
        self._digest = hashlib.sha256()

    def take(self, message: bytes) -> bytes | None:
        """Take one message. Returns the answer that is due, if one is."""
        match message[:1]:
            case b"D":
                piece = memoryview(message)[1:]
                self._digest.update(piece)
                self._size += len(piece)
            case b"F":
                opening = _fields(message, name=str, size=int)
                self._name, self._announced = opening["name"], opening["size"]
                self._digest, self._size = hashlib.sha256(), 0
            case b"E":
                return RECEIPT + json.dumps(asdict(self._receipt(message))).encode()
            case _:
                raise MessageError("a message of no known kind")
        return None

    def _receipt(self, message: bytes) -> Receipt:
        sha256 = self._digest.hexdigest()
        announced = _fields(message, sha256=str)["sha256"]
        return Receipt(
            name=self._name,
            size=self._size,
            sha256=sha256,
            verified=sha256 == announced and self._size == self._announced,
        )


def _fields(message: bytes, **types: type) -> dict[str, Any]:
    """Parse the JSON of a message, which has to have exactly these fields."""
    try:
        found = json.loads(message[1:])
    except ValueError as error:
        raise MessageError("a message that is not JSON") from error
    if not isinstance(found, dict) or {k: type(v) for k, v in found.items()} != types:
        raise MessageError(f"a message without exactly {', '.join(types)}")
    return found
