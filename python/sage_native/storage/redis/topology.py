"""Which server holds which key: one server, or a cluster that shares 16,384 slots.

A cluster says by itself who serves a slot. Its answer is kept until a server says that a slot has
moved, or fails; then the next call asks again. A command that was refused because its slot has
moved was not carried out, and is sent once more. While a slot is on its way from one server to
another, what touches it is refused (ASK, TRYAGAIN): half of its keys are elsewhere.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError, TryAgainError

from sage_native.exceptions import ConfigurationError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sage_native.storage.redis.connection import Answer, Command, Server

__all__ = ["Cluster", "Single", "Topology"]


class Topology(ABC):
    """Finds servers, and lets calls end in time.

    Args:
        label: What the whole is called in errors.
        timeout_s: When a call is given up, in seconds.

    Attributes:
        tag_count: Over how many hash tags nonces are spread.
    """

    tag_count: int

    def __init__(self, *, label: str, timeout_s: float) -> None:
        self.label = label
        self.timeout_s = timeout_s

    @abstractmethod
    async def server_of(self, key: bytes, *, deadline: float) -> Server:
        """Return the server of a key."""

    @abstractmethod
    async def servers(self, *, deadline: float) -> Sequence[Server]:
        """Return all servers that hold keys."""

    @abstractmethod
    def suspect(self, failure: object) -> bool:
        """Note a failure that may mean another topology; True if the command may be sent again."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close every connection."""

    def deadline(self) -> float:
        """Return when a call that begins now is given up, in the event loop's time."""
        return asyncio.get_running_loop().time() + self.timeout_s

    async def ask(
        self,
        key: bytes,
        commands: Sequence[Command],
        *,
        writes: bool = False,
        deadline: float | None = None,
    ) -> list[Answer]:
        """Send commands on keys of one slot on one connection, and return their answers in order.

        Args:
            key: Any of their keys.
            commands: Each with its name first.
            writes: Whether replicas are waited for.
            deadline: When to give up, in the event loop's time; as `deadline` says if left out.

        Returns:
            An answer each; a refusal is an exception in its place.

        Raises:
            StorageError: No answer in time, or none at all; the outcome is unknown.
        """
        deadline = self.deadline() if deadline is None else deadline
        for last in (False, True):
            try:
                server = await self.server_of(key, deadline=deadline)
                answers = await server.exchange(commands, deadline=deadline, writes=writes)
            except StorageError as error:
                self.suspect(error)
                raise
            except ConfigurationError as error:
                self.suspect(error)
                raise StorageError(str(error)) from error
            # They are of one slot, so that all are sent away or none.
            if last or not any(self.suspect(answer) for answer in answers):
                return answers
        raise AssertionError  # pragma: no cover

    async def ask_each(
        self, calls: Iterable[tuple[bytes, Sequence[Command]]], *, writes: bool = False
    ) -> list[list[Answer]]:
        """Send several groups of commands at once, each to the server of its key.

        Returns:
            The answers of each group; of a group that failed, its StorageError for every command.
        """
        groups = list(calls)
        results = await asyncio.gather(
            *(self.ask(key, commands, writes=writes) for key, commands in groups),
            return_exceptions=True,
        )
        answers: list[list[Answer]] = []
        for (_, commands), result in zip(groups, results, strict=True):
            if isinstance(result, StorageError):
                answers.append([result] * len(commands))
            elif isinstance(result, BaseException):
                raise result
            else:
                answers.append(result)
        return answers


class Single(Topology):
    """One server that holds every key."""

    tag_count = 1

    def __init__(self, server: Server, *, timeout_s: float) -> None:
        super().__init__(label=server.label, timeout_s=timeout_s)
        self._server = server

    async def server_of(self, key: bytes, *, deadline: float) -> Server:  # noqa: ARG002
        return self._server

    async def servers(self, *, deadline: float) -> Sequence[Server]:  # noqa: ARG002
        return [self._server]

    def suspect(self, failure: object) -> bool:  # noqa: ARG002
        return False

    async def aclose(self) -> None:
        await self._server.aclose()


