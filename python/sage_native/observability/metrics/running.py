"""The metrics that were started in this process, for those who have numbers to add to them.

It is imported where nobody may have started any, so it imports nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sage_native.observability.metrics.starting import Metrics

__all__ = ["running_metrics"]


class _Running:
    metrics: Metrics | None = None


running = _Running()


def running_metrics() -> Metrics | None:
    """Return the metrics of this process; None if they were not started."""
    return running.metrics
