"""One worker of a server, in a process of its own: it does what it reads from a pipe.

It reads batches of (what to do, bytes), does all of a batch at once, and writes back a list of
(what came of it, bytes). A record is answered with a record.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from typing import TYPE_CHECKING

from sage_native import (
    KeyEncryptionKey,
    ReplaySet,
    ReplayWindowTable,
    Responder,
    SigningKey,
    resolve_did_key,
)
from sage_native.exceptions import SageError
from sage_native.sessions import KeyRing, SessionManager, SessionPolicy
from sage_native.storage.sqlite import SqliteStorage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

__all__ = ["Outcome", "Worker"]

# Processes that start with nothing: what they share, they share by files.
CONTEXT = multiprocessing.get_context("forkserver")

Outcome = tuple[str, bytes]


class Worker:
    """A worker process, seen from the test.

    Args:
        directory: Holds the database and the windows.
        seed: The server's identity.
    """

    def __init__(self, directory: Path, seed: bytes) -> None:
        self._pipe, theirs = CONTEXT.Pipe()
        self.process: ForkServerProcess = CONTEXT.Process(
            target=_serve, args=(theirs, directory, seed), daemon=True
        )
        self.process.start()
        theirs.close()
        assert self._pipe.recv() == "ready"

    def tell(self, *steps: tuple[str, bytes]) -> None:
        """Let it begin, and do not wait."""
        self._pipe.send(steps)

    def hear(self) -> list[Outcome]:
        """Wait for what came of it."""
        assert self._pipe.poll(60), "the worker hangs"
        outcomes: list[Outcome] = self._pipe.recv()
        return outcomes

    def does(self, what: str, data: bytes) -> Outcome:
        self.tell((what, data))
        (outcome,) = self.hear()
        return outcome

    def kill(self) -> None:
        """Kill it as it is."""
        self.process.kill()
        self.process.join()
        self._pipe.close()

    def stop(self) -> None:
        """Let it drain and go."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe.send(None)
        self.process.join(20)
        assert self.process.exitcode == 0, self.process.exitcode
        self._pipe.close()


def _serve(pipe: Connection, directory: Path, seed: bytes) -> None:
    asyncio.run(_work(pipe, directory, seed))


async def _work(pipe: Connection, directory: Path, seed: bytes) -> None:
    responder = Responder(
        SigningKey.from_bytes(seed), resolve=resolve_did_key, admit=ReplaySet(1000).admit
    )
    windows = ReplayWindowTable.open(directory / "windows", capacity=10_000)
    keys = KeyRing(KeyEncryptionKey("kek-1", bytes(32)))
    policy = SessionPolicy(refresh_interval_s=0.1, max_epochs_per_client=1_000_000)
    async with (
        await SqliteStorage.open(directory / "sage.db", timeout_s=30) as storage,
        SessionManager(
            storage.sessions("responder"), keys, policy=policy, windows=windows
        ) as manager,
    ):
        pipe.send("ready")
        while True:
            steps: Sequence[tuple[str, bytes]] | None = await asyncio.to_thread(pipe.recv)
            if steps is None:
                return
            pipe.send(
                await asyncio.gather(
                    *(_done(manager, responder, what, data) for what, data in steps)
                )
            )


async def _done(manager: SessionManager, responder: Responder, what: str, data: bytes) -> Outcome:
    try:
        match what:
            case "initiate":
                request = responder.read(data)
                request.authenticate(resolve_did_key(request.client_did))
                return ("accepted", manager.accept(request)[0])
            case "confirm":
                await manager.confirm(data)
                return ("confirmed", b"")
            case "record":
                session, plaintext = await manager.open(data)
                answer = b"" if session.closed else session.seal(plaintext, answers=data)
                return ("delivered", answer)
            case "rekey":
                return ("rekeyed", await manager.rekey(data))
    except SageError as error:
        return (type(error).__name__, b"")
    raise AssertionError(what)
