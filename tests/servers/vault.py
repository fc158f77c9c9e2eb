"""A strict Vault with KV version 2, over HTTP or HTTPS on loopback.

::

    with VaultServer() as server:
        server.put("sage/kek", {"value": "…"})

It answers as Vault's API describes: its statuses, its JSON, versions that are counted on after a
deletion, check-and-set. It is strict where a client could be sloppy: token, namespace and
``X-Vault-Request`` must be there, and a body must be JSON of the documented form. What it says
about errors quotes what it was sent, which a client must not pass on.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

DROP = 0
"""As a scripted status: the connection is closed without an answer."""
HANG = -1
"""As a scripted status: no answer until the server is closed."""
_TIME = "2026-01-02T03:04:05.678901234Z"


@dataclass
class Entry:
    """What is stored under one path; None for a version that is deleted."""

    versions: list[dict[str, Any] | None] = field(default_factory=list)


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]


class VaultServer:
    """One Vault.

    Args:
        certificate: File of a certificate with its key, for HTTPS.

    Attributes:
        token: The one that is accepted.
        namespace: The one that is demanded; None for none.
        mount: Of the engine.
        is_sealed: Answer nothing but that.
        entries: By path below the mount.
        requests: All that was asked.
        script: Statuses and bodies that are answered first, one for each request.
        before_answer: Called when a request has arrived, before it is judged.
        before_write: Called when a write has arrived, before it is done.
    """

    def __init__(self, *, certificate: str | None = None) -> None:
        self.token = "hvs.CAESIcanary0token0of0the0tests"  # noqa: S105 - of these tests
        self.namespace: str | None = None
        self.mount = "secret"
        self.is_sealed = False
        self.entries: dict[str, Entry] = {}
        self.requests: list[Request] = []
        self.script: deque[tuple[int, bytes]] = deque()
        self.before_answer: Callable[[], object] = lambda: None
        self.before_write: Callable[[], object] = lambda: None
        self.closing = threading.Event()
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.vault = self  # type: ignore[attr-defined]
        self.port = int(self._http.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._http.socket = context.wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )
            self.url = f"https://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def put(self, path: str, data: dict[str, Any]) -> None:
        """Write a version, as another client."""
        self.entries.setdefault(path, Entry()).versions.append(data)

    def delete(self, path: str) -> None:
        """Delete the newest version, as another client."""
        self.entries[path].versions[-1] = None

    def newest(self, path: str) -> dict[str, Any] | None:
        return self.entries[path].versions[-1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(20)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # or clients that come at once wait for a second


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    do_PUT = do_POST  # noqa: N815 - the name that the server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base
        """Say nothing."""

    def handle(self) -> None:
        # Clients that give up, or do not trust the certificate.
        with suppress(ConnectionError, TimeoutError, ssl.SSLError):
            super().handle()

    @property
    def _vault(self) -> VaultServer:
        vault = self.server.vault  # type: ignore[attr-defined]
        assert isinstance(vault, VaultServer)
        return vault

    def _serve(self, body: bytes) -> None:
        vault = self._vault
        headers = {key.lower(): value for key, value in self.headers.items()}
        vault.requests.append(Request(self.command, self.path, headers))
        vault.before_answer()
        if vault.script:
            status, scripted = vault.script.popleft()
            if status == HANG:
                vault.closing.wait()
            if status <= 0:
                self.close_connection = True
            else:
                self._answer(status, scripted)
            return
        status, content = self._outcome(headers, body)
        self._answer(status, json.dumps(content).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 307:
            self.send_header("Location", f"{self._vault.url}/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def _outcome(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        vault = self._vault
        prefix = f"/v1/{vault.mount}/data/"
        if vault.is_sealed:
            return 503, {"errors": ["Vault is sealed"]}
        quoted = f"{headers} {body!r}"
        for is_well, status, text in (
            (headers.get("x-vault-request") == "true", 412, "missing X-Vault-Request header"),
            (headers.get("x-vault-namespace") == vault.namespace, 404, "no handler for route"),
            (headers.get("x-vault-token") == vault.token, 403, "permission denied"),
            (self.path.startswith(prefix), 404, "no handler for route"),
        ):
            if not is_well:
                return status, {"errors": [f"{text}: {quoted}"]}
        path = self.path.removeprefix(prefix)
        if self.command == "GET":
            return _read(vault.entries.get(path))
        vault.before_write()
        sent = _sent(body) if headers.get("content-type") == "application/json" else None
        if sent is None:
            return 400, {"errors": [f"failed to parse JSON input: {quoted}"]}
        return _written(vault.entries.setdefault(path, Entry()).versions, *sent)


def _sent(body: bytes) -> tuple[int, dict[str, Any]] | None:
    try:
        sent = json.loads(body)
        cas, data = sent["options"]["cas"], sent["data"]
    except (ValueError, KeyError, TypeError):
        return None
    return (cas, data) if isinstance(cas, int) and isinstance(data, dict) else None


def _written(
    versions: list[dict[str, Any] | None], cas: int, data: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    if cas != len(versions):
        return 400, {"errors": ["check-and-set parameter did not match the current version"]}
    versions.append(data)
    return 200, _enveloped(_metadata(len(versions)))


def _read(entry: Entry | None) -> tuple[int, dict[str, Any]]:
    if entry is None or not entry.versions:
        return 404, {"errors": []}
    data, version = entry.versions[-1], len(entry.versions)
    metadata = _metadata(version, deleted=data is None)
    return 404 if data is None else 200, _enveloped({"data": data, "metadata": metadata})


def _metadata(version: int, *, deleted: bool = False) -> dict[str, Any]:
    return {
        "created_time": _TIME,
        "custom_metadata": None,
        "deletion_time": _TIME if deleted else "",
        "destroyed": False,
        "version": version,
    }


def _enveloped(data: dict[str, Any]) -> dict[str, Any]:
    return {
        "request_id": "5ed0ed5c-3b52-7f4c-9c61-6e1b6d9ab0cf",
        "lease_id": "",
        "renewable": False,
        "lease_duration": 0,
        "data": data,
        "wrap_info": None,
        "warnings": None,
        "auth": None,
        "mount_type": "kv",
    }
