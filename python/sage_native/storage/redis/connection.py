"""Connections to one server, and the exchange of commands for answers.

Theory. Redis answers in order and names no question, so whoever reads one answer too few hands it
to the next caller. An exchange therefore owns its connection from the first byte sent to the last
answer read; if anything else ends it (an error, the deadline, a cancellation), the connection is
closed before it could be lent again. For that reason the commands go straight through redis-py's
connections: its pipelines go on reading after a failed read, its pools wait while they take a
connection back and lose it to a cancellation there, and its clients repeat commands on their own,
which turns a first admission into a replay.

A connection leads to one run of one server for as long as it lives. So what is known of the server
is read when a connection is made, and again after `CHECK_EVERY_S` for what may be set while it
runs; ``run_id`` cannot change in between. A proxy that keeps connections over a restart of the
server behind it breaks this: connect to the server itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError

from sage_native.exceptions import StorageError
from sage_native.storage.redis.facts import QUESTIONS, Facts, read_facts
from sage_native.storage.redis.script import ALL_SCRIPTS, Argument

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

CHECK_EVERY_S = 10.0
RUN_ID: Final = b"\0run id"
"""Stands in a command for the run id of the server that it goes to."""

Command: TypeAlias = "tuple[Argument, ...]"
Answer: TypeAlias = Any
"""What Redis says; a refusal of one command is a ResponseError or StorageError in its place."""


class _Wire(Protocol):
    """What is used of redis-py's connections."""

    @property
    def is_connected(self) -> bool: ...
    async def connect(self) -> None: ...
    async def disconnect(self, nowait: bool = ...) -> None: ...  # noqa: FBT001 - as in redis-py
    async def can_read(self) -> bool: ...
    async def send_packed_command(self, command: bytes, check_health: bool = ...) -> None: ...  # noqa: FBT001
    async def read_response(self) -> Answer: ...


class Line:
    """One connection, and what is known of the server at its other end.

    Args:
        wire: The connection, not yet made.
        taught: Runs of servers that have been told the scripts; shared by all connections.
    """

    def __init__(self, wire: _Wire, taught: set[str]) -> None:
        self._wire = wire
        self._taught = taught
        self._asked_at: float | None = None
        self.facts: Facts | None = None

    async def prepare(self) -> Facts:
        """Connect if there is no good connection, and learn what is not known of late."""
        now = asyncio.get_running_loop().time()
        # Before a question there is nothing to read: what is there is not ours, or is the end.
        if self._wire.is_connected and await self._wire.can_read():
            await self.drop()
        if not self._wire.is_connected:
            self.facts = None
            await self._wire.connect()
        if self.facts is None or self._asked_at is None or now > self._asked_at + CHECK_EVERY_S:
            self.facts = read_facts(*await self._ask(QUESTIONS))
            self._asked_at = now
        if self.facts.run_id not in self._taught:
            await self._load_scripts()
            self._taught.add(self.facts.run_id)
        return self.facts

    async def ask(self, commands: Sequence[Command]) -> list[Answer]:
        """Send commands and read their answers; a refusal stands in its place."""
        run_id = self.facts.run_id if self.facts else ""
        named = [_with_run_id(command, run_id) for command in commands]
        answers = await self._ask(named)
        again = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if again:  # not run: the scripts were flushed
            await self._load_scripts()
            if named[-1][0] == "WAIT":
                again.append(len(named) - 1)
            for at, answer in zip(again, await self._ask([named[at] for at in again]), strict=True):
                answers[at] = answer
        for answer in answers:
            if isinstance(answer, ReadOnlyError):  # it became a replica: leave it
                raise answer
        return answers

    async def drop(self) -> None:
        """Close the connection at once, whatever is under way on it."""
        self.facts = None
        await self._wire.disconnect(nowait=True)

    async def close(self) -> None:
        """Close the connection and wait until it is."""
        with contextlib.suppress(RedisError, OSError):
            await self._wire.disconnect()

    async def _load_scripts(self) -> None:
        for answer in await self._ask([("SCRIPT", "LOAD", one.source) for one in ALL_SCRIPTS]):
            if isinstance(answer, ResponseError):
                raise answer

    async def _ask(self, commands: Sequence[Command]) -> list[Answer]:
        packed = b"".join(map(_packed, commands))
        await self._wire.send_packed_command(packed, check_health=False)
        answers: list[Answer] = []
        for _ in commands:
            try:
                answers.append(await self._wire.read_response())
            except ResponseError as refusal:
                answers.append(refusal)
        return answers


