"""What sessions take in the memory of a server: the growth of its processes, all of it.

Every session is made over HTTP and used once. The first ones are not counted: they make what is
made once. Half-open entries have died before the memory is read again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .agents import echoes
from .load import Load

if TYPE_CHECKING:
    from .contenders import Contender

_CONNECTION_COUNT = 16
_BATCH_LEN = 500
_HALF_OPEN_S = 11.0


@dataclass(frozen=True)
class MemoryUse:
    """What each of so many sessions takes in one server, in bytes."""

    server: str
    session_count: int
    each_len: float


def memory_use(contender: Contender, session_count: int) -> MemoryUse:
    """Make sessions, and see by how much the server's processes grow."""
    with Load(contender.server.port, _CONNECTION_COUNT) as load:
        _make(contender, load, _BATCH_LEN)
        before_len = contender.server.resident_len()
        for _ in range(0, session_count, _BATCH_LEN):
            _make(contender, load, _BATCH_LEN)
        time.sleep(_HALF_OPEN_S)
        load.refresh()
        _make(contender, load, _CONNECTION_COUNT)
    grown_len = contender.server.resident_len() - before_len
    return MemoryUse(contender.server.name, session_count, round(grown_len / session_count, 1))


def _make(contender: Contender, load: Load, count: int) -> None:
    clients = contender.clients
    clients.sessions.clear()
    load.run(clients.handshakes(count))
    load.run(list(echoes(clients.sessions, b"", count)))
    clients.sessions.clear()
