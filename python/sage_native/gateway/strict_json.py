"""JSON that has one meaning: no name twice, no unknown member, no NaN, nothing after the end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["decode_strictly"]

_T = TypeVar("_T")


def decode_strictly(text: bytes, kind: type[_T]) -> _T:
    """Decode a JSON document into a msgspec type.

    Args:
        text: UTF-8, without a byte order mark.
        kind: A Struct that forbids unknown fields.

    Raises:
        msgspec.MsgspecError: It is not of the type, or not strict.

    Cost: two passes. msgspec takes the last of two members of one name, so that the second pass
    looks for them; it never sees what the first has refused.
    """
    try:
        # Bytes that are no UTF-8 are a ValueError of their own.
        decoded = msgspec.json.decode(text, type=kind)
        json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise msgspec.DecodeError("not strict JSON") from error
    return decoded


def _distinct(pairs: Sequence[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name stands twice in one object")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
