"""Request nonces in Redis.

Theory. Nonces lie in buckets: sets that hold the nonces whose ends fall into the same ten minutes.
``SADD`` decides: it adds a member once. Two ends of one nonce that are acceptable at one moment
differ by at most 120 s, so a nonce whose end is nearer than that to the end of its bucket is looked
up in the neighbour too. Buckets have no expiry. ``SET NX PXAT`` would be shorter, but Redis expires
keys by its own clock and keeps no note of it: a clock that jumps ahead and back again would leave
nonces forgotten and acceptable. Here no clock of Redis plays a part. `delete_expired` raises the
floor first and then drops the buckets that lie below it, in one step, and ends at or below the
floor are refused ever after.

Beside its buckets lies the memory: one hash with the floor, the latest end that was admitted, the
list of the buckets, and

* an id, made up at random when the memory was made,
* the run id of the server that it was made on,
* since when nothing is missing.

Every admission names the id that its worker knows, and the run id of the server that its connection
leads to, and the script compares both with the memory before it looks at anything else. If they
differ, nothing is admitted and the outcome is unknown:

* no memory, or another id: it was flushed, or the server came back empty, or somebody marked it;
* another run id: the server was restarted from its files, or a replica took over, or the slot moved
  to another server. The last nonces may be missing. A restart that lost nothing looks from outside
  like a promoted replica that lacks the last second, so both count alike.

Whoever was refused then adopts the memory: it gives it a new id, the run id, and now as the time
since when nothing is missing; or, if another worker was faster, takes over what that one wrote.
What was asked before the adoption is refused as well, because `is_complete` may have been True
when it was asked. So ask `is_complete` before admitting, without waiting in between, or after.

In a cluster there are sixteen memories, each with a hash tag of its own, so that memory and buckets
of one nonce lie in one slot. They are alone: losing one leaves the others as they are.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from redis.exceptions import OutOfMemoryError

from sage_native import events
from sage_native.exceptions import StorageError
from sage_native.storage.base import (
    MAX_DIVERGENCE_MS,
    NonceStore,
    Outcome,
    nonce_key,
    now_or_clock,
)
from sage_native.storage.batcher import Batcher
from sage_native.storage.redis.connection import RUN_ID
from sage_native.storage.redis.script import Script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_native.storage.guarantee import ReplayGuarantee
    from sage_native.storage.redis.connection import Answer, Command
    from sage_native.storage.redis.topology import Topology
    from sage_native.storage.rows import RequestNonce

__all__ = ["RedisNonceStore"]

BUCKET_MS = 600_000
MAX_SCRIPT_LEN = 1000
"""The most nonces that one script admits; Redis does nothing else meanwhile."""

_ADMIT = Script("admit")
_ADOPT = Script("adopt")
_GIVE_UP = Script("give_up")
_COUNT = Script("count")

_PACKED = struct.Struct(">16sdHH")
_OUTCOMES = {ord("F"): Outcome.FRESH, ord("R"): Outcome.REPLAY, ord("O"): Outcome.FULL}

_Verdict: TypeAlias = "Outcome | StorageError"


@dataclass(frozen=True, slots=True)
class _Memory:
    """One memory, as it was when it was adopted.

    Attributes:
        tag: Which of the memories it is.
        key: Its hash in Redis; the names of its buckets begin with it.
        id: What it must still be called.
        remembers_since_ms: Since when nothing is missing.
    """

    tag: int
    key: bytes
    id: bytes
    remembers_since_ms: int


_Question: TypeAlias = "tuple[_Memory, bytes, int]"
"""The memory that was known when it was asked, the nonce's key, and its end in ms."""


