"""Processes that use one SQLite file: run with ``python -m tests.integration.sqlite_scripts``."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sage_native.exceptions import (
    CapacityError,
    ConfigurationError,
    ReplayDetectedError,
    StorageError,
)
from sage_native.storage.sqlite import SqliteStorage

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

SCOPE = "did:example:alice"
HORIZON_MS = 3_600_000
PATIENT_S = 60.0


def nonce(number: int) -> bytes:
    """The nonce of a number, the same in every process."""
    return hashlib.sha256(b"%d" % number).digest()[:16]


def until_ms() -> int:
    """An end that no test lives to see."""
    return time.time_ns() // 1_000_000 + HORIZON_MS // 2


async def open_storage(path: Path, *, timeout_s: float = PATIENT_S) -> SqliteStorage:
    """Open a file whose nonces outlive the test, and whose calls outwait a slow machine."""
    return await SqliteStorage.open(path, horizon_ms=HORIZON_MS, timeout_s=timeout_s)


async def present(path: Path, seed: int, *, count: int, crowd: int) -> None:
    """Present all nonces twice in an order of one's own; print those that were accepted."""
    numbers = [*range(count), *range(count)]
    random.Random(seed).shuffle(numbers)
    waiting = iter(numbers)
    storage = await open_storage(path)

    async def worker() -> None:
        for number in waiting:
            try:
                await storage.nonces.admit(SCOPE, nonce(number), until_ms())
            except ReplayDetectedError:
                continue
            # One write for each, so that whoever is killed has printed what was answered.
            os.write(1, b"%d\n" % number)

    async with storage:
        os.write(1, b"ready\n")
        await asyncio.gather(*(worker() for _ in range(crowd)))
    os.write(1, b"done\n")


async def run_out_of_disk(path: Path) -> None:
    """Let the disk have no room for a while; print how many were refused, and accepted twice."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    storage = await open_storage(path, timeout_s=5)
    accepted: list[int] = []

    async def admit(numbers: Sequence[int]) -> int:
        refused = 0
        for number in numbers:
            try:
                await storage.nonces.admit(SCOPE, nonce(number), until_ms())
            except (CapacityError, StorageError):
                refused += 1
            else:
                accepted.append(number)
        return refused

    async with storage:
        assert await admit(range(50)) == 0
        log_len = path.with_name(f"{path.name}-wal").stat().st_size
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (log_len + 40_000, hard))
        refused = await admit(range(100, 200))
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert await admit(range(300, 350)) == 0
        twice = 0
        for number in accepted:
            try:
                await storage.nonces.admit(SCOPE, nonce(number), until_ms())
            except ReplayDetectedError:
                continue
            twice += 1
    sys.stdout.write(f"refused {refused} twice {twice}\n")


async def find_it_read_only(path: Path) -> None:
    """Open a file that this user may not write to, as a user whom that stops."""
    # What it imports may lie where that user cannot go.
    await (await SqliteStorage.open(path.with_name("other.db"))).aclose()
    if os.geteuid() == 0:
        os.chown(path.parent, 65534, 65534)
        os.setgid(65534)
        os.setuid(65534)
    path.touch(0o600)
    path.chmod(0o400)
    try:
        await SqliteStorage.open(path)
    except (ConfigurationError, StorageError) as error:
        sys.stdout.write(f"refused: {error}\n")
    path.chmod(0o600)
    async with await SqliteStorage.open(path) as storage:
        await storage.nonces.admit(SCOPE, nonce(0), time.time_ns() // 1_000_000 + 1000)
    sys.stdout.write("accepted\n")


def fork(path: Path) -> None:
    """Use what was opened before a fork in the child, and go on in the parent."""
    storage = asyncio.run(open_storage(path))
    asyncio.run(storage.nonces.admit(SCOPE, nonce(0), until_ms()))
    child = os.fork()
    if child == 0:
        calls: list[Coroutine[object, object, object]] = [
            storage.nonces.admit(SCOPE, nonce(1), until_ms()),
            storage.sessions().get("0" * 8),
        ]
        for call in calls:
            try:
                asyncio.run(call)
            except StorageError as error:
                os.write(1, f"child: {error}\n".encode())
        asyncio.run(storage.aclose())
        os._exit(0)
    os.waitpid(child, 0)
    asyncio.run(storage.nonces.admit(SCOPE, nonce(2), until_ms()))
    asyncio.run(storage.aclose())
    os.write(1, b"parent goes on\n")


def main(name: str, path: str, *numbers: str) -> None:
    """Run one of them."""
    if name == "fork":
        fork(Path(path))
    elif name == "present":
        seed, count, crowd = map(int, numbers)
        asyncio.run(present(Path(path), seed, count=count, crowd=crowd))
    else:
        scripts = {"full": run_out_of_disk, "read-only": find_it_read_only}
        asyncio.run(scripts[name](Path(path)))


if __name__ == "__main__":
    main(*sys.argv[1:])