class Cluster(Topology):
    """Servers that share the slots.

    Args:
        connect: Makes the server of a host and port.
        host: Of a first node to ask.
        port: Of it.
        label: What the whole is called in errors.
        timeout_s: When a call is given up, in seconds.
    """

    # Enough for sixteen servers to share the nonces; each tag is a batch of its own.
    tag_count = 16

    def __init__(
        self,
        connect: Callable[[str, int], Server],
        *,
        host: str,
        port: int,
        label: str,
        timeout_s: float,
    ) -> None:
        super().__init__(label=label, timeout_s=timeout_s)
        self._connect = connect
        self._first = (host, port)
        self._nodes: dict[tuple[str, int], Server] = {self._first: connect(host, port)}
        self._retired: list[Server] = []
        self._by_slot: list[Server | None] = []
        self._refreshing = asyncio.Lock()
        self._is_stale = True

    async def server_of(self, key: bytes, *, deadline: float) -> Server:
        await self._refresh(deadline)
        server = self._by_slot[key_slot(key)]
        if server is None:
            self._is_stale = True
            raise StorageError(f"{self.label} has no server for the slot of {key!r}")
        return server

    async def servers(self, *, deadline: float) -> Sequence[Server]:
        await self._refresh(deadline)
        return [server for server in set(self._by_slot) if server is not None]

    def suspect(self, failure: object) -> bool:
        moved = isinstance(failure, MovedError)
        # MovedError is an AskError in redis-py.
        if moved or isinstance(
            failure,
            AskError | TryAgainError | ClusterDownError | StorageError | ConfigurationError,
        ):
            self._is_stale = True
        return moved

    async def aclose(self) -> None:
        for server in (*self._nodes.values(), *self._retired):
            await server.aclose()

    def _is_fresh(self) -> bool:
        return not self._is_stale

    async def _refresh(self, deadline: float) -> None:
        if self._is_fresh():
            return
        async with self._refreshing:
            if self._is_fresh():  # somebody was faster
                return
            found = await self._ask_for_slots(deadline)
            wanted = {self._first} | {address for _, _, address in found}
            for address in wanted - self._nodes.keys():
                self._nodes[address] = self._connect(*address)
            for address in self._nodes.keys() - wanted:
                self._retired.append(self._nodes.pop(address))
            by_slot: list[Server | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
            for first, last, address in found:
                by_slot[first : last + 1] = [self._nodes[address]] * (last + 1 - first)
            self._by_slot = by_slot
            self._is_stale = False

    async def _ask_for_slots(self, deadline: float) -> list[tuple[int, int, tuple[str, int]]]:
        """Ask every node that is known, and take the first answer."""
        questions = {
            asyncio.create_task(_slots_of(address, server, deadline))
            for address, server in self._nodes.items()
        }
        failure: BaseException | None = None
        try:
            for question in asyncio.as_completed(questions):
                try:
                    return await question
                except (StorageError, ConfigurationError) as error:
                    failure = error
        finally:
            for task in questions:
                task.cancel()
            await asyncio.gather(*questions, return_exceptions=True)
        if isinstance(failure, ConfigurationError):
            raise failure
        raise StorageError(f"no node of {self.label} tells who serves which slots") from failure


async def _slots_of(
    address: tuple[str, int], server: Server, deadline: float
) -> list[tuple[int, int, tuple[str, int]]]:
    (answer,) = await server.exchange([("CLUSTER", "SLOTS")], deadline=deadline)
    if isinstance(answer, ResponseError | StorageError):
        raise StorageError(f"{server.label} tells no slots: {answer}") from answer
    found = []
    for first, last, (host, port, *_), *_ in answer:
        name = host.decode() if host else ""
        # A node that knows no name for itself means the one it was asked under.
        found.append((first, last, (name if name not in {"", "?"} else address[0], port)))
    return found
