"""The JSON Schema of a settings file, for editors and for whoever checks files before they ship.

A file may leave out whatever it does not change, so nothing is required; what goes together only is
checked by ``sage-native config check``.
"""

from __future__ import annotations

from typing import Any, Final

from sage_native.config.settings import Settings

__all__ = ["json_schema"]

_LIMITS: Final = {
    "ge": "minimum",
    "le": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
}
"""As pydantic writes them beside a validator, and as JSON Schema calls them."""


def json_schema() -> dict[str, Any]:
    """Return the schema, JSON Schema 2020-12."""
    schema = _renamed(Settings.model_json_schema())
    del schema["properties"]["profile"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Settings of a sage-native gateway",
    }


def _renamed(part: Any) -> Any:  # noqa: ANN401 - whatever a schema holds
    if isinstance(part, list):
        return [_renamed(item) for item in part]
    if not isinstance(part, dict):
        return part
    is_object = part.get("type") == "object"
    return {
        _LIMITS.get(key, key): _renamed(value)
        for key, value in part.items()
        if not (is_object and key == "required") and not (key == "title" and isinstance(value, str))
    }
