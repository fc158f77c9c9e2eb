"""The servers that are compared: our gateway, its peer, and the same server saying hello.

* Ours is ``sage-native serve`` with the profile ``dev``: SQLite, an identity, an
  application that echoes. The limits of rates are there, and so high that nothing is refused. As
  the peer it writes no line for each request, and counts no metrics.
* The peer is `benches.peers.gateway`, with the same clients and as surely on disk.
* Hello is our worker processes with another application in them: the same server, the same options.
* Nobody watches ours or hello, since nobody watches the peer; `watched` is ours with logs of every
  request, metrics, and a trace of every hundredth.

All of them know `CLIENT_COUNT` registered clients, or none if they only say hello.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benches.peers.gateway import session_file
from benches.peers.gateway.settings import Settings as PeerSettings
from sage_native.dids import DidRegistry
from sage_native.gateway.worker import SOURCE_VARIABLE
from sage_native.keys import SigningKey
from sage_native.replay import ReplaySet
from sage_native.storage.base import DEFAULT_HORIZON_MS
from sage_native.storage.guarantee import ReplayGuarantee
from sage_native.storage.sqlite import SqliteStorage

from .agents import Clients
from .servers import Server, free_port, start

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SERVER_SEED = bytes(range(32))
CLIENT_COUNT = 512
"""So many that none comes near its most sessions, 256, in a run."""
_CAPACITY = 1_000_000
_LIMITS = (
    *("requests_per_address", "handshakes_per_address"),
    *("handshakes_per_did", "records_per_did"),
)


@dataclass(frozen=True)
class Contender:
    """A server and its clients."""

    server: Server
    clients: Clients


def ours(
    directory: Path,
    *,
    workers: int = 1,
    client_count: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> Contender:
    """Start our gateway, its state in a directory that is not there yet."""
    clients = Clients(SigningKey(SERVER_SEED).verifying_key, client_count or CLIENT_COUNT)
    _prepare(directory, clients)
    port = free_port()
    overrides = {**_overrides(directory, port, workers), **(settings or {})}
    command = ["-c", "from sage_native.cli import main; main()", "serve", "--profile", "dev"]
    for key, value in overrides.items():
        command += ["--set", f"{key}={value}"]
    return Contender(start("our gateway", command, port, log=directory / "log"), clients)


def watched(directory: Path, *, traces_url: str) -> Contender:
    """Start our gateway with one worker, as `ours`, and watch it as an operator would."""
    settings = {
        "logging.level": "info",
        "logging.format": "json",
        "logging.output": str(directory / "requests.log"),
        "metrics.enabled": "true",
        "metrics.port": str(free_port()),
        "tracing.enabled": "true",
        "tracing.endpoint": traces_url,
        "tracing.sample_rate": "0.01",
    }
    return ours(directory, settings=settings)


def unwatched(directory: Path) -> Contender:
    """Start our gateway with one worker in which nothing that watches was even started."""
    clients = Clients(SigningKey(SERVER_SEED).verifying_key, CLIENT_COUNT)
    _prepare(directory, clients)
    return Contender(hello(directory, "gateway"), clients)


def hello(directory: Path, handler: str, *, workers: int = 1) -> Server:
    """Start our gateway's server with a handler of `benches.ratios.http.hello` in it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    port = free_port()
    source = {"profile": "dev", "file": None, "overrides": _overrides(directory, port, workers)}
    return start(
        f"hello world, {handler}",
        ["-m", "benches.ratios.http.hello", handler, str(port), str(workers)],
        port,
        log=directory / "log",
        environment={SOURCE_VARIABLE: json.dumps(source)},
    )


def peer(
    directory: Path,
    *,
    workers: int = 1,
    client_count: int | None = None,
    routes: Literal["fastapi", "starlette"] = "fastapi",
) -> Contender:
    """Start the peer, its state in a directory that is not there yet."""
    directory.mkdir(mode=0o700)
    clients = Clients(SigningKey(SERVER_SEED).verifying_key, client_count or CLIENT_COUNT)
    settings = PeerSettings(
        state_dir=str(directory),
        seed=SERVER_SEED,
        kek=bytes(32),
        routes=routes,
        synchronous="FULL" if _OUR_GUARANTEE >= ReplayGuarantee.DURABLE else "NORMAL",
    )
    session_file.register(settings.session_path, clients.registered)
    port = free_port()
    server = start(
        "the peer",
        ["-m", "benches.peers.gateway", str(port), str(workers)],
        port,
        log=directory / "log",
        environment=settings.to_environment(),
    )
    return Contender(server, clients)


_OUR_GUARANTEE = ReplayGuarantee.DURABLE
"""What our gateway's store has by default: commits wait for the disk."""


def _overrides(directory: Path, port: int, workers: int) -> dict[str, str]:
    """Return what differs from the profile ``dev``."""
    return {
        "state_dir": str(directory),
        "server.port": str(port),
        "server.workers": str(workers),
        "admin.enabled": "false",
        # As the peer: no metrics, whose cost is measured by itself, and no line for a request that
        # went well.
        "logging.level": "warning",
        "metrics.enabled": "false",
        "session.max_age": "1d",
        "session.idle_timeout": "1d",
        **{f"limits.{limit}.{part}": "1000000" for limit in _LIMITS for part in ("rate", "burst")},
    }


def _prepare(directory: Path, clients: Clients) -> None:
    """Make the state of a gateway that has been running for a while.

    A memory of nonces that is younger than its horizon makes the gateway demand challenges; the
    peer's begins whole.
    """
    directory.mkdir(mode=0o700)
    secrets = directory / "secrets"
    secrets.mkdir(mode=0o700)
    seed = base64.urlsafe_b64encode(SERVER_SEED).rstrip(b"=")
    key = secrets / "signing-key"
    key.touch(mode=0o600)
    key.write_bytes(seed + b"\n")
    path = directory / "replay.table"
    long_ago_ms = time.time_ns() // 1_000_000 - 2 * DEFAULT_HORIZON_MS
    ReplaySet.open(path, capacity=_CAPACITY, horizon_ms=DEFAULT_HORIZON_MS, now_ms=long_ago_ms)
    asyncio.run(_register(directory / "sessions.db", clients))


async def _register(path: Path, clients: Clients) -> None:
    async with await SqliteStorage.open(path) as storage:
        registry = DidRegistry(storage.dids)
        for did, key in clients.registered.items():
            await registry.register(did, [key])
