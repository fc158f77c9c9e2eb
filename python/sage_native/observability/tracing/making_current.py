"""The shortest way to make a context of OpenTelemetry the current one.

``opentelemetry.context.attach`` passes four functions until it sets a variable of Python's own
contexts, and for one request in a hundred none of them is in a cache. Which variable that is can be
seen from outside, so it is looked for once. Where it is not found, since OpenTelemetry was told to
keep its contexts elsewhere, ``attach`` itself is called.
"""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, set_span_in_context

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SPAN_IN_CONTEXT", "make_current"]

(SPAN_IN_CONTEXT,) = set_span_in_context(INVALID_SPAN, Context())
"""The key of the current span in a context of OpenTelemetry."""


def _setter() -> Callable[[Context], object]:
    """Return what makes a context the current one."""
    probe, other = Context(), Context()
    place = contextvars.Context()
    place.run(context_api.attach, probe)
    for variable, value in place.items():
        if value is probe:
            place.run(variable.set, other)
            if place.run(context_api.get_current) is other:
                setter: Callable[[Context], object] = variable.set
                return setter
    return context_api.attach


make_current = _setter()
"""Make a context the current one here, until something else does."""
