"""Chromium without a window, looking at one page and at nothing else.

Every name but 127.0.0.1 is unknown to it, so a page that needs another host does not work here.
``python -m tests.openapi.browser FILE`` takes the picture of the documents.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import uvicorn

from sage_native.gateway import create_admin_app
from tests.gateways import gateway_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

__all__ = ["CHROMIUM", "Visit", "admin_app", "served", "take_picture", "visit"]

CHROMIUM = shutil.which("chromium")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--enable-logging=stderr",
    "--virtual-time-budget=20000",
)


class Visit(NamedTuple):
    """What a page became.

    Attributes:
        dom: The document as it stands after the scripts have run.
        console: What the page, or the browser about it, wrote to the console.
    """

    dom: str
    console: list[str]


@contextlib.contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve an application on loopback in a thread; yields its URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def admin_app(state_dir: Path) -> ASGIApp:
    """Return an admin listener, which shows the page."""
    return create_admin_app(gateway_settings(state_dir))


def visit(url: str) -> Visit:
    """Open a page and wait until it is quiet."""
    done = _run("--dump-dom", "--window-size=1280,2000", url)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return Visit(done.stdout, console)


def take_picture(url: str, path: Path) -> None:
    """Write a picture of a page, from its top."""
    _run(f"--screenshot={path}", "--window-size=1280,2300", url)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        return subprocess.run(
            [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )


def main(path: Path) -> None:
    """Take the picture of the documents, in few colours."""
    from PIL import Image  # noqa: PLC0415 - tests do without

    with tempfile.TemporaryDirectory() as state_dir, served(admin_app(Path(state_dir))) as url:
        take_picture(f"{url}/docs", path)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
