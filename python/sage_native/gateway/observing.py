"""What watches a worker of the gateway, as its settings ask for: logs, metrics, traces.

Each kind is a function in `KINDS`. It is handed the settings, the name of the listener and an exit
stack, imports what it needs, and returns the observer of requests, or None if it is switched off.
What must be ended when the worker ends goes onto the stack.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

from sage_native.config import is_feature_enabled
from sage_native.gateway.limits import ClientAddresses
from sage_native.observability.middleware import RequestMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from starlette.types import ASGIApp

    from sage_native.config import Settings
    from sage_native.observability.middleware import RequestObserver

    Kind: TypeAlias = Callable[[Settings, str, ExitStack], RequestObserver | None]

__all__ = ["KINDS", "Observing"]


# The first is told first of a request's beginning, and last of its end: what others put into the
# context of a request must be there when its line is written.
def _traced(settings: Settings, listener: str, stack: ExitStack) -> RequestObserver | None:
    if not is_feature_enabled(settings, "tracing"):
        return None
    from sage_native.observability.tracing import TracingObserver, start_tracing  # noqa: PLC0415

    tracing = settings.tracing
    started = start_tracing(tracing.endpoint, sample_rate=tracing.sample_rate, is_global=True)
    proxies = settings.server.trusted_proxies if tracing.from_proxies else ()
    return TracingObserver(
        stack.enter_context(started),
        listener=listener,
        believes=ClientAddresses(proxies).is_proxy if proxies else None,
        unsampled_paths=("/v1/health", "/v1/ready"),
    )


KINDS: tuple[Kind, ...] = (_traced,)


class Observing:
    """Everything that watches one worker. Use it as a context manager, around its server.

    Args:
        settings: They say what is wanted.
        listener: ``public`` or ``admin``.
    """

    def __init__(self, settings: Settings, listener: str) -> None:
        self._settings = settings
        self._listener = listener
        self._stack = ExitStack()
        self._observers: tuple[RequestObserver, ...] = ()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            found = [kind(self._settings, self._listener, stack) for kind in KINDS]
            self._observers = tuple(one for one in found if one is not None)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return the application as it is observed; itself if nobody observes."""
        if not self._observers:
            return app
        proxies = self._settings.server.trusted_proxies
        trusts = ClientAddresses(proxies).is_proxy if proxies else None
        return RequestMiddleware(app, *self._observers, trusts=trusts)
