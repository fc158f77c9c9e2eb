"""Metrics: what happens, counted and served to Prometheus.

::

    metrics = start_metrics()
    application.add_middleware(MetricsMiddleware, metrics=metrics)
    application.add_route("/metrics", metrics.app)

`definitions` has every metric. It needs prometheus-client, of the extra
``sage-native[observability]`` or ``[gateway]``, which is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sage_native.exceptions import ConfigurationError

if TYPE_CHECKING:
    from sage_native.observability.metrics.requests import MetricsMiddleware, MetricsObserver
    from sage_native.observability.metrics.serving import MetricsApp
    from sage_native.observability.metrics.starting import Metrics, start_metrics

__all__ = [
    "Metrics",
    "MetricsApp",
    "MetricsMiddleware",
    "MetricsObserver",
    "check_packages",
    "start_metrics",
]

_HOMES = {
    "Metrics": "starting",
    "MetricsApp": "serving",
    "MetricsMiddleware": "requests",
    "MetricsObserver": "requests",
    "start_metrics": "starting",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_packages()
    return getattr(import_module(f"{__name__}.{home}"), name)


def check_packages() -> None:
    """Tell whether the package that `start_metrics` needs is installed.

    Raises:
        ConfigurationError: It is not. It says how to go on.
    """
    if find_spec("prometheus_client") is None:
        raise ConfigurationError(
            "metrics need prometheus-client: pip install 'sage-native[observability]', "
            "or set metrics.enabled to false"
        )
