"""What watches a worker of the gateway, as its settings ask for: logs, metrics, traces.

Each kind is a function in `KINDS`. It is handed the settings, the name of the listener and an exit
stack, imports what it needs, and returns the observer of requests, or None if it is switched off.
What must be ended when the worker ends goes onto the stack.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

from sage_native.config import is_feature_enabled
from sage_native.events import subscribe
from sage_native.exceptions import ConfigurationError
from sage_native.gateway.limits import ClientAddresses
from sage_native.gateway.metric_files import PLACE_VARIABLE
from sage_native.gateway.state import StateDirectory
from sage_native.gateway.watch import Watch
from sage_native.observability.middleware import LateObserver, RequestMiddleware
from sage_native.observability.pseudonyms import Pseudonyms

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    from starlette.types import ASGIApp, Scope

    from sage_native.config import Settings
    from sage_native.observability.logging import LogOutput
    from sage_native.observability.middleware import RequestObserver

    Kind: TypeAlias = Callable[[Settings, str, ExitStack], RequestObserver | None]

__all__ = ["KINDS", "Observing", "open_logs", "pseudonyms_of"]

_QUIET_ROUTES = ("/v1/health", "/v1/ready", "/metrics")
"""What load balancers and Prometheus ask all the time."""


def _logged(settings: Settings, listener: str, stack: ExitStack) -> RequestObserver:  # noqa: ARG001 - of a `Kind`
    from sage_native.observability.access import RequestLog  # noqa: PLC0415 - as needed
    from sage_native.observability.event_lines import EventLog  # noqa: PLC0415 - as needed

    pseudonyms = pseudonyms_of(settings)
    log_output = open_logs(settings, pseudonyms)
    stack.callback(log_output.close)
    lines = EventLog(log_output)
    if lines.kinds:
        stack.callback(subscribe(lines, *lines.kinds))
    if settings.logging.audit is not None:
        _audit(settings, settings.logging.audit, stack)
    return RequestLog(log_output, pseudonyms, quiet_routes=_QUIET_ROUTES)


def _audit(settings: Settings, path: Path, stack: ExitStack) -> None:
    from sage_native.observability.audit import AuditLog  # noqa: PLC0415 - as needed

    addresses = ClientAddresses(settings.server.trusted_proxies)
    try:
        audit = AuditLog(str(path), address_of=addresses.full)
    except OSError as error:
        raise ConfigurationError(
            f"logging.audit {path} cannot be written: {error.strerror}"
        ) from error
    stack.callback(audit.close)
    stack.callback(subscribe(audit, *audit.kinds))


def pseudonyms_of(settings: Settings) -> Pseudonyms:
    """Return the pseudonyms of a gateway: those of all its workers on this machine."""
    return Pseudonyms(StateDirectory(settings.state_dir).pseudonym_key())


def open_logs(settings: Settings, pseudonyms: Pseudonyms | None = None) -> LogOutput:
    """Send the logs of this process where the settings say.

    Args:
        settings: They say where and how.
        pseudonyms: Those of the gateway; read from its state directory if they are left out.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    from sage_native.observability.logging import configure_logging  # noqa: PLC0415 - as needed

    logging = settings.logging
    try:
        return configure_logging(
            level=logging.level,
            format=logging.format,
            output=logging.output,
            pseudonyms=pseudonyms_of(settings) if pseudonyms is None else pseudonyms,
        )
    except OSError as error:
        raise ConfigurationError(
            f"logging.output {logging.output} cannot be written: {error.strerror}"
        ) from error


def _traced(settings: Settings, listener: str, stack: ExitStack) -> RequestObserver | None:
    if not is_feature_enabled(settings, "tracing"):
        return None
    from sage_native.observability.tracing import TracingObserver, start_tracing  # noqa: PLC0415

    tracing = settings.tracing
    started = start_tracing(
        tracing.endpoint,
        sample_rate=tracing.sample_rate,
        is_global=True,
        pseudonyms=pseudonyms_of(settings),
    )
    proxies = settings.server.trusted_proxies if tracing.from_proxies else ()
    return TracingObserver(
        stack.enter_context(started),
        listener=listener,
        believes=ClientAddresses(proxies).is_proxy if proxies else None,
        unsampled_paths=_QUIET_ROUTES,
    )


def _measured(settings: Settings, listener: str, stack: ExitStack) -> RequestObserver | None:
    if not is_feature_enabled(settings, "metrics"):
        return None
    from sage_native.observability.metrics import MetricsObserver, start_metrics  # noqa: PLC0415

    is_serving = listener == "metrics"
    metrics = start_metrics(
        listener=None if is_serving else listener,
        place=os.environ.get(PLACE_VARIABLE),
        is_serving=is_serving,
    )
    stack.enter_context(metrics)
    return None if is_serving else MetricsObserver(metrics, listener=listener)


# The first is told first of a request's beginning, and last of its end: what others put into the
# context of a request must be there when its line is written.
KINDS: tuple[Kind, ...] = (_traced, _measured, _logged)


class Observing:
    """Everything that watches one worker. Use it as a context manager, around its server.

    Args:
        settings: They say what is wanted.
        listener: ``public``, ``admin`` or ``metrics``.
    """

    def __init__(self, settings: Settings, listener: str) -> None:
        self._settings = settings
        self._listener = listener
        self._stack = ExitStack()
        self._observers: tuple[RequestObserver, ...] = ()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # The log is opened first and closed last: the others have things to tell at their end.
            found = [kind(self._settings, self._listener, stack) for kind in reversed(KINDS)]
            self._observers = tuple(one for one in reversed(found) if one is not None)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def watch(self, app: ASGIApp) -> Watch | None:
        """Return what the worker's own server tells of the requests of an application.

        Returns:
            None if nobody observes. It must tell a last time before this object is left.
        """
        if not self._observers:
            return None
        from sage_native.observability.tracing import TracingObserver  # noqa: PLC0415 - as needed

        late = [one for one in self._observers if isinstance(one, LateObserver)]
        tracing = [one for one in self._observers if isinstance(one, TracingObserver)]
        watch = Watch(app, late, tracing=tracing[0] if tracing else None, trusts=self._trusts())
        for one in late:
            if hasattr(one, "count_in_flight"):
                one.count_in_flight = lambda: watch.in_flight_count
        self._stack.callback(watch.tell)
        return watch

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return the application as it is observed; itself if nobody observes."""
        if not self._observers:
            return app
        return RequestMiddleware(app, *self._observers, trusts=self._trusts())

    def _trusts(self) -> Callable[[Scope], bool] | None:
        proxies = self._settings.server.trusted_proxies
        return ClientAddresses(proxies).is_proxy if proxies else None
