"""Logs, metrics and traces: back ends that listen to `sage_native.events` and watch requests.

Nothing here is imported by what it watches. It needs the extra ``sage-native[observability]``, and
each back end is imported on first use. `RequestMiddleware` stands around an ASGI application, and
tells any number of observers of each request.
"""

from __future__ import annotations

from sage_native.observability.middleware import (
    ObservedRequest,
    RequestMiddleware,
    RequestObserver,
)

__all__ = ["ObservedRequest", "RequestMiddleware", "RequestObserver"]
