"""The ways to verify a batch, each as a side whose verdicts are checked.

* *cold*: ``verify_many`` from raw keys, nothing known before.
* *expanded*: ``verify_many`` with keys that the caller has expanded.
* *one key*: ``verify_many`` with one key for all, nothing known before.
* *cache*: ``VerifyingKeyCache.verify_many`` with keys that are registered.
* *dalek*: ``verify_batch`` of ed25519-dalek with kept key objects, one verdict for the whole batch.
* *pyca*, *PyNaCl*: one signature after the other, with kept key objects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Literal, TypeAlias

import nacl.signing
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from benches.ratios.sides import Side, always
from sage_native.keys import VerifyingKeyCache, verify_many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benches.ratios.sides import Arguments

    from .cases import Cases
    from .dalek import Dalek

    WayName: TypeAlias = Literal["cache", "expanded", "cold", "one key", "dalek", "pyca", "PyNaCl"]
    Batches: TypeAlias = Callable[[], list[int]]

# Valid signatures after which the cache builds a table.
PROMOTED_AFTER = 3


class WrongVerdictError(Exception):
    """A way has said something else than what is known of the signatures."""


@dataclass(frozen=True)
class Way:
    """A way to verify, over some cases.

    Attributes:
        name: Which way.
        side: What is timed; `side.seen` gives its verdicts.
        verdicts: What they must be.
    """

    name: WayName
    side: Side
    verdicts: list[bool]

    def check(self) -> None:
        """Verify once.

        Raises:
            WrongVerdictError: A verdict is wrong.
        """
        for arguments in self.side.prepare(1):
            verdicts = self.side.seen(self.side.call(*arguments))
            if verdicts != self.verdicts:
                raise WrongVerdictError(f"{self.name}: {verdicts} instead of {self.verdicts}")


def all_at_once(cases: Cases) -> Batches:
    """Make every batch the whole of the cases."""
    places = list(range(len(cases.keys)))
    return lambda: places


def by_chance(cases: Cases, batch_len: int, seed: int = 7) -> Batches:
    """Make every batch another draw of different places."""
    chance, places = Random(seed), range(len(cases.keys))
    return lambda: chance.sample(places, batch_len)


def cold(cases: Cases, batches: Batches) -> Way:
    """Verify from raw keys."""
    return _at_once("cold", verify_many, cases, cases.keys, batches)


def expanded(cases: Cases, batches: Batches) -> Way:
    """Verify with keys that have their tables."""
    known = {key: key.expand() for key in set(cases.verifying_keys)}
    keys = [known[key] for key in cases.verifying_keys]
    return _at_once("expanded", verify_many, cases, keys, batches)


def one_key(cases: Cases) -> Way:
    """Verify a batch that is of one key, which is handed over once."""
    (key,) = set(cases.verifying_keys)
    prepare = always(key, cases.signatures, cases.messages)
    side = Side(verify_many, prepare, len(cases.keys), seen=lambda result: result.tolist())
    return Way("one key", side, cases.verdicts)


def cached(cases: Cases, batches: Batches, cache: VerifyingKeyCache) -> Way:
    """Verify through a cache."""
    return _at_once("cache", cache.verify_many, cases, cases.verifying_keys, batches)


def warm(cache: VerifyingKeyCache, cases: Cases) -> None:
    """Register all keys, and verify signatures of each until it has a table, if there is room."""
    for key in cases.verifying_keys:
        cache.register(key)
    table_count = 0
    seen: set[bytes] = set()
    for key, signature, message in zip(
        cases.verifying_keys, cases.signatures, cases.messages, strict=True
    ):
        if key.to_bytes() in seen:
            continue
        seen.add(key.to_bytes())
        for _ in range(PROMOTED_AFTER):
            cache.verify(key, signature, message)
        before, table_count = table_count, cache.statistics().expanded
        if table_count == before:
            return


def dalek(cases: Cases, batches: Batches, peer: Dalek) -> Way:
    """Verify with dalek, which says of a whole batch whether all of it verifies."""
    keys = _objects(cases, peer.Key)
    way = _at_once("dalek", peer.verify_batch, cases, keys, batches)
    return replace(
        way,
        side=replace(way.side, seen=lambda all_verify: [all_verify]),
        verdicts=[all(way.verdicts)],
    )


def pyca(cases: Cases, batches: Batches) -> Way:
    """Verify one by one with pyca, which raises if a signature is wrong."""
    keys = _objects(cases, Ed25519PublicKey.from_public_bytes)

    def call(key: Ed25519PublicKey, signature: bytes, message: bytes) -> None:
        key.verify(signature, message)

    return _one_by_one("pyca", call, cases, keys, batches)


def pynacl(cases: Cases, batches: Batches) -> Way:
    """Verify one by one with PyNaCl, which raises if a signature is wrong."""
    keys = _objects(cases, nacl.signing.VerifyKey)

    def call(key: nacl.signing.VerifyKey, signature: bytes, message: bytes) -> None:
        key.verify(message, signature)

    return _one_by_one("PyNaCl", call, cases, keys, batches)


def _objects(cases: Cases, load: Callable[[bytes], object]) -> list[object]:
    known = {key: load(key) for key in set(cases.keys)}
    return [known[key] for key in cases.keys]


def _at_once(
    name: WayName,
    verify: Callable[..., object],
    cases: Cases,
    keys: Sequence[object],
    batches: Batches,
) -> Way:
    batch_len = len(batches())

    def prepare(count: int) -> Iterator[Arguments]:
        for _ in range(count):
            places = batches()
            yield tuple(
                [items[place] for place in places]
                for items in (keys, cases.signatures, cases.messages)
            )

    verdicts = cases.verdicts if batch_len == len(cases.keys) else [True] * batch_len
    side = Side(verify, prepare, batch_len, seen=lambda result: result.tolist())
    return Way(name, side, verdicts)


def _one_by_one(
    name: WayName,
    call: Callable[..., None],
    cases: Cases,
    keys: list[object],
    batches: Batches,
) -> Way:
    def in_batches() -> Iterator[int]:
        while True:
            yield from batches()

    places = in_batches()

    def prepare(count: int) -> Iterator[Arguments]:
        for place in islice(places, count):
            yield keys[place], cases.signatures[place], cases.messages[place]

    return Way(name, Side(call, prepare, seen=lambda _: [True]), [True])
