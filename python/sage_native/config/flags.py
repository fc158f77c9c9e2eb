"""Feature flags: switches that an operator may need at night.

A feature is on when its flag is, and the section that sets it up agrees where there is one. No flag
switches off authentication, the replay checks or the caps on what is at work at once.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from sage_native.config.settings import FeatureSettings
from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    from sage_native.config.settings import Settings

__all__ = ["is_feature_enabled"]


def is_feature_enabled(settings: Settings, name: str) -> bool:
    """Tell whether a feature is on.

    Args:
        settings: The settings in force.
        name: ``tracing``, ``metrics``, ``rate_limiting``, ``cors`` or ``websockets``.

    Raises:
        UsageError: There is no such feature.
    """
    known = tuple(FeatureSettings.model_fields)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"feature {name!r} is unknown; known are: {', '.join(known)}{hint}")
    is_set_up = {"tracing": settings.tracing.enabled, "metrics": settings.metrics.enabled}
    return bool(getattr(settings.features, name)) and is_set_up.get(name, True)
