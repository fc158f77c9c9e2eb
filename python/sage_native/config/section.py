"""What every section of the settings is: frozen, closed to unknown keys, and written with care.

Numbers are not taken from booleans, since ``port: yes`` is a slip and not port 1. Fields describe
themselves; the descriptions are shown by ``sage-native config schema`` and docs/CONFIGURATION.md.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Final, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic_core import CoreSchema, core_schema

__all__ = [
    "Count",
    "Host",
    "HttpUrl",
    "Matching",
    "Network",
    "Port",
    "SecretName",
    "Section",
    "Whole",
]


class Section(BaseModel):
    """One section: frozen, with known keys only."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True
    )


class Matching:
    """Metadata of text that matches a pattern as a whole; the error says the rule in words."""

    def __init__(self, pattern: str, rule: str, *, max_len: int = 256) -> None:
        self._pattern: Final = re.compile(pattern, re.ASCII)
        self._rule: Final = rule
        self._max_len: Final = max_len

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, object]:
        pattern = f"^(?:{self._pattern.pattern})$"
        return {**handler(schema), "pattern": pattern, "maxLength": self._max_len}

    def _checked(self, text: str) -> str:
        if len(text) > self._max_len or not self._pattern.fullmatch(text):
            raise ValueError(f"{self._rule}; {self._max_len} signs at most")
        return text


def _no_bool(value: object) -> object:
    if isinstance(value, bool | float):
        raise ValueError("must be a whole number")  # noqa: TRY004 - what pydantic collects
    return value


def _network(value: object) -> object:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        # Never from a number, which would be taken for an address.
        return ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("must be an address or a network such as 10.0.0.0/8 or ::1") from None


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("must be a URL such as https://host:8443") from None
    del port
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be a URL that begins with http:// or https:// and names a host")
    if "@" in url:
        raise ValueError("must hold no user name and password: settings hold no secrets")
    if "?" in url or "#" in url or not url.isprintable() or " " in url:
        raise ValueError("must be a plain URL, without ?, # and blanks")
    return url


Whole: TypeAlias = Annotated[int, BeforeValidator(_no_bool)]
"""A whole number, not taken from true or 1.0."""
Count: TypeAlias = Annotated[Whole, Field(ge=1, le=1_000_000_000)]
"""How many: one at least."""
Port: TypeAlias = Annotated[Whole, Field(ge=0, le=65_535)]
"""A TCP port; 0 stands for any free one."""
Host: TypeAlias = Annotated[
    str, Matching(r"[A-Za-z0-9.:_-]+", "must be an address or the name of a host", max_len=253)
]
"""A name or an address to listen on."""
HttpUrl: TypeAlias = Annotated[str, AfterValidator(_checked_url)]
"""A URL of HTTP without credentials, query and fragment."""
Network: TypeAlias = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
"""A network, or a single address."""
SecretName: TypeAlias = Annotated[
    str,
    Matching(
        r"[a-z][a-z0-9]*(-[a-z0-9]+)*",
        "must be the name of a secret, never the secret: lower-case letters, digits and hyphens",
        max_len=40,
    ),
]
"""What a secret is called at its provider. Never the secret."""
