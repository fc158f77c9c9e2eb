"""Settings that each are right and together are not, and those that production refuses.

No setting switches off authentication or the replay checks, so nothing here has to forbid it. Each
problem names its key, the reason and the way out, and shows no value that may be secret.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_native.config.settings import Settings

__all__ = ["inconsistencies", "is_placeholder", "unsafe_in_production"]

_WEAK_PASSWORDS: Final = frozenset(
    {
        "admin",
        "changeme",
        "default",
        "example",
        "master",
        "pass",
        "passw0rd",
        "password",
        "postgres",
    }
    | {"redis", "root", "sage", "secret", "test", "user", "123456", "12345678"}
)
_STAND_INS: Final = (
    "change-me",
    "change_me",
    "changeme",
    "placeholder",
    "replace",
    "your-",
    "your_",
)
_WITHOUT_DIDS: Final = frozenset({"redis", "rediss", "unix"})
MIN_SECRET_LEN: Final = 16


def is_placeholder(secret: bytes) -> bool:
    """Tell whether a secret is none: too short, one that everybody tries, or one sign repeated.

    Args:
        secret: The secret itself, such as the operator token or the text of a key.
    """
    text = secret.strip()
    if len(text) < MIN_SECRET_LEN or len(set(text)) < 4:
        return True
    return text.decode("ascii", "replace").lower().strip("<>-_{}[]$ ").startswith(_STAND_INS)


def inconsistencies(settings: Settings) -> list[str]:
    """Return what does not go together, in any profile."""
    return list(_inconsistencies(settings))


def unsafe_in_production(settings: Settings) -> list[str]:
    """Return what a gateway that others rely on must not be started with."""
    return [
        *_unsafe_listeners(settings),
        *_unsafe_limits(settings),
        *_unsafe_stores(settings),
        *_unsafe_secrets(settings),
    ]


def _inconsistencies(settings: Settings) -> Iterator[str]:
    if settings.features.websockets:
        yield "features.websockets: true is not built yet: leave it false"
    behind = settings.behind
    if (behind.application is None) == (behind.upstream is None):
        both = "both are" if behind.application else "none is"
        yield f"behind: {both} named: name one of behind.application and behind.upstream"
    if settings.features.cors != bool(settings.cors.origins):
        yield (
            "cors.origins: is empty, and features.cors is true: name the origins"
            if settings.features.cors
            else "cors.origins: has no effect while features.cors is false: set it to true"
        )
    admission = settings.admission
    if (admission.policy == "allow_list") != bool(admission.allow_list):
        yield (
            "admission.allow_list: is empty, so that nobody would be admitted: name the DIDs"
            if admission.policy == "allow_list"
            else f"admission.allow_list: has no effect with admission.policy {admission.policy}: "
            "write allow_list there"
        )
    session = settings.session
    if session.idle_timeout > session.max_age:
        yield (
            f"session.idle_timeout: {session.idle_timeout} s is longer than session.max_age, "
            f"{session.max_age} s"
        )
    yield from _inconsistent_stores(settings)
    yield from _open_addresses(settings)
    yield from _equal_ports(settings)


def _inconsistent_stores(settings: Settings) -> Iterator[str]:
    is_memory = settings.storage.url.startswith("memory:")
    scheme = settings.storage.url.partition(":")[0]
    if settings.admission.policy == "registered" and scheme in _WITHOUT_DIDS:
        yield (
            f"admission.policy: registered needs a registry of DIDs, and {scheme}: keeps none: set "
            "storage.url to sqlite:/// or postgresql://, or the policy to allow_list"
        )
    if is_memory and settings.server.workers > 1:
        yield (
            f"storage.url: memory: is not shared by {settings.server.workers} workers: name a "
            "store, or set server.workers to 1"
        )
    if is_memory and settings.replay.guarantee != "node":
        yield (
            f"replay.guarantee: {settings.replay.guarantee} needs a store that lasts, and "
            "storage.url is memory:"
        )


def _open_addresses(settings: Settings) -> Iterator[str]:
    """Yield where secrets would travel in clear; the providers refuse it too."""
    for name in ("vault_url", "aws_endpoint_url"):
        url: str | None = getattr(settings.secrets, name)
        if url is not None and url.startswith("http:") and not is_loopback(host_of(url)):
            yield f"secrets.{name}: secrets would travel in clear: use https"


def _equal_ports(settings: Settings) -> Iterator[str]:
    used: dict[int, str] = {}
    for name, port, is_used in (
        ("server.port", settings.server.port, True),
        ("admin.port", settings.admin.port, settings.admin.enabled),
        ("metrics.port", settings.metrics.port, settings.metrics.enabled),
    ):
        if is_used and port:
            if port in used:
                yield f"{name}: {port} is {used[port]} too: choose another one"
            used.setdefault(port, name)


def _unsafe_listeners(settings: Settings) -> Iterator[str]:
    server, admin = settings.server, settings.admin
    if server.tls is None and not server.trusted_proxies:
        yield (
            "server.tls: is off: name certificate and key, or, behind a reverse proxy that does "
            "TLS, its addresses in server.trusted_proxies"
        )
    for network in server.trusted_proxies:
        if network.prefixlen == 0:
            yield f"server.trusted_proxies: {network} believes everybody: name the proxies"
    if admin.enabled and server.tls is None and not is_loopback(admin.host):
        yield (
            f"admin.host: {admin.host} is not loopback, and without server.tls the operator token "
            "would travel in clear: set it to 127.0.0.1, or name a certificate"
        )
    if admin.ui:
        yield "admin.ui: the Swagger page is not served in production: set it to false"
    if settings.behind.application == "echo":
        yield "behind.application: echo is for trying out: name your application or an upstream"


def _unsafe_limits(settings: Settings) -> Iterator[str]:
    if not settings.features.rate_limiting:
        yield "features.rate_limiting: false lets one client take all: set it to true"
    if settings.admission.policy == "any_did_key":
        yield (
            "admission.policy: any_did_key admits everybody: register DIDs (registered) or list "
            "them (allow_list)"
        )
    handshake = settings.handshake
    if handshake.challenges == "when_needed" and handshake.confirmation == "mac":
        yield (
            "handshake.challenges: when_needed with confirmation mac lets in a first message that "
            "was signed ahead of its time: set challenges to always, or confirmation to signature"
        )


def _unsafe_stores(settings: Settings) -> Iterator[str]:
    url = settings.storage.url
    if url.startswith("memory:"):
        yield "storage.url: memory: forgets sessions and DIDs with the process: name a store"
        return
    password = _password_of(url)
    if password is not None and (password.lower() in _WEAK_PASSWORDS or len(set(password)) < 2):
        yield "storage.url: its password is one that everybody tries: choose another one"
    if settings.storage.guarantee == "process":
        yield "storage.guarantee: process forgets with the process: ask for node at least"


def _unsafe_secrets(settings: Settings) -> Iterator[str]:
    if settings.secrets.provider == "env":
        yield (
            "secrets.provider: env shows secrets to whatever the process starts and cannot rotate "
            "them while it runs: use file, vault or aws-secrets"
        )


def is_loopback(host: str) -> bool:
    """Tell whether a name or address to listen on is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_of(url: str) -> str:
    """Return the host of a checked URL."""
    return urlsplit(url).hostname or ""


def _password_of(url: str) -> str | None:
    try:
        password = urlsplit(url).password
    except ValueError:
        return None
    return None if password is None else unquote(password)
