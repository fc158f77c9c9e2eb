"""The exporter's own requests are no spans: each export would lead to another one."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context as context_api
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Seldom", "unobserved"]


@contextmanager
def unobserved() -> Iterator[None]:
    """Keep instrumentations of HTTP clients from making spans of what is done in here."""
    # Not public, and what every exporter and instrumentation uses.
    token = context_api.attach(context_api.set_value(_SUPPRESS_INSTRUMENTATION_KEY, value=True))
    try:
        yield
    finally:
        context_api.detach(token)


class Seldom(logging.Filter):
    """Lets one line of a logger pass in so many seconds: a receiver that is gone is told, not sung.

    Args:
        interval_s: The time between two lines.
    """

    def __init__(self, interval_s: float) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._next_s = 0.0

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - part of the interface
        """Tell whether it is time for a line."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._interval_s
        return True
