"""Dialogues with a server over kept connections, each with one request at a time under way.

A *dialogue* is a Python generator: it yields a request, is sent the answer, checks it, and yields
the next, until its operation is done. Every dialogue that runs to its end is one operation; an
answer that a dialogue does not like, or a connection that ends, fails the run.

* `Load.run` keeps every connection busy: throughput.
* `Load.paced` begins dialogues at fixed times, whether or not the server keeps up. A latency counts
  from the time at which its dialogue was due, so a slow server cannot hide how long others waited.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, TypeAlias

from .messages import Answer, WrongAnswerError, take

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from typing import Self

Dialogue: TypeAlias = "Generator[bytes, Answer, None]"

_READ_LEN = 1 << 18
_SILENCE_S = 20.0


@dataclass(frozen=True)
class Done:
    """What a run did.

    Attributes:
        count: Dialogues that ran to their end.
        elapsed_ns: From the first request to the last answer.
        latencies_ns: Of each dialogue, from its first request (`Load.paced`: from when it was due)
            to its last answer.
    """

    count: int
    elapsed_ns: int
    latencies_ns: list[int]


class _Connection:
    __slots__ = ("begun_ns", "dialogue", "received", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_SILENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.dialogue: Dialogue | None = None
        self.begun_ns = 0
        self.received = b""

    def is_closed(self) -> bool:
        """Tell whether the server has closed it while nothing was asked."""
        # Nothing was asked, so the only thing to read is the end.
        looking = select.poll()  # of whatever number it is, of which `select` knows 1,024
        looking.register(self.socket, select.POLLIN)
        return bool(looking.poll(0))

    def begin(self, dialogue: Dialogue, begun_ns: int) -> None:
        self.dialogue = dialogue
        self.begun_ns = begun_ns
        self.socket.sendall(next(dialogue))

    def go_on(self) -> bool:
        """Take what has arrived; return whether the dialogue is over."""
        received = self.socket.recv(_READ_LEN)
        if not received:
            raise WrongAnswerError(
                f"the server closed the connection after {self.received[:100]!r}"
            )
        if self.received:
            received = self.received + received
        answer = take(received)
        if answer is None:
            self.received = received
            return False
        self.received = b""
        assert self.dialogue is not None
        try:
            request = self.dialogue.send(answer)
        except StopIteration:
            self.dialogue = None
            return True
        self.socket.sendall(request)
        return False


class Load:
    """Some connections to one server on this machine."""

    def __init__(self, port: int, connection_count: int) -> None:
        self._port = port
        self._connections = [_Connection(port) for _ in range(connection_count)]
        self._poll = select.epoll()
        self._by_number: dict[int, _Connection] = {}
        for one in self._connections:
            self._watch(one)

    def refresh(self) -> None:
        """Open anew what the server has closed; servers do that to connections that are silent."""
        for at, one in enumerate(self._connections):
            if one.is_closed():
                self._poll.unregister(one.socket)
                del self._by_number[one.socket.fileno()]
                one.socket.close()
                self._connections[at] = _Connection(self._port)
                self._watch(self._connections[at])

    def run(self, dialogues: Iterable[Dialogue]) -> Done:
        """Run all dialogues, as many at once as there are connections."""
        waiting = iter(dialogues)
        latencies_ns: list[int] = []
        start_ns = perf_counter_ns()
        busy_count = sum(self._begin_next(one, waiting) for one in self._connections)
        while busy_count:
            for one in self._ready(_SILENCE_S):
                if one.go_on():
                    latencies_ns.append(perf_counter_ns() - one.begun_ns)
                    busy_count -= not self._begin_next(one, waiting)
        return Done(len(latencies_ns), perf_counter_ns() - start_ns, latencies_ns)

    def paced(self, dialogues: Iterable[Dialogue], each_s: float) -> Done:
        """Begin a dialogue every ``each_s`` seconds."""
        each_ns = int(each_s * 1e9)
        waiting, idle, busy_count = iter(dialogues), deque(self._connections), 0
        latencies_ns: list[int] = []
        start_ns = due_ns = perf_counter_ns()
        following = next(waiting, None)
        while following is not None or busy_count:
            now_ns = perf_counter_ns()
            while following is not None and idle and due_ns <= now_ns:
                idle.popleft().begin(following, due_ns)
                busy_count += 1
                due_ns += each_ns
                following = next(waiting, None)
            # What waits is this core alone: it spins, since a pause of epoll lasts whole ms.
            must_wait = following is None or not idle
            for one in self._ready(_SILENCE_S if must_wait else 0.0, may_be_silent=not must_wait):
                if one.go_on():
                    latencies_ns.append(perf_counter_ns() - one.begun_ns)
                    idle.append(one)
                    busy_count -= 1
        return Done(len(latencies_ns), perf_counter_ns() - start_ns, latencies_ns)

    def close(self) -> None:
        """Close the connections."""
        self._poll.close()
        for one in self._connections:
            one.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _watch(self, one: _Connection) -> None:
        self._by_number[one.socket.fileno()] = one
        self._poll.register(one.socket, select.EPOLLIN)

    def _begin_next(self, one: _Connection, waiting: Iterator[Dialogue]) -> bool:
        dialogue = next(waiting, None)
        if dialogue is None:
            return False
        one.begin(dialogue, perf_counter_ns())
        return True

    def _ready(self, timeout_s: float, *, may_be_silent: bool = False) -> list[_Connection]:
        events = self._poll.poll(timeout_s)
        if not events and not may_be_silent:
            raise WrongAnswerError(f"no answer within {timeout_s} s")
        return [self._by_number[number] for number, _ in events]
