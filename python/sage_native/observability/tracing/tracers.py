"""Who makes the spans of this package: our own tracing, OpenTelemetry's of this process, or nobody.

Without `start_tracing` the spans go wherever the application has sent OpenTelemetry's; an
application that has none pays for a look-up.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sage_native import __version__
from sage_native.observability.pseudonyms import Pseudonyms
from sage_native.observability.tracing.current import current_request_trace

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["forget", "pseudonym_of", "span_tracer", "use"]


class _InUse:
    def __init__(self) -> None:
        self.tracer: Tracer | None = None
        self.pseudonyms = Pseudonyms.random()


_in_use = _InUse()


def use(tracer: Tracer, pseudonyms: Pseudonyms | None) -> None:
    """Make spans with this tracer from now on, and with these pseudonyms if there are any."""
    _in_use.tracer = tracer
    if pseudonyms is not None:
        _in_use.pseudonyms = pseudonyms


def forget(tracer: Tracer) -> None:
    """Make no more spans with this tracer."""
    if _in_use.tracer is tracer:
        _in_use.tracer = None


def span_tracer() -> Tracer | None:
    """Return what makes a span that begins here; None if nobody would get to see it."""
    request = current_request_trace()
    if request is not None and not request.is_sampled:
        return None
    if _in_use.tracer is not None:
        return _in_use.tracer
    api = sys.modules.get("opentelemetry.trace")
    if api is None:  # then nobody can have said where spans go
        return None
    tracer: Tracer = api.get_tracer("sage_native", __version__)
    return tracer


def pseudonym_of(identifier: str) -> str:
    """Return what stands for a DID or a session id in spans."""
    return _in_use.pseudonyms.of(identifier)
