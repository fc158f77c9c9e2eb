"""How long stores take, for those who listen: every adapter tells it, and none has to think of it.

The ports have the operations of whoever subclasses them tell `StoreAnswered`. As long as nobody
listens, an operation is called as it is, and no clock is asked.
"""

from __future__ import annotations

import asyncio
import functools
import time
from typing import TYPE_CHECKING, Any, Protocol

from sage_native import events
from sage_native.exceptions import StorageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    class _Store(Protocol):
        kind: str


__all__ = ["tell_times"]


def tell_times(store: type, operations: Iterable[str]) -> None:
    """Have the operations that a class defines tell how long they took.

    Args:
        store: A class of stores with a ``kind``.
        operations: Names of methods that return something to be awaited.
    """
    for name in operations:
        method = vars(store).get(name)
        if method is not None and not getattr(method, "__isabstractmethod__", False):
            setattr(store, name, _telling(method, name))


def _telling(method: Callable[..., Awaitable[Any]], operation: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: _Store, *arguments: object, **named: object) -> Awaitable[Any]:
        if not events.is_heard():
            return method(self, *arguments, **named)
        started_s = time.perf_counter()
        asked = method(self, *arguments, **named)
        if isinstance(asked, asyncio.Future):
            asked.add_done_callback(lambda done: _tell_of(self, operation, started_s, done))
            return asked
        return _told(self, operation, started_s, asked)

    return call


async def _told(
    store: _Store, operation: str, started_s: float, asked: Awaitable[object]
) -> object:
    try:
        answer = await asked
    except StorageError:
        raise  # it gave none
    except Exception:
        _tell(store, operation, started_s)
        raise
    _tell(store, operation, started_s)
    return answer


def _tell_of(store: _Store, operation: str, started_s: float, done: asyncio.Future[object]) -> None:
    if not done.cancelled() and not isinstance(done.exception(), StorageError):
        _tell(store, operation, started_s)


def _tell(store: _Store, operation: str, started_s: float) -> None:
    events.store_answered(
        store.kind, _NAMES.get(operation, operation), time.perf_counter() - started_s
    )


_NAMES = {"begin_create": "create"}
