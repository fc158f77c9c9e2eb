"""Rows 15 and 16: the gateway over HTTP, and what one of its requests costs.

The time of a side is the CPU time that its server's processes used, all threads of all workers, as
the kernel counts it: "per core" means per second of that. Servers and generator are on cores of
their own, and every side of a row has the same connections and, in row 16, the same bytes.

Two processes that run the same differ by some percent: how their names fall into dictionaries, and
their memory into caches. So in rows with a line there are three of each, which take turns.

* *Row 15*: M1 and M3, each a request. The session is in the SQLite file when M3 is answered, on
  both sides, and on disk (WAL, ``synchronous = FULL``). M1s are made before the slice.
* *Row 16*: a record of 64 bytes, sealed before, its answer echoed and sealed, beside a handler that
  answers a constant on the same server with the same options. Two of those: one that reads the body
  of its request, as whoever opens it must, and one that does not even do that.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from benches.ratios import backends
from benches.ratios.http import contenders
from benches.ratios.http.agents import RECORD, echoes, same
from benches.ratios.http.cpu import Cores, pinned
from benches.ratios.http.load import Load
from benches.ratios.http.messages import post
from benches.ratios.sides import Row, Side, by_turns
from sage_native.gateway.worker import raise_open_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benches.ratios.http.contenders import Contender
    from benches.ratios.http.load import Dialogue
    from benches.ratios.http.servers import Server
    from benches.ratios.sides import Arguments
    from sage_native.protocol import Session

Routes: TypeAlias = Literal["fastapi", "starlette"]

_FRAMEWORKS: dict[Routes, str] = {"fastapi": "FastAPI", "starlette": "bare Starlette"}
CONNECTION_COUNT = 48
HANDSHAKE_COUNT, RECORD_COUNT = 48, 960
"""Operations of one call."""
SERVER_COUNT = 3
"""Servers of each kind, which take turns in the rows with a line."""
SESSION_COUNT = 96
WARM_UP_COUNT = 4
"""Handshakes of each client before the first slice: after three of them ours expands its key."""
PLAINTEXT = bytes(64)
_RECORD_LEN = 64 + len(PLAINTEXT)
_SOME_PATH = "/v1/sessions/01234567-89ab-cdef-0123-456789abcdef/messages"


@cache
def scratch() -> Path:
    """Return a directory for the state of servers; it is gone when the run is over."""
    directory = tempfile.TemporaryDirectory(prefix="sage-bench-")
    backends.at_close(directory.cleanup)
    backends.at_close(_forget)
    return Path(directory.name)


def _forget() -> None:
    for made in (scratch, _ours, _peer, _hello, _load, _sessions, _warm_up):
        made.cache_clear()


@cache
def _ours(workers: int, number: int) -> Contender:
    started = contenders.ours(scratch() / f"ours-{workers}-{number}", workers=workers)
    backends.at_close(started.server.stop)
    return started


@cache
def _peer(workers: int, routes: Routes, number: int) -> Contender:
    directory = scratch() / f"peer-{workers}-{routes}-{number}"
    started = contenders.peer(directory, workers=workers, routes=routes)
    backends.at_close(started.server.stop)
    return started


@cache
def _hello(handler: str, workers: int, number: int) -> Server:
    directory = scratch() / f"{handler}-{workers}-{number}"
    started = contenders.hello(directory, handler, workers=workers)
    backends.at_close(started.stop)
    return started


@cache
def _load(server: Server) -> Load:
    # Those of all rows stay open: more than the 1,024 that many systems begin with.
    raise_open_files()
    load = Load(server.port, CONNECTION_COUNT)
    backends.at_close(load.close)
    return load


def _side(server: Server, dialogues: Callable[[], Iterator[Dialogue]], count: int) -> Side:
    load, cores = _load(server), Cores.split()

    def prepare(call_count: int) -> Iterator[Arguments]:
        load.refresh()
        return ((list(dialogues()),) for _ in range(call_count))

    def run(made: list[Dialogue]) -> int:
        with pinned(cores.generator):
            return load.run(made).count

    return Side(run, prepare, count, waits=True, clock=server.cpu_ns)


def _handshakes(contender: Contender) -> Side:
    clients = contender.clients
    _warm_up(contender)

    def dialogues() -> Iterator[Dialogue]:
        clients.sessions.clear()
        return iter(clients.handshakes(HANDSHAKE_COUNT))

    return _side(contender.server, dialogues, HANDSHAKE_COUNT)


@cache
def _warm_up(contender: Contender) -> None:
    load = _load(contender.server)
    for _ in range(WARM_UP_COUNT):
        made = contender.clients.handshakes(len(contender.clients.registered))
        load.refresh()
        load.run(made)
    contender.clients.sessions.clear()


@cache
def _sessions(contender: Contender) -> list[Session]:
    _load(contender.server).refresh()
    _load(contender.server).run(contender.clients.handshakes(SESSION_COUNT))
    sessions = contender.clients.sessions.copy()
    contender.clients.sessions.clear()
    return sessions


def records(contender: Contender, count: int = RECORD_COUNT) -> Side:
    """Send so many records to a gateway of ours, and look at their echoes."""
    sessions = _sessions(contender)
    return _side(contender.server, lambda: echoes(sessions, PLAINTEXT, count), count)


def _greetings(server: Server) -> Side:
    request = post(_SOME_PATH, bytes(_RECORD_LEN), RECORD)
    return _side(server, lambda: same(request, RECORD_COUNT), RECORD_COUNT)


def _row_15(workers: int, routes: Routes = "fastapi") -> Row:
    operation = f"Gateway handshake over HTTP, {_in_words(workers)}"
    name = f"the same protocol on {_FRAMEWORKS[routes]}, uvicorn and pyca"

    has_line = workers == 1 and routes == "fastapi"
    count = SERVER_COUNT if has_line else 1

    def sides() -> tuple[Side, Side]:
        return (
            by_turns(lambda number: _handshakes(_ours(workers, number)), count),
            by_turns(lambda number: _handshakes(_peer(workers, routes, number)), count),
        )

    if has_line:
        return Row(15, operation, name, sides, 4, 8)
    return Row(15, operation, name, sides, standing="beside")


def _row_16(workers: int, handler: str) -> Row:
    reads = "reads its request" if handler == "reading" else "reads nothing"
    operation = f"Gateway record request, 64 B, {_in_words(workers)}"
    name = f"hello world that {reads}, same server"

    has_line = workers == 1 and handler == "reading"
    count = SERVER_COUNT if has_line else 1

    def sides() -> tuple[Side, Side]:
        return (
            by_turns(lambda number: records(_ours(workers, number)), count),
            by_turns(lambda number: _greetings(_hello(handler, workers, number)), count),
        )

    if has_line:
        return Row(16, operation, name, sides, 0.6, 0.92)
    return Row(16, operation, name, sides, standing="beside")


def _in_words(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


ROWS = (
    _row_15(1),
    _row_15(1, "starlette"),
    _row_15(2),
    _row_16(1, "reading"),
    _row_16(1, "plain"),
    _row_16(2, "reading"),
)
