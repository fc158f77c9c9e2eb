"""The files of the page, with the headers that they leave with.

``swagger/`` holds files of swagger-ui-dist 5.35.0 as they were published, under Apache-2.0, with
their licences. They are not edited: ``page.html``, ``page.css`` and ``page.js`` are our own.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["ASSET_NAMES", "Asset", "asset", "description", "page"]

Header = tuple[bytes, bytes]

CONTENT_SECURITY_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_COMMON: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_PAGE_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", CONTENT_SECURITY_POLICY),
    (b"cache-control", b"no-store"),
    *_COMMON,
)
_DESCRIPTION_HEADERS: Final = (
    (b"content-type", b"application/yaml"),
    (b"cache-control", b"no-store"),
    *_COMMON,
)

_TEXT: Final = b"text/plain; charset=utf-8"
_ASSETS: Final[dict[str, tuple[str, bytes]]] = {
    "page.css": ("page.css", b"text/css; charset=utf-8"),
    "page.js": ("page.js", b"text/javascript; charset=utf-8"),
    "swagger-ui.css": ("swagger/swagger-ui.css", b"text/css; charset=utf-8"),
    "swagger-ui-bundle.js": ("swagger/swagger-ui-bundle.js", b"text/javascript; charset=utf-8"),
    "favicon-32x32.png": ("swagger/favicon-32x32.png", b"image/png"),
    "LICENSE": ("swagger/LICENSE", _TEXT),
    "NOTICE": ("swagger/NOTICE", _TEXT),
    "swagger-ui-bundle.js.LICENSE.txt": ("swagger/swagger-ui-bundle.js.LICENSE.txt", _TEXT),
}

ASSET_NAMES: Final = tuple(_ASSETS)
"""What may stand behind ``/docs/``."""


class Asset(NamedTuple):
    """One file.

    Attributes:
        headers: In lower case, as ASGI wants them, without the length.
        body: The whole file.
    """

    headers: tuple[Header, ...]
    body: bytes


@cache
def description() -> Asset:
    """Return ``api/openapi.yaml``, for ``/openapi.yaml``.

    Cost: read from disk once a process; so are the others.
    """
    return Asset(_DESCRIPTION_HEADERS, _read(files("sage_native.gateway") / "openapi.yaml"))


@cache
def page() -> Asset:
    """Return the page, for ``/docs``. Its links are relative to that."""
    return Asset(_PAGE_HEADERS, _read(_here() / "page.html"))


def asset(name: str) -> Asset | None:
    """Return what stands behind ``/docs/``: a file of `ASSET_NAMES`, None for every other name."""
    return _asset(name) if name in _ASSETS else None


@cache
def _asset(name: str) -> Asset:
    path, content_type = _ASSETS[name]
    headers = ((b"content-type", content_type), (b"cache-control", b"max-age=3600"), *_COMMON)
    return Asset(headers, _read(_here().joinpath(*path.split("/"))))


def _here() -> Traversable:
    return files("sage_native.gateway.ui")


def _read(path: Traversable) -> bytes:
    return path.read_bytes()
