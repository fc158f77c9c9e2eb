"""How lengths of time and sizes are written, and what they become: whole seconds and bytes.

A bare number is in the smallest unit, so that no number changes its meaning: ``90`` is 90 s. With a
unit it says so itself: ``90s``, ``10m``, ``1h``, ``2d``; ``900ms`` where fractions make sense;
``64KiB``, ``1MiB``. Sizes know no ``KB``: nobody knows whether it is 1,000 or 1,024.
"""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema

__all__ = ["Duration", "Seconds", "Size", "parse_duration", "parse_seconds", "parse_size"]

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_BYTES: Final = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_DURATION: Final = re.compile(r"(\d{1,12})([smhd]?)", re.ASCII)
_FRACTION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|[smhd]?)", re.ASCII)
_SIZE: Final = re.compile(r"(\d{1,12}) ?([KMG]iB|B|)", re.ASCII)


def parse_duration(value: object) -> int:
    """Return whole seconds.

    Args:
        value: A whole number of seconds, or text such as ``90s``, ``10m``, ``1h`` or ``2d``.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be whole seconds, or text such as 90s, 10m, 1h or 2d")
    return int(found[1]) * _SECONDS[found[2] or "s"]


def parse_seconds(value: object) -> float:
    """Return seconds that may have a fraction.

    Args:
        value: A number of seconds, or text such as ``900ms``, ``1.5s`` or ``2m``.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _FRACTION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be seconds, or text such as 900ms, 1.5s or 2m")
    if found[2] == "ms":
        return float(found[1]) / 1000
    return float(found[1]) * _SECONDS[found[2] or "s"]


def parse_size(value: object) -> int:
    """Return bytes.

    Args:
        value: A whole number of bytes, or text such as ``64KiB`` or ``1MiB``.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be whole bytes, or text such as 64KiB or 1MiB")
    return int(found[1]) * _BYTES[found[2]]


def _spelled(pattern: re.Pattern[str], number: str) -> WithJsonSchema:
    """Return the schema of a value that is a number or text."""
    text = {"type": "string", "pattern": f"^{pattern.pattern}$".replace(r"\d", "[0-9]")}
    return WithJsonSchema({"anyOf": [{"type": number, "minimum": 0}, text]})


Duration = Annotated[int, BeforeValidator(parse_duration), _spelled(_DURATION, "integer")]
"""Whole seconds."""
Seconds = Annotated[float, BeforeValidator(parse_seconds), _spelled(_FRACTION, "number")]
"""Seconds that may have a fraction."""
Size = Annotated[int, BeforeValidator(parse_size), _spelled(_SIZE, "integer")]
"""Bytes."""
