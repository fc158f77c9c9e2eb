"""The reference gateway: SAGE-HS/1 over HTTP, as an ASGI application.

::

    app = create_app(load_settings("dev"))          # serve it with any ASGI server

    async with Gateway(settings) as gateway:        # or embed it
        application.mount("/sage", PublicApp(gateway))

An application in the same process is handed what comes out of records (`AsgiBehind`, or
`HandlerBehind` for a function), and asks `authenticated_peer` who sent it.

It needs the extra ``sage-native[gateway]``.
"""

from __future__ import annotations

from sage_native.gateway.app import AdminApp, PublicApp, create_admin_app, create_app
from sage_native.gateway.behind.asgi import AsgiBehind
from sage_native.gateway.behind.base import Behind
from sage_native.gateway.behind.handler import HandlerBehind
from sage_native.gateway.embedding import authenticated_peer
from sage_native.gateway.gateway import Gateway
from sage_native.gateway.peers import Peer

__all__ = [
    "AdminApp",
    "AsgiBehind",
    "Behind",
    "Gateway",
    "HandlerBehind",
    "Peer",
    "PublicApp",
    "authenticated_peer",
    "create_admin_app",
    "create_app",
]
