"""docs/MONITORING.md says of spans what they hold, and of their queue how long it is."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from sage_native.exceptions import AuthenticationError
from sage_native.observability import RequestMiddleware
from sage_native.observability.tracing import (
    TracingObserver,
    encryption,
    handshake,
    signature,
    start_tracing,
)
from sage_native.observability.tracing.outgoing import UpstreamSpan
from sage_native.observability.tracing.starting import EXPORT_TIMEOUT_S, QUEUE_LEN, SHUTDOWN_S
from tests.docs.walks import ROOT
from tests.observability.otlp import receiver

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

TEXT = (ROOT / "docs/MONITORING.md").read_text("utf-8")
ROW = re.compile(r"^\| `([^`]+)`[^|]* \| (server|client|internal) \| .* \| (.+) \|$", re.MULTILINE)
QUOTED = re.compile(r"`([a-z_.]+)`")


async def test_every_attribute_is_named() -> None:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["sage.route"], scope["sage.problem"] = "/v1/handshake/initiate", "internal_error"
        three = handshake("did:example:a", "did:example:b"), encryption("x"), signature("ed25519")
        for span in three:
            with suppress(AuthenticationError), span:
                raise AuthenticationError("no")
        with UpstreamSpan("GET", host="upstream.example", port=80) as call:
            call.status = 500
        await send({"type": "http.response.start", "status": 500, "headers": []})

    async def nothing(*_: object) -> None:
        pass

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    with receiver() as taker, start_tracing(taker.url) as tracing:
        await RequestMiddleware(app, TracingObserver(tracing))(
            scope,
            nothing,  # type: ignore[arg-type]
            nothing,
        )
        tracing.flush()
        sent = {one.name: (one.kind.lower(), set(one.attributes)) for one in taker.spans()}
    told = {name: (kind, set(QUOTED.findall(text))) for name, kind, text in ROW.findall(TEXT)}
    assert len(told) == 5
    assert told == sent


def test_numbers_are_those_of_the_code() -> None:
    text = " ".join(TEXT.split())
    assert f"Up to {QUEUE_LEN:,} spans wait in each process" in text
    assert f"does not take within {EXPORT_TIMEOUT_S:.0f} s" in text
    assert f"waits at most {SHUTDOWN_S:.0f} s for the last spans" in text
