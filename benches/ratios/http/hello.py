"""The raw hello-world handlers beside which record requests are measured.

`plain` is the smallest ASGI handler there is: it reads nothing and answers a constant. `reading`
also reads the body of its request, as a handler of records must.

``python -m benches.ratios.http.hello plain|reading`` serves one as the gateway's worker serves the
gateway: it *is* that worker, with another application.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sage_native.gateway import worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_BODY = b"Hello, world!"
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(_BODY))],
}
_END = {"type": "http.response.body", "body": _BODY}


async def plain(_scope: Message, _receive: Receive, send: Send) -> None:
    """Answer."""
    await send(_START)
    await send(_END)


async def reading(_scope: Message, receive: Receive, send: Send) -> None:
    """Read the whole body, then answer."""
    while (await receive()).get("more_body", False):
        pass
    await send(_START)
    await send(_END)


def main() -> None:
    """Serve until told to stop."""
    app = {"plain": plain, "reading": reading}[sys.argv.pop(1)]
    vars(worker)["create_app"] = lambda _settings: app
    worker.main()


if __name__ == "__main__":
    main()
