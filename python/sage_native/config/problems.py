"""What is said of a setting that is wrong: its key, its value, where it stands, the rule.

Values are shown where they cannot be secret. Names of secrets are not shown, since the secret
itself may have been written in their place; neither is any URL, which may hold a password.
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
_DELICATE: Final = re.compile(r"_secret|token|password|url")
_RULES: Final = {
    "missing": "is missing",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "path_type": "must be the path of a file",
    "string_type": "must be text: put it in quotes",
    "tuple_type": "must be a list",
}


class SettingsError(ConfigurationError):
    """Settings are wrong.

    Attributes:
        problems: What is wrong, one line for each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(_printable(problem) for problem in problems)
        lines = "\n  ".join(self.problems)
        count = len(self.problems)
        super().__init__(lines if count == 1 else f"{count} settings are wrong:\n  {lines}")


def _printable(text: str) -> str:
    """Return a text with an escape for each sign that a terminal might obey: keys hold anything."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def shown(path: Sequence[object], value: object) -> str | None:
    """Return a value as an error text may hold it; None if it may be a secret."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str) or "//" in value or "@" in value:
        return None
    if _DELICATE.search([key for key in path if isinstance(key, str)][-1]):
        return None
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_LEN else f"{text[: MAX_SHOWN_LEN - 1]}…"


def masked(url: str) -> str:
    """Return the URL of a store as it may be printed: without user, password and options.

    Where it cannot be told apart which is which, as with a password whose signs are not quoted,
    only the scheme is left.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "sqlite":
        return url
    user, at, place = rest.rpartition("@")
    if "?" in user or "#" in user or "/" in user or "@" in user:
        return f"{scheme}://***"
    host = re.split(r"[?#]", place, maxsplit=1)
    return f"{scheme}://{'***@' if at else ''}{host[0]}{'?***' if len(host) > 1 else ''}"


def violations(error: ValidationError, layer: Layer) -> list[str]:
    """Return what pydantic found, in our words, one line each."""
    return list(dict.fromkeys(_violation(details, layer) for details in error.errors()))


def _violation(details: ErrorDetails, layer: Layer) -> str:
    location = details["loc"]
    entry = None
    for length in range(len(location), 0, -1):
        entry = layer.get(tuple(str(part) for part in location[:length]))
        if entry is not None:
            break
    value = shown(location, details["input"]) if entry else None
    name = dotted(location)
    place = f" ({entry.origin})" if entry else ""
    return f"{name}{place}: {'' if value is None else f'{value} '}{_rule(details)}"


def _rule(details: ErrorDetails) -> str:
    if details["type"] in _RULES:
        return _RULES[details["type"]]
    rule = details["msg"].removeprefix("Value error, ").replace("Input should", "must")
    value, expected = details["input"], details.get("ctx", {}).get("expected")
    if details["type"] == "literal_error" and isinstance(value, str) and expected:
        near = difflib.get_close_matches(value, re.findall(r"'([^']*)'", str(expected)), n=1)
        rule += f"; did you mean {near[0]}?" if near else ""
    return rule[0].lower() + rule[1:]
