"""Half-open sessions of other workers: who has one, and how he is handed what came here for it.

A half-open session lives in the worker that answered its M1 and is stored nowhere. The M3, or the
first record, may come over another connection and so to another worker. Then it is handed over:

::

    M1 ─▶ worker A ──marks──▶ half-open.table (shared)
    M3 ─▶ worker B ──finds A──▶ A's socket ─▶ worker A confirms, and stores the session

The table is a file that all workers map: a place for each session id, with the id, the process and
the time. Places are written without a lock. Whoever reads a place that is half written, or was
taken by another session, finds nothing or asks the wrong worker, and the client begins anew, as it
would without a table. A stranger's invented id is in no place and costs one look.

What is handed over is what the client sent. The other worker checks it as if it had come to him.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import os
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sage_native.gateway.answers import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Siblings"]

PLACES = 1 << 16
HALF_OPEN_MS = 10_000
HAND_OVER_S = 5.0
MAX_LEN = 2 << 20

_PLACE = struct.Struct("<16sQII")  # session id, time in ms, process, nothing
_LENGTH = struct.Struct("<cI")
_HAS_PROC = Path("/proc/self/fd").is_dir()
_logger = logging.getLogger("sage_native.gateway")

Kind = bytes
CONFIRMATION: Kind = b"c"
RECORD: Kind = b"r"


class Siblings:
    """The workers of one machine, as far as half-open sessions go.

    Args:
        directory: Private, shared by the workers.
        take: Answers what another worker hands over.
        process: The number of this worker; that of its process if it is left out.
    """

    def __init__(
        self,
        directory: Path,
        take: Callable[[Kind, bytes], Awaitable[Answer]],
        *,
        process: int | None = None,
    ) -> None:
        self._directory = directory
        self._process = os.getpid() if process is None else process
        self._take = take
        self._server: asyncio.Server | None = None
        self._directory_fd = -1
        self._table: mmap.mmap | None = None

    async def start(self) -> None:
        """Map the table and take what others hand over."""
        sockets = self._directory / "workers"
        sockets.mkdir(mode=0o700, exist_ok=True)
        _remove_dead(sockets)
        descriptor = os.open(
            self._directory / "half-open.table", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            os.ftruncate(descriptor, PLACES * _PLACE.size)
            self._table = mmap.mmap(descriptor, PLACES * _PLACE.size)
        finally:
            os.close(descriptor)
        self._directory_fd = os.open(sockets, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        (sockets / f"{self._process}.sock").unlink(missing_ok=True)
        try:
            self._server = await asyncio.start_unix_server(
                self._serve, self._short(self._process), limit=MAX_LEN
            )
        except OSError as error:
            # A path too long for a socket, where there is no /proc to shorten it.
            _logger.warning("half-open sessions are not shared with other workers: %s", error)

    async def stop(self) -> None:
        """Take no more."""
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HAND_OVER_S):
                    await self._server.wait_closed()
            (self._directory / "workers" / f"{self._process}.sock").unlink(missing_ok=True)
            self._server = None
        if self._directory_fd >= 0:
            os.close(self._directory_fd)
            self._directory_fd = -1
        if self._table is not None:
            self._table.close()
            self._table = None

    def mark(self, session_id: bytes) -> None:
        """Say that this process has a half-open session.

        Cost: 1 µs.
        """
        if self._table is not None and self._server is not None:
            now_ms = time.time_ns() // 1_000_000
            at = _place_of(session_id)
            _PLACE.pack_into(self._table, at, session_id, now_ms, self._process, 0)

    async def hand_over(self, kind: Kind, session_id: bytes, message: bytes) -> Answer | None:
        """Have the worker answer that has a half-open session.

        Returns:
            His answer; None if no other worker has it, or he does not answer.
        """
        process = self._owner(session_id)
        if process is None:
            return None
        try:
            async with asyncio.timeout(HAND_OVER_S):
                reader, writer = await asyncio.open_unix_connection(
                    self._short(process), limit=MAX_LEN
                )
                try:
                    writer.write(_LENGTH.pack(kind, len(message)) + message)
                    await writer.drain()
                    return msgspec.msgpack.decode(await reader.read(), type=Answer)
                finally:
                    writer.close()
        except (OSError, TimeoutError, msgspec.MsgspecError) as error:
            _logger.warning("worker %d did not take what was handed over: %r", process, error)
            return None

    def _owner(self, session_id: bytes) -> int | None:
        if self._table is None or len(session_id) != 16:
            return None
        marked, at_ms, process, _ = _PLACE.unpack_from(self._table, _place_of(session_id))
        age_ms = time.time_ns() // 1_000_000 - at_ms
        if marked != session_id or process == self._process or not 0 <= age_ms <= HALF_OPEN_MS:
            return None
        return int(process)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            kind, length = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if length <= MAX_LEN:
                answer = await self._take(kind, await reader.readexactly(length))
                writer.write(msgspec.msgpack.encode(answer))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # he has gone
        finally:
            writer.close()

    def _short(self, process: int) -> str:
        """Name a socket within the hundred bytes that its path may have."""
        if _HAS_PROC:
            return f"/proc/self/fd/{self._directory_fd}/{process}.sock"
        return str(self._directory / "workers" / f"{process}.sock")


def _place_of(session_id: bytes) -> int:
    # Ids are random: their first bytes are as good as a hash.
    return int.from_bytes(session_id[:4], "little") % PLACES * _PLACE.size


def _remove_dead(sockets: Path) -> None:
    for path in sockets.glob("*.sock"):
        try:
            os.kill(int(path.stem), 0)
        except (ProcessLookupError, ValueError):
            path.unlink(missing_ok=True)
        except PermissionError:
            continue
