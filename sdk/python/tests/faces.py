"""Both faces of the client behind one: tests are written once and run over each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sage_client import ClientSettings, SageClient, SyncSageClient, SyncSageSession

if TYPE_CHECKING:
    from server import ProtocolServer

SETTINGS = ClientSettings(timeout_s=10, backoff_s=0.001, max_wait_s=2)


class Threaded:
    """A synchronous object whose methods are awaited: each runs in a thread."""

    def __init__(self, inner: object) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, {"aclose": "close"}.get(name, name))
        if not callable(found):
            return found

        async def method(*arguments: object, **named: object) -> object:
            result = await asyncio.to_thread(found, *arguments, **named)
            return Threaded(result) if isinstance(result, SyncSageSession) else result

        return method


class Face:
    """Makes clients of one face, and closes them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._made: list[Any] = []

    def client(self, server: ProtocolServer, **named: Any) -> Any:
        named = {"server_key": server.key, "settings": SETTINGS, **named}
        url = named.pop("url", server.url)
        client: Any
        if self.name == "async":
            client = SageClient(url, **named)
        else:
            client = Threaded(SyncSageClient(url, **named))
        self._made.append(client)
        return client

    async def session(self, server: ProtocolServer, *, renew: bool = False, **named: Any) -> Any:
        return await self.client(server, **named).connect(renew=renew)

    async def aclose(self) -> None:
        for client in self._made:
            await client.aclose()
