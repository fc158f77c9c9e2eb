"""What is behind the gateway: who answers the messages of authenticated peers.

A record that was opened is handed on as plaintext, with the peer that sent it, and the answer is
sealed. Plaintext is an application's own bytes (a *raw message*), or an RFC 9292 request (*binary
HTTP*), whose answer is an RFC 9292 response.

    HandlerBehind    an async function in this process: raw messages
    EchoBehind       answers with what it got: both
    AsgiBehind       an ASGI application in this process: both
    UpstreamBehind   an HTTP service elsewhere: both
"""

from __future__ import annotations

from sage_native.gateway.behind.base import (
    Behind,
    BehindError,
    BehindTimeoutError,
    BehindUnavailableError,
)
from sage_native.gateway.behind.handler import Application, HandlerBehind
from sage_native.gateway.behind.opening import open_behind

__all__ = [
    "Application",
    "Behind",
    "BehindError",
    "BehindTimeoutError",
    "BehindUnavailableError",
    "HandlerBehind",
    "open_behind",
]
