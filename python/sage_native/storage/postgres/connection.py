"""Connections, and how a call on one of them ends.

A call is a deed: a function that is handed a connection. It runs in a task of its own, which ends
within ``timeout_s`` whatever the server does. The caller only waits for that task, so a caller who
is cancelled gives up the answer and not the deed, and takes no connection with him. A deed that
still waits for a connection is given up with its caller: nothing is lost with it, and the queue is
for those who wait.

A connection goes back to the pool only after a deed that came to its end: it answered, or the
server refused a statement and no transaction is open. After anything else - a time that is over, a
broken socket, a failure halfway through a transaction - what the connection would say next belongs
to a question that nobody asks any more. It is buried: the server is asked to cancel what it does,
the connection is closed, and its place in the pool is free again within a second. So no answer
crosses over to another caller.

Burying asks the server to cancel because a commit that waits for a standby is stopped by nothing
else, neither by ``statement_timeout`` nor by the end of its client. A commit that is cancelled
there stands, with a warning; deeds that get to see warnings fail.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import asyncpg

from sage_native.exceptions import ConfigurationError, SageError, StorageError
from sage_native.storage.postgres.failures import check_warnings, failure, label_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Self

__all__ = ["Connections"]

Answer = TypeVar("Answer")

_BURIAL_S = 1.0


@dataclass
class _Call(Generic[Answer]):
    deed: Callable[[asyncpg.Connection], Awaitable[Answer]]
    has_begun: bool = False


class Connections:
    """A pool, and the rules above.

    Args:
        dsn: ``postgresql://…``, as asyncpg takes it.
        prepare: Called with each new connection; what it raises is why there is none.
        min_size: Connections that are kept.
        max_size: Connections at the most.
        timeout_s: When a call ends, in seconds, the wait for a connection included.
        acquire_timeout_s: When the wait for a connection ends.
    """

    def __init__(  # noqa: PLR0913 - one limit each
        self,
        dsn: str,
        *,
        prepare: Callable[[asyncpg.Connection], Awaitable[None]],
        min_size: int,
        max_size: int,
        timeout_s: float,
        acquire_timeout_s: float,
    ) -> None:
        self.label = label_of(dsn)
        self.timeout_s = timeout_s
        self._acquire_timeout_s = min(acquire_timeout_s, timeout_s)
        self._prepare = prepare
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._pool = asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            timeout=timeout_s,
            init=self._initialise,
            reset=_leave_as_it_is,
            server_settings=_settings(timeout_s),
        )

    async def open(self) -> Self:
        """Connect for the first time.

        Raises:
            ConfigurationError: The DSN cannot be read, or ``prepare`` refused.
            StorageError: The server was not reached, or refused.
        """
        try:
            async with asyncio.timeout(self.timeout_s * 4):
                await self._pool
        except ValueError:
            # The original quotes what it could not read, which may be a piece of the password.
            raise ConfigurationError(
                "the database URL cannot be read: it is postgresql://user:password@host:port/name, "
                "with signs such as @ : / # in the password written as %40 %3A %2F %23"
            ) from None
        except SageError:
            raise
        except Exception as error:
            raise failure(error, self.label) from error
        return self

    async def run(self, deed: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
        """Do a deed, and wait for its answer.

        Args:
            deed: Called with a connection that is its own until it returns.

        Raises:
            UsageError: The schema does not take a value.
            StorageError: It did not come to its end in time, or failed; outcome unknown.
        """
        if self._closed:
            raise StorageError(f"{self.label} is closed")
        call = _Call(deed)
        task = self._keep(self._bounded(call))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not call.has_begun:
                task.cancel()
            raise

    async def recheck(self) -> None:
        """Prepare a connection again; if it is refused now, make every other one anew.

        Raises:
            StorageError: It was refused, or could not be asked.
        """
        try:
            await self.run(self._prepare)
        except StorageError:
            await self._pool.expire_connections()
            raise

    async def aclose(self) -> None:
        """Wait for what is under way, and disconnect."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)
        try:
            async with asyncio.timeout(self.timeout_s):
                await self._pool.close()
        except Exception:  # noqa: BLE001 - whatever it is, the connections have to go
            self._pool.terminate()

    async def _bounded(self, call: _Call[Answer]) -> Answer:
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._on_a_connection(call)
        except TimeoutError as error:
            raise StorageError(f"{self.label} gave no answer in {self.timeout_s} s") from error
        except ConfigurationError as error:
            # A new connection was refused: to whoever called, a store that fails.
            raise failure(error, self.label) from error
        except SageError:
            raise
        except Exception as error:
            # The driver raises errors of many classes when a connection breaks.
            raise failure(error, self.label) from error

    async def _on_a_connection(self, call: _Call[Answer]) -> Answer:
        connection = await self._acquire()
        call.has_begun = True
        messages: list[asyncpg.PostgresLogMessage] = []

        def listen(_: object, message: asyncpg.PostgresLogMessage) -> None:
            messages.append(message)

        ended = False
        try:
            connection.add_log_listener(listen)
            answer = await call.deed(connection)
            ended = True
        except asyncpg.PostgresError:
            ended = True
            raise
        finally:
            if ended and not connection.is_closed() and not connection.is_in_transaction():
                connection.remove_log_listener(listen)
                # Not waited for: it takes some turns of the loop, and nothing that can fail.
                self._keep(self._pool.release(connection))
            else:
                self._keep(_bury(connection))
        check_warnings(messages, self.label)
        return answer

    async def _acquire(self) -> asyncpg.Connection:
        try:
            async with asyncio.timeout(self._acquire_timeout_s):
                return await self._pool.acquire()
        except TimeoutError as error:
            raise StorageError(
                f"{self.label} has no connection free in {self._acquire_timeout_s} s"
            ) from error

    async def _initialise(self, connection: asyncpg.Connection) -> None:
        try:
            async with asyncio.timeout(self.timeout_s):
                await self._prepare(connection)
        except BaseException:
            # The pool would close it politely, and wait for a server that may be silent.
            connection.terminate()
            raise

    def _keep(self, work: Awaitable[Answer]) -> asyncio.Task[Answer]:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)  # noqa: S101
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen, also where the caller has given up


async def _bury(connection: asyncpg.Connection) -> None:
    with contextlib.suppress(Exception):
        await connection.close(timeout=_BURIAL_S)


async def _leave_as_it_is(_: asyncpg.Connection) -> None:
    """Spare a round trip: no deed leaves anything behind on a connection that goes back."""


def _settings(timeout_s: float) -> dict[str, str]:
    timeout_ms = max(1, round(timeout_s * 1000))
    return {
        "application_name": "sage-native",
        "statement_timeout": f"{timeout_ms}ms",
        "lock_timeout": f"{timeout_ms}ms",
        "idle_in_transaction_session_timeout": f"{timeout_ms}ms",
        # Warnings decide about answers here, and snapshots about nonces: see nonces.py.
        "client_min_messages": "warning",
        "default_transaction_isolation": "read committed",
        "jit": "off",
    }
