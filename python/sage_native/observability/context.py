"""What is known of the moment when something is logged: the request, and what was bound to it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, MutableMapping
    from contextvars import Context, Token
    from typing import TypeAlias

    Scope: TypeAlias = MutableMapping[str, Any]

__all__ = [
    "ScopeSource",
    "bind",
    "bound",
    "context_here",
    "current_scope",
    "scope_here",
    "task_with_scope",
    "unbind",
]


class ScopeSource(ABC):
    """Tells which request is at work, where several follow each other and none is named by itself.

    A context variable that is set for each request costs it two microseconds; one that is set for
    each connection, nothing.
    """

    __slots__ = ()

    @abstractmethod
    def scope_here(self) -> Scope | None:
        """Return the scope of the request that is answered by what runs now; None if none is."""


current_scope: ContextVar[Scope | ScopeSource | None] = ContextVar("sage_scope", default=None)
"""The ASGI scope of the request that is being answered, or who knows it: see `scope_here`."""
_bound: ContextVar[Mapping[str, object] | None] = ContextVar("sage_bound", default=None)


def scope_here() -> Scope | None:
    """Return the ASGI scope of the request that is being answered here; None if none is."""
    held = current_scope.get()
    return held.scope_here() if isinstance(held, ScopeSource) else held


def context_here() -> Context:
    """Return a copy of this context which belongs to the request that is answered here.

    For what goes on elsewhere: in a callback of the loop, or a task that is given a context.
    """
    context = copy_context()
    held = current_scope.get()
    if isinstance(held, ScopeSource):
        context.run(current_scope.set, held.scope_here())
    return context


def task_with_scope(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any],
    **options: Any,  # noqa: ANN401 - whatever `asyncio.Task` takes
) -> asyncio.Task[Any]:
    """Make a task that belongs to the request in which it is made: a task factory of a loop."""
    if options.get("context") is None and isinstance(current_scope.get(), ScopeSource):
        options["context"] = context_here()
    return asyncio.Task(coroutine, loop=loop, **options)


def bind(**fields: object) -> Token[Mapping[str, object] | None]:
    """Have fields in every line that is logged from here on, in this task and those it starts.

    Args:
        fields: Names of `sage_native.observability.fields.FIELDS` or of the application's own.

    Returns:
        What `unbind` needs.
    """
    return _bound.set({**(_bound.get() or {}), **fields})


def unbind(token: Token[Mapping[str, object] | None]) -> None:
    """Undo a `bind`, in the task that did it."""
    _bound.reset(token)


def bound() -> Mapping[str, object]:
    """Return what is bound, without what follows from the request itself."""
    return _bound.get() or {}
