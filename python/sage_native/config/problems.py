"""What is said of a setting that is wrong: its key, its value, where it stands, the rule.

Values are shown where they cannot be secret. Names of secrets are not shown, since the secret
itself may have been written in their place; neither is what a URL holds behind its scheme.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from sage_native.config.layers import Layer, dotted
from sage_native.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

__all__ = ["SettingsError", "masked", "shown", "violations"]

MAX_SHOWN_LEN: Final = 60
_URL: Final = re.compile(r"(\w[\w+.-]*:)//\S+")
_PASSWORD: Final = re.compile(r"(?<=//)[^/?#@]*@|(?<=[?&])[^#]*")


class SettingsError(ConfigurationError):
    """Settings are wrong.

    Attributes:
        problems: What is wrong, one line for each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n  ".join(self.problems)
        count = len(self.problems)
        super().__init__(lines if count == 1 else f"{count} settings are wrong:\n  {lines}")


def shown(path: Sequence[object], value: object) -> str | None:
    """Return a value for an error text; None if it may be a secret."""
    key = str(path[-1] if not isinstance(path[-1], int) else path[-2])
    if isinstance(value, bool | int | float) or value is None:
        return str(value).lower() if isinstance(value, bool) or value is None else str(value)
    if not isinstance(value, str) or _is_delicate(key):
        return None
    text = repr(_URL.sub(r"\\1//…", value))
    return text if len(text) <= MAX_SHOWN_LEN else f"{text[: MAX_SHOWN_LEN - 1]}…"


def masked(path: Sequence[str], value: object) -> object:
    """Return a value as it may be printed: URLs without user, password and options."""
    del path
    if isinstance(value, str) and "//" in value:
        return _PASSWORD.sub(lambda found: "***@" if found[0].endswith("@") else "***", value)
    return value


def _is_delicate(key: str) -> bool:
    return "secret" in key or "token" in key or "password" in key or "url" in key or key == "kek"


def violations(error: ValidationError, layer: Layer) -> list[str]:
    """Return what pydantic found, in our words, one line each."""
    return list(dict.fromkeys(_violation(details, layer) for details in error.errors()))


def _violation(details: ErrorDetails, layer: Layer) -> str:
    location = details["loc"]
    rule = _rule(details)
    entry = None
    for length in range(len(location), 0, -1):
        path = tuple(str(part) for part in location[:length])
        entry = layer.get(path)
        if entry is not None:
            break
    value = shown(location, details["input"]) if details["type"] != "missing" and entry else None
    name = dotted(location)
    place = f" ({entry.origin})" if entry else ""
    return f"{name}{'' if value is None else f': {value}'}{place}: {rule}"


def _rule(details: ErrorDetails) -> str:
    if details["type"] == "missing":
        return "is missing"
    rule = details["msg"].removeprefix("Value error, ").replace("Input should", "must")
    value, expected = details["input"], details.get("ctx", {}).get("expected")
    if details["type"] == "literal_error" and isinstance(value, str) and expected:
        near = difflib.get_close_matches(value, re.findall(r"'([^']*)'", str(expected)), n=1)
        rule += f"; did you mean {near[0]}?" if near else ""
    return rule[0].lower() + rule[1:]
