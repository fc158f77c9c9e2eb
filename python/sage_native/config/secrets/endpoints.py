"""The address of a back end: secrets travel under TLS, or do not leave this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from sage_native.exceptions import ConfigurationError

__all__ = ["checked_endpoint"]


def checked_endpoint(url: str, *, setting: str) -> str:
    """Return the URL without a slash at its end.

    Args:
        url: ``https://host[:port][/path]``; ``http`` for loopback only, such as an agent's proxy
            beside this process.
        setting: Its key, for errors.

    Raises:
        ConfigurationError: It is of another form. The URL is not shown, since one that is wrong may
            hold a password.
    """
    try:
        parts = urlsplit(url)
        is_readable = parts.port is None or parts.port > 0
    except ValueError:
        is_readable = False
    if not is_readable or not parts.hostname or parts.scheme not in {"http", "https"}:
        raise ConfigurationError(f"{setting} is not a URL such as https://vault.example:8200")
    if "@" in url or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{setting} holds more than scheme, host, port and path: take user, password, query "
            "and fragment out of the URL"
        )
    if parts.scheme == "http" and not _is_loopback(parts):
        raise ConfigurationError(
            f"{setting} is http://{parts.hostname}: secrets would travel in clear. Use https, or "
            "http to a proxy on loopback"
        )
    return url.rstrip("/")


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