def _packed(command: Command) -> bytes:
    """Return a command as it goes over the wire; redis-py takes twice as long for it."""
    parts = [b"*%d\r\n" % len(command)]
    for part in command:
        data = part if isinstance(part, bytes) else str(part).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def _with_run_id(command: Command, run_id: str) -> Command:
    if command[0] != "EVALSHA":
        return command
    first = 3 + int(command[2])  # after the keys
    if first == len(command) or command[first] is not RUN_ID:
        return command
    return (*command[:first], run_id, *command[first + 1 :])


class Server:
    """One server: at most so many connections to it, made when they are needed.

    Args:
        connect: Makes a connection object, not yet connected.
        label: What the server is called in errors.
        require: Raises if the server may not be used.
        max_connections: The most connections.
        replicas: How many replicas must take a write before it counts.
        wait_ms: How long a write waits for them.

    Attributes:
        facts: What it last said about itself and was found good.
    """

    def __init__(  # noqa: PLR0913 - one setting each
        self,
        connect: Callable[[], _Wire],
        *,
        label: str,
        require: Callable[[Facts, str], None],
        max_connections: int,
        replicas: int,
        wait_ms: int,
    ) -> None:
        self.label = label
        self.facts: Facts | None = None
        self._connect = connect
        self._require = require
        self._limit = max_connections
        self._places = asyncio.Semaphore(max_connections)
        self._free: list[Line] = []
        self._taught: set[str] = set()
        self._wait: Command = ("WAIT", replicas, wait_ms)
        self._replicas = replicas
        self._closed = False
        self._closing = asyncio.Lock()

    async def exchange(
        self, commands: Sequence[Command], *, deadline: float, writes: bool = False
    ) -> list[Answer]:
        """Send commands on one connection and return their answers, in order.

        Args:
            commands: Each with its name first.
            deadline: When to give up, in the event loop's time.
            writes: Whether replicas are waited for.

        Raises:
            StorageError: No answer in time, or none at all; which commands were carried out is
                unknown.
            ConfigurationError: The server may not be used. Nothing was sent.
        """
        if self._closed:
            raise StorageError(f"{self.label} is closed")
        waits = writes and self._replicas > 0
        try:
            async with asyncio.timeout_at(deadline), self._borrow() as line:
                answers = await line.ask([*commands, self._wait] if waits else commands)
        except TimeoutError as error:
            raise StorageError(f"{self.label} gave no answer in time") from error
        except (RedisError, OSError) as error:
            raise StorageError(f"{self.label} failed: {error}") from error
        return self._replicated(answers[:-1], answers[-1]) if waits else answers

    async def aclose(self) -> None:
        """Refuse new exchanges, wait for those under way, and close the connections."""
        self._closed = True
        async with self._closing:  # two that each wait for all places would wait for ever
            for _ in range(self._limit):
                await self._places.acquire()
            while self._free:
                await self._free.pop().close()
            for _ in range(self._limit):
                self._places.release()

    @contextlib.asynccontextmanager
    async def _borrow(self) -> AsyncIterator[Line]:
        async with self._places:
            line = self._free.pop() if self._free else Line(self._connect(), self._taught)
            try:
                facts = await line.prepare()
                if facts is not self.facts:
                    self._require(facts, self.label)
                    self.facts = facts
                yield line
            except BaseException:
                await line.drop()
                self._free.insert(0, line)
                raise
            self._free.append(line)

    def _replicated(self, answers: list[Answer], acknowledged: Answer) -> list[Answer]:
        if isinstance(acknowledged, int) and acknowledged >= self._replicas:
            return answers
        failure = StorageError(
            f"{acknowledged} of {self._replicas} replicas of {self.label} took the write in time"
        )
        return [answer if isinstance(answer, Exception) else failure for answer in answers]
