"""What is known of the moment when something is logged: the request, and what was bound to it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from contextvars import Token
    from typing import Any

__all__ = ["bind", "bound", "current_scope", "unbind"]

current_scope: ContextVar[MutableMapping[str, Any] | None] = ContextVar("sage_scope", default=None)
"""The ASGI scope of the request that is being answered."""
_bound: ContextVar[Mapping[str, object] | None] = ContextVar("sage_bound", default=None)


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
