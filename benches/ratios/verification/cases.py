"""Signed messages of many keys, good ones and some with wrong signatures among them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from random import Random
from typing import TYPE_CHECKING

from sage_native.keys import SigningKey, VerifyingKey

if TYPE_CHECKING:
    from collections.abc import Sequence

MESSAGE_LEN = 256
_FLIPPED = 40
"""The byte of S that is changed in a wrong signature: S stays below the order, so nothing is
refused early and all of the work is done."""


@dataclass(frozen=True)
class Cases:
    """Signatures side by side: the keys, the signatures and the messages, in the same order.

    Attributes:
        keys: Raw bytes, 32 of each key.
        signatures: One of each.
        messages: One of each, every one another.
        wrong: At which places a signature does not verify.
    """

    keys: list[bytes]
    signatures: list[bytes]
    messages: list[bytes]
    wrong: frozenset[int] = frozenset()

    @cached_property
    def verifying_keys(self) -> list[VerifyingKey]:
        """The keys as objects; equal keys are one object."""
        known = {key: VerifyingKey(key) for key in set(self.keys)}
        return [known[key] for key in self.keys]

    @property
    def verdicts(self) -> list[bool]:
        """What verification must say."""
        return [at not in self.wrong for at in range(len(self.keys))]

    def at(self, places: Sequence[int]) -> Cases:
        """Return those at some places, all of which verify."""
        return Cases(
            [self.keys[place] for place in places],
            [self.signatures[place] for place in places],
            [self.messages[place] for place in places],
        )


@lru_cache(maxsize=4)
def signed(key_count: int, count: int) -> Cases:
    """Return so many signed messages, of so many keys in turn."""
    keys = [SigningKey(number.to_bytes(32, "big")) for number in range(1, key_count + 1)]
    public = [key.verifying_key_bytes for key in keys]
    messages = [number.to_bytes(MESSAGE_LEN, "big") for number in range(count)]
    return Cases(
        [public[at % key_count] for at in range(count)],
        [keys[at % key_count].sign(message) for at, message in enumerate(messages)],
        messages,
    )


def spoilt(cases: Cases, wrong_count: int, seed: int = 7) -> Cases:
    """Return the same with so many wrong signatures, at places that chance has chosen."""
    wrong = frozenset(Random(seed).sample(range(len(cases.keys)), wrong_count))
    signatures = [
        _flipped(signature) if at in wrong else signature
        for at, signature in enumerate(cases.signatures)
    ]
    return replace(cases, signatures=signatures, wrong=wrong)


def _flipped(signature: bytes) -> bytes:
    return signature[:_FLIPPED] + bytes([signature[_FLIPPED] ^ 1]) + signature[_FLIPPED + 1 :]
