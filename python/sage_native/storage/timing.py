"""How stores fare, for those who listen: every adapter tells it, and none has to think of it.

The ports have the operations of whoever subclasses them tell `StoreAnswered`, or `StoreFailed` if
they raise StorageError for want of an answer. As long as nobody listens, an operation is called as
it is, and no clock is asked.
"""

from __future__ import annotations

import asyncio
import functools
import time
from typing import TYPE_CHECKING, Any, Protocol

from sage_native import events
from sage_native.exceptions import ConflictError, KeyUnavailableError, StorageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from contextvars import Context
    from typing import TypeAlias

    class _Store(Protocol):
        kind: str

    _EachTold: TypeAlias = Callable[[int, BaseException | None], object]


__all__ = ["tell_failure", "tell_times", "tell_times_of_many"]


def tell_times(store: type, operations: Iterable[str]) -> None:
    """Have the operations that a class defines tell how long they took, and that they failed.

    Args:
        store: A class of stores with a ``kind``.
        operations: Names of methods that return something to be awaited.
    """
    for name in operations:
        method = vars(store).get(name)
        if method is not None and not getattr(method, "__isabstractmethod__", False):
            setattr(store, name, _telling(method, name))


def tell_times_of_many(store: type, operation: str) -> None:
    """Have an operation on many things tell of each what `tell_times` would, if a class defines it.

    Args:
        store: As of `tell_times`.
        operation: The name of a method whose second argument is called with a place and what was
            raised, or None, once for each thing. It takes ``contexts``: one for each, or None.
    """
    method = vars(store).get(operation)
    if method is not None:
        setattr(store, operation, _telling_of_each(method, operation))


def tell_failure(store: str, operation: str, error: Exception) -> None:
    """Tell what became of something that is done on a store, unless the store has told it.

    Args:
        store: Which.
        operation: What was to be done.
        error: What was raised.
    """
    if not getattr(error, _TOLD, False):
        events.store_failed(store, operation, error)


def _telling(method: Callable[..., Awaitable[Any]], operation: str) -> Callable[..., Any]:
    told_as = _NAMES.get(operation, operation)

    @functools.wraps(method)
    def call(self: _Store, *arguments: object, **named: object) -> Awaitable[Any]:
        if not events.is_heard(events.StoreAnswered, events.StoreFailed):
            return method(self, *arguments, **named)
        started_s = time.perf_counter()
        try:
            asked = method(self, *arguments, **named)
        except Exception as error:
            _tell_raised(self, told_as, started_s, error)
            raise
        if isinstance(asked, asyncio.Future):
            if asked.done():
                _tell_of(self, told_as, started_s, asked)
            else:
                tell = functools.partial(_tell_of, self, told_as, started_s)
                asked.add_done_callback(tell)
            return asked
        return _told(self, told_as, started_s, asked)

    return call


def _telling_of_each(method: Callable[..., None], operation: str) -> Callable[..., None]:
    told_as = _NAMES.get(operation, operation)

    @functools.wraps(method)
    def call(
        self: _Store,
        things: object,
        told: _EachTold,
        *,
        contexts: Sequence[Context] | None = None,
        **named: object,
    ) -> None:
        if not events.is_heard(events.StoreAnswered, events.StoreFailed):
            return method(self, things, told, contexts=contexts, **named)
        started_s = time.perf_counter()

        def tell(at: int, error: BaseException | None) -> None:
            if error is None:
                _tell(self, told_as, started_s)
            elif contexts is None:
                _tell_raised(self, told_as, started_s, error)
            else:  # a line says which request it was
                contexts[at].run(_tell_raised, self, told_as, started_s, error)
            told(at, error)

        return method(self, things, tell, contexts=contexts, **named)

    return call


async def _told(
    store: _Store, operation: str, started_s: float, asked: Awaitable[object]
) -> object:
    try:
        answer = await asked
    except Exception as error:
        _tell_raised(store, operation, started_s, error)
        raise
    _tell(store, operation, started_s)
    return answer


def _tell_of(store: _Store, operation: str, started_s: float, done: asyncio.Future[object]) -> None:
    if done.cancelled():
        return
    error = done.exception()
    if error is None:
        _tell(store, operation, started_s)
    else:
        _tell_raised(store, operation, started_s, error)


def _tell(store: _Store, operation: str, started_s: float) -> None:
    events.store_answered(store.kind, operation, time.perf_counter() - started_s)


def _tell_raised(store: _Store, operation: str, started_s: float, error: BaseException) -> None:
    # That somebody else was first, or that a key does not fit, is an answer.
    if not isinstance(error, StorageError) or isinstance(error, _ANSWERS):
        _tell(store, operation, started_s)
        return
    called = getattr(store, "label", None)
    if called is None:
        called = f"{store.kind} {getattr(store, 'name', '')}".rstrip()
    events.store_failed(called, operation, error)
    setattr(error, _TOLD, True)


_NAMES = {"begin_create": "create", "begin_create_many": "create"}
_TOLD = "_is_told"
_ANSWERS = (ConflictError, KeyUnavailableError)
