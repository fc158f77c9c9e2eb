"""A real Prometheus with the rules that are deployed, asking one gateway every second.

What differs from deploy/prometheus/prometheus.yml is the address of the gateway, how often it is
asked, and that Prometheus does not ask itself. The rules are read as they are.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Final

import yaml

from tests.docs.walks import ROOT
from tests.servers.processes import Child, free_ports

if TYPE_CHECKING:
    from typing import Self

__all__ = ["PrometheusServer"]

DEPLOYED: Final = ROOT / "deploy/prometheus"
TIMEOUT_S = 10.0


class PrometheusServer:
    """One server on loopback.

    Args:
        target: Host and port of the gateway's metrics.
    """

    def __init__(self, target: str) -> None:
        self.url = f"http://127.0.0.1:{free_ports()[0]}"
        self._target = target
        self._child = Child("prometheus")

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        folder = self._child.directory
        shutil.copy(DEPLOYED / "rules.yml", folder)
        settings = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text("utf-8"))
        settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        (job,) = [job for job in settings["scrape_configs"] if job["job_name"] == "sage"]
        job["static_configs"] = [{"targets": [self._target]}]
        settings["scrape_configs"] = [job]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
        self._child.spawn(
            [
                *("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"),
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ],
            is_ready=self._answers,
        )
        return self

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression as they are now: ``metric`` and ``value``."""
        data = self._ask(f"query?{urllib.parse.urlencode({'query': expression})}")
        return data["result"] if data["resultType"] == "vector" else [data]

    def alerts(self) -> dict[str, dict[str, Any]]:
        """Return the alerts that fire, by name."""
        listed = self._ask("alerts")["alerts"]
        return {one["labels"]["alertname"]: one for one in listed if one["state"] == "firing"}

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def close(self) -> None:
        """Kill it and delete its files."""
        self._child.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, path: str) -> Any:  # noqa: ANN401 - as the API has it
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=TIMEOUT_S) as answer:  # noqa: S310 - ours
            document = json.load(answer)
        assert document["status"] == "success", document
        return document["data"]

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=TIMEOUT_S) as answer:  # noqa: S310 - ours
                return bool(answer.status == 200)
        except OSError:
            return False
