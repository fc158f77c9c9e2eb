"""What the metrics listener serves: ``/metrics``, and nothing else.

Its process holds no key and no session. It adds up what the workers have written, and opens the
store and the memory of this machine to say how much is in them.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from sage_native.gateway.gateway import SESSION_STORE
from sage_native.gateway.measuring import StoreGauges
from sage_native.gateway.state import StateDirectory
from sage_native.gateway.stores import open_nonces, open_store
from sage_native.observability.metrics.running import running_metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from sage_native.config import Settings

__all__ = ["METRICS_PATH", "create_metrics_app"]

METRICS_PATH: Final = "/metrics"


def create_metrics_app(settings: Settings) -> ASGIApp:
    """Make the application of the metrics listener; the metrics of this process are started."""
    metrics = running_metrics()
    assert metrics is not None  # noqa: S101 - `Observing` starts them

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with _opened(settings) as gauges:
            end = metrics.ask_at_scrape(gauges)
            yield
            end()

    app = Starlette(
        routes=[Route(METRICS_PATH, metrics.app)],
        exception_handlers={404: _not_found},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


@contextlib.asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[StoreGauges]:
    """Open what is to be asked: the store, and the memory of this machine."""
    async with await open_store(settings) as storage:
        nonces = open_nonces(settings, StateDirectory(settings.state_dir), storage)
        # A store in memory is each process's own, and this one's is empty.
        is_own = settings.storage.url.startswith("memory:")
        yield StoreGauges(None if is_own else storage.sessions(SESSION_STORE), nonces)


async def _not_found(_request: Request, _error: Exception) -> Response:
    return Response(status_code=404)
