"""The reference gateway, served by uvicorn in a thread."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import uvicorn
from sage_native.config import load_settings
from sage_native.gateway import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def running_gateway(state_dir: Path, *, port: int = 0, **overrides: object) -> Iterator[str]:
    """Serve a gateway that admits everybody and echoes; the value is its URL."""
    settings = load_settings(
        "local",
        environ={},
        overrides={"state_dir": str(state_dir), "logging.level": "error", **overrides},
    )
    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(create_app(settings), lifespan="on", log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        if not server.started:
            raise RuntimeError("the gateway does not start")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
