"""How long requests take at a moderate, fixed load.

Dialogues begin at fixed times whether or not the server keeps up, and their latency counts from
when they were due. The servers take turns, a second each, so that all meet the same machine.

A handshake is two requests, with the client's own work in between: about 0.1 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benches.ratios.statistics import percentile

from .agents import echoes
from .load import Load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .contenders import Contender
    from .load import Dialogue

CONNECTION_COUNT = 32
HANDSHAKES_PER_S, RECORDS_PER_S = 200, 1_000
PLAINTEXT = bytes(64)
SESSION_COUNT = 64
_TURN_S = 1.0


@dataclass(frozen=True)
class Latency:
    """One line: an operation of one server under one load, in ms."""

    server: str
    operation: str
    worker_count: int
    rate_per_s: int
    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


def latencies(
    contenders: Sequence[Contender], *, worker_count: int, turn_count: int
) -> list[Latency]:
    """Measure handshakes, then records, of all servers in turn."""
    loads = [Load(one.server.port, CONNECTION_COUNT) for one in contenders]
    try:
        return [
            *_handshakes(contenders, loads, worker_count, turn_count),
            *_records(contenders, loads, worker_count, turn_count),
        ]
    finally:
        for load in loads:
            load.close()


def _handshakes(
    contenders: Sequence[Contender], loads: Sequence[Load], worker_count: int, turn_count: int
) -> Iterable[Latency]:
    def dialogues(contender: Contender) -> Iterable[Dialogue]:
        return contender.clients.handshakes(int(HANDSHAKES_PER_S * _TURN_S))

    return _in_turn(
        contenders, loads, dialogues, ("handshake", worker_count, HANDSHAKES_PER_S), turn_count
    )


def _records(
    contenders: Sequence[Contender], loads: Sequence[Load], worker_count: int, turn_count: int
) -> Iterable[Latency]:
    # A session is served by the worker that made it; the peer's workers share none.
    is_shared = worker_count == 1
    chosen = [one for one in contenders if is_shared or one.server.name == "our gateway"]

    def dialogues(contender: Contender) -> Iterable[Dialogue]:
        sessions = contender.clients.sessions[:SESSION_COUNT]
        return list(echoes(sessions, PLAINTEXT, int(RECORDS_PER_S * _TURN_S)))

    wanted = [loads[contenders.index(one)] for one in chosen]
    return _in_turn(
        chosen, wanted, dialogues, ("record, 64 B", worker_count, RECORDS_PER_S), turn_count
    )


def _in_turn(
    contenders: Sequence[Contender],
    loads: Sequence[Load],
    dialogues: Callable[[Contender], Iterable[Dialogue]],
    what: tuple[str, int, int],
    turn_count: int,
) -> Iterable[Latency]:
    operation, worker_count, rate_per_s = what
    taken_ns: list[list[int]] = [[] for _ in contenders]
    for turn in range(turn_count + 1):
        for contender, load, latencies_ns in zip(contenders, loads, taken_ns, strict=True):
            made = dialogues(contender)
            load.refresh()
            done = load.paced(made, 1 / rate_per_s)
            if turn:  # the first one warms up
                latencies_ns.extend(done.latencies_ns)
    for contender, latencies_ns in zip(contenders, taken_ns, strict=True):
        percentiles_ms = [percentile(latencies_ns, share) / 1e6 for share in (0.5, 0.95, 0.99)]
        yield Latency(
            contender.server.name,
            operation,
            worker_count,
            rate_per_s,
            len(latencies_ns),
            *(round(ms, 3) for ms in percentiles_ms),
        )
