"""What the protocol's steps ask of whoever drives them.

The steps are generators: they yield a command and are sent what came of it. They do no I/O, so one
text of them serves threads and event loops alike (``driving.py``), and tests drive them by hand.

============ ====================================== ==============================
command      what the driver does                   what it sends back
============ ====================================== ==============================
``Call``     one HTTP exchange                      ``Reply``, or throws TransportError
``Pause``    waits                                  None
``Turn``     waits for its turn at a gate           None; who asked must release it
============ ====================================== ==============================
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from sage_client.gate import Gate

__all__ = ["Call", "Command", "Pause", "Reply", "Steps", "Turn", "exchange"]

JSON, RECORD = "application/json", "application/sage-record"


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP exchange: POST of ``content``, or GET where that is None."""

    path: str
    content: bytes | None
    media_type: str
    timeout_s: float
    max_answer_len: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the status, the bare media type in lower case, the body as it came."""

    status: int
    media_type: str
    body: bytes
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so long."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Turn:
    """Wait for a turn, shared with others or alone."""

    gate: Gate
    alone: bool = False


Command: TypeAlias = Call | Pause | Turn
T = TypeVar("T")
Steps: TypeAlias = Generator[Command, Reply | None, T]


def exchange(call: Call) -> Steps[Reply]:
    """Make one call and return its reply. Raises what the driver throws: TransportError."""
    reply = yield call
    if reply is None:
        raise TypeError("a driver answers a Call with a Reply")
    return reply
