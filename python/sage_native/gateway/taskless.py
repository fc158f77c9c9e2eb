"""Coroutines that run without a task.

A task of its own costs a request some microseconds: it is made, put into the event loop's queue,
entered in the list of all tasks and taken out again. Where little is waited for that buys nothing:
the coroutine can be driven from where the request arrived, and later from where the answer does
that it waits for.

Who runs like that has no current task: `asyncio.timeout` refuses it, and it cannot be cancelled.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["run_taskless"]

T = TypeVar("T")


def run_taskless(
    coroutine: Coroutine[Any, Any, T], done: Callable[[T | None, BaseException | None], object]
) -> None:
    """Run a coroutine as far as it comes, and go on whenever what it waits for is done.

    Args:
        coroutine: It may wait for futures of the running loop, and for whatever waits for such.
        done: Called once, perhaps before this returns, with what it returned and None, or with None
            and what it raised.

    Cost: 0.2 µs if it waits for nothing.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration as ended:
        done(ended.value, None)
    except BaseException as error:  # noqa: BLE001 - handed on
        done(None, error)
    else:
        _Waiting(coroutine, done).wait_for(waits_for)


class _Waiting(Generic[T]):
    __slots__ = ("_coroutine", "_done")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, T],
        done: Callable[[T | None, BaseException | None], object],
    ) -> None:
        self._coroutine = coroutine
        self._done = done

    def wait_for(self, what: Any) -> None:  # noqa: ANN401 - what coroutines hand to their loop
        if what is None:  # one turn of the loop
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            # The two steps of a task: the future was told that somebody would wait.
            what._asyncio_future_blocking = False  # noqa: SLF001
            what.add_done_callback(self._go_on)

    def _go_on(self, _: object = None) -> None:
        # The future itself returns or raises what became of it.
        run_taskless(self._coroutine, self._done)
