"""Talk to an agent behind a SAGE gateway.

::

    async with SageClient(url, "agent.key", server_key="did:key:z6Mk…") as client:
        async with await client.connect() as session:
            answer = await session.send(b"hello")

``SyncSageClient`` is the same without an event loop. Errors stand in ``sage_client.errors``; the
names of the first plan in ``sage_client.compat``.
"""

from __future__ import annotations

from sage_client.client import SageClient
from sage_client.compat import SAGEClient, SAGECrypto
from sage_client.crypto import load_identity, load_server_key
from sage_client.errors import (
    DeliveryUnknownError,
    ExchangeError,
    NotAuthenticError,
    ProblemError,
    SageClientError,
    ServerIdentityError,
    SessionEndedError,
)
from sage_client.session import SageSession
from sage_client.sync import SyncSageClient, SyncSageSession
from sage_client.types import ClientSettings, HttpAnswer, ServerIdentity

__all__ = [
    "ClientSettings",
    "DeliveryUnknownError",
    "ExchangeError",
    "HttpAnswer",
    "NotAuthenticError",
    "ProblemError",
    "SAGEClient",
    "SAGECrypto",
    "SageClient",
    "SageClientError",
    "SageSession",
    "ServerIdentity",
    "ServerIdentityError",
    "SessionEndedError",
    "SyncSageClient",
    "SyncSageSession",
    "load_identity",
    "load_server_key",
]