class RedisNonceStore(NonceStore):
    """Request nonces in Redis; `RedisStorage` opens it.

    Args:
        topology: Where the servers are.
        prefix: What keys begin with, inside their hash tags.
        horizon_ms: How far ahead of the clock ends may lie.
        guarantee: What the servers reach.
    """

    kind = "redis"

    def __init__(
        self, topology: Topology, *, prefix: str, horizon_ms: int, guarantee: ReplayGuarantee
    ) -> None:
        self.label = f"the request nonces in {topology.label}"
        self.horizon_ms = horizon_ms
        self.guarantee = guarantee
        self._topology = topology
        self._memories = [
            _Memory(tag, b"{%b:n:%02x}" % (prefix.encode(), tag), b"", 0)
            for tag in range(topology.tag_count)
        ]
        self._adopting = [asyncio.Lock() for _ in self._memories]
        # One for each tag, so that a server that hangs delays nobody else's nonces.
        self._batchers: Final = [
            Batcher(self._decide_batch, label=self.label, timeout_s=topology.timeout_s)
            for _ in self._memories
        ]

    async def start(self) -> None:
        """Adopt every memory.

        Raises:
            StorageError: A server did not answer.
        """
        await asyncio.gather(*(self._adopt(memory) for memory in self._memories))

    async def aclose(self) -> None:
        """Wait for what is under way, and refuse what comes after."""
        await asyncio.gather(*(batcher.aclose() for batcher in self._batchers))

    async def delete_expired(self, *, now_ms: int | None = None) -> int:
        now = now_or_clock(now_ms)
        command = (now, BUCKET_MS, MAX_DIVERGENCE_MS)
        return sum(
            await self._ask_all([_GIVE_UP.call([one.key], *command) for one in self._memories])
        )

    async def count(self) -> int:
        return sum(await self._ask_all([_COUNT.call([one.key]) for one in self._memories]))

    @property
    def remembers_since_ms(self) -> int:
        return max(memory.remembers_since_ms for memory in self._memories)

    async def mark_incomplete(self, *, now_ms: int | None = None) -> None:
        now = now_or_clock(now_ms)
        await asyncio.gather(*(self._adopt(one, marked_ms=now) for one in self._memories))

    async def _decide(self, request: RequestNonce, now_ms: int) -> Outcome:
        if request.remember_until_ms <= now_ms:
            return Outcome.REPLAY
        question = self._question(request)
        verdict = await self._batchers[self._tag_of(question[1])].ask(question)
        if isinstance(verdict, StorageError):
            raise StorageError(str(verdict)) from verdict.__cause__
        return verdict

    async def _decide_many(self, requests: Sequence[RequestNonce], now_ms: int) -> list[Outcome]:
        outcomes = [Outcome.REPLAY] * len(requests)
        asked = [at for at, one in enumerate(requests) if one.remember_until_ms > now_ms]
        verdicts = await self._decide_batch([self._question(requests[at]) for at in asked])
        failures = [verdict for verdict in verdicts if isinstance(verdict, StorageError)]
        if failures and len(failures) == len(requests):
            raise failures[0]
        if failures:
            events.store_failed(self.label, "admit_many", failures[0])
        for at, verdict in zip(asked, verdicts, strict=True):
            outcomes[at] = Outcome.UNKNOWN if isinstance(verdict, StorageError) else verdict
        return outcomes

    def _question(self, request: RequestNonce) -> _Question:
        key = nonce_key(request)
        return self._memories[self._tag_of(key)], key, request.remember_until_ms

    def _tag_of(self, key: bytes) -> int:
        return key[0] % len(self._memories)

    async def _decide_batch(self, questions: Sequence[_Question]) -> list[_Verdict]:
        """Decide on questions, those of one memory in their order."""
        groups: dict[bytes, tuple[_Memory, list[int]]] = {}
        verdicts: list[_Verdict] = [Outcome.UNKNOWN] * len(questions)
        for at, (memory, _, _) in enumerate(questions):
            # Ids are random, so that one names its memory too.
            groups.setdefault(memory.id, (memory, []))[1].append(at)
        if len(groups) == 1:  # nearly always: no task of its own
            ((memory, _),) = groups.values()
            return await self._decide_group(memory, questions)
        results = await asyncio.gather(
            *(
                self._decide_group(memory, [questions[at] for at in places])
                for memory, places in groups.values()
            )
        )
        for (_, places), result in zip(groups.values(), results, strict=True):
            for at, verdict in zip(places, result, strict=True):
                verdicts[at] = verdict
        return verdicts

    async def _decide_group(
        self, memory: _Memory, questions: Sequence[_Question]
    ) -> list[_Verdict]:
        parts = [
            questions[at : at + MAX_SCRIPT_LEN] for at in range(0, len(questions), MAX_SCRIPT_LEN)
        ]
        commands = [_admit(memory, part) for part in parts]
        deadline = self._topology.deadline()
        try:
            answers = await self._topology.ask(memory.key, commands, writes=True, deadline=deadline)
        except StorageError as error:
            return [error] * len(questions)
        if None in answers:
            try:
                await self._adopt(memory, deadline=deadline)
            except StorageError as error:
                events.store_failed(self.label, "adopt", error)
        return [
            verdict
            for part, answer in zip(parts, answers, strict=True)
            for verdict in self._verdicts(answer, len(part))
        ]

    def _verdicts(self, answer: Answer, count: int) -> Sequence[_Verdict]:
        if isinstance(answer, bytes):
            return [_OUTCOMES[letter] for letter in answer]
        if answer is None:
            return [
                StorageError(
                    f"{self.label} were lost, marked, or came to another run of the server: what "
                    "was asked before that was noticed is refused"
                )
            ] * count
        if isinstance(answer, OutOfMemoryError):
            return [Outcome.FULL] * count
        return [_failure(self.label, answer)] * count

    async def _adopt(
        self, known: _Memory, *, marked_ms: int | None = None, deadline: float | None = None
    ) -> None:
        """Learn what a memory is called now, or give it a new name if it may lack something."""
        async with self._adopting[known.tag]:
            current = self._memories[known.tag]
            if current.id != known.id and marked_ms is None:
                return  # somebody was faster
            command = _ADOPT.call(
                [known.key],
                RUN_ID,
                secrets.token_bytes(16),
                now_or_clock(marked_ms),
                int(marked_ms is not None),
            )
            (answer,) = await self._topology.ask(
                known.key, [command], writes=True, deadline=deadline
            )
            if not isinstance(answer, list):
                raise _failure(self.label, answer)
            self._memories[known.tag] = _Memory(known.tag, known.key, answer[0], int(answer[1]))

    async def _ask_all(self, commands: Sequence[Command]) -> list[int]:
        """Send a command to every memory and return the numbers that they answer."""
        keyed = zip(self._memories, commands, strict=True)
        answers = await self._topology.ask_each([(one.key, [command]) for one, command in keyed])
        numbers: list[int] = []
        for (answer,) in answers:
            if not isinstance(answer, int):
                raise _failure(self.label, answer)
            numbers.append(answer)
        return numbers


def _admit(memory: _Memory, questions: Sequence[_Question]) -> Command:
    """Return the command that admits nonces to a memory."""
    buckets: dict[int, int] = {}  # number -> its place among the keys, from 1
    packed = bytearray()
    for _, key, end_ms in questions:
        number = end_ms // BUCKET_MS
        into_ms = end_ms - number * BUCKET_MS
        bucket = buckets.setdefault(number, len(buckets) + 1)
        neighbour = 0
        if into_ms < MAX_DIVERGENCE_MS:
            neighbour = buckets.setdefault(number - 1, len(buckets) + 1)
        elif into_ms >= BUCKET_MS - MAX_DIVERGENCE_MS:
            neighbour = buckets.setdefault(number + 1, len(buckets) + 1)
        packed += _PACKED.pack(key, end_ms, bucket, neighbour)
    keys = [memory.key, *(b"%b:%d" % (memory.key, number) for number in buckets)]
    return _ADMIT.call(keys, RUN_ID, memory.id, bytes(packed), *buckets)


def _failure(label: str, answer: Answer) -> StorageError:
    if isinstance(answer, StorageError):
        return answer
    failure = StorageError(f"{label}: {answer}")
    failure.__cause__ = answer if isinstance(answer, Exception) else None
    return failure
