"""Events without those that tell how long a store took: what most tests of events ask about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.events import StoreAnswered

if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_native.events import Event

__all__ = ["noting"]


def noting(into: list[Event]) -> Callable[[Event], None]:
    """Return a hook that appends what happens to a list."""

    def note(event: Event) -> None:
        if not isinstance(event, StoreAnswered):
            into.append(event)

    return note
