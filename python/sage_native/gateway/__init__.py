"""The reference gateway: SAGE-HS/1 over HTTP, as an ASGI application.

::

    app = create_app(load_settings("dev"))          # serve it with any ASGI server

    async with Gateway(settings) as gateway:        # or embed it
        application.mount("/sage", PublicApp(gateway))

It needs the extra ``sage-native[gateway]``.
"""

from __future__ import annotations

from sage_native.gateway.app import AdminApp, PublicApp, create_admin_app, create_app
from sage_native.gateway.gateway import Gateway

__all__ = ["AdminApp", "Gateway", "PublicApp", "create_admin_app", "create_app"]
