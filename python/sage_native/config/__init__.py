"""Settings of a gateway: typed, layered, checked as a whole before anything starts.

::

    settings = load_settings("dev", overrides={"behind.upstream": "http://127.0.0.1:8000"})
    settings.session.max_age  # 3600, in seconds, however it was written
"""

from __future__ import annotations

from sage_native.config.checks import is_placeholder
from sage_native.config.flags import is_feature_enabled
from sage_native.config.loading import Loaded, load, load_settings
from sage_native.config.problems import SettingsError
from sage_native.config.settings import PROFILES, SecretsSettings, Settings

__all__ = [
    "PROFILES",
    "Loaded",
    "SecretsSettings",
    "Settings",
    "SettingsError",
    "is_feature_enabled",
    "is_placeholder",
    "load",
    "load_settings",
]
