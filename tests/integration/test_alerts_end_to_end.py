"""A real Prometheus asks a real gateway, which is attacked: the alert fires, and no other does.

The gateway has two workers, so that its numbers come together from several processes. The rules are
those that are deployed.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.deploy.promql import needs_prometheus
from tests.deploy.test_grafana import QUERIES, without_variables
from tests.gateways import code_of
from tests.security.gateway.live import Live
from tests.security.test_gateway_attacks_live import accepted
from tests.servers.prometheus import PrometheusServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = needs_prometheus

PATIENCE_S = 60.0
REPLAYED = 'sum(sage_replay_refused_total{reason="replayed"})'
REPLAY_COUNT = 40


class Scene(NamedTuple):
    gateway: Live
    prometheus: PrometheusServer

    def number(self, expression: str) -> float | None:
        """The value of an expression that has one series, or none yet."""
        series = self.prometheus.query(expression)
        return float(series[0]["value"][1]) if series else None


@pytest.fixture
def scene() -> Iterator[Scene]:
    gateway = Live(**{"metrics.enabled": "true"})
    try:
        gateway.start()
        with PrometheusServer(f"127.0.0.1:{gateway.metrics_port}") as prometheus:
            yield Scene(gateway, prometheus)
    finally:
        gateway.close()


async def until(holds: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.25)


async def test_replays_are_told(scene: Scene) -> None:
    prometheus = scene.prometheus
    async with scene.gateway.client(keeps=False) as http:
        agent = await scene.gateway.registered(http)
        attempt, session = await accepted(agent)
        assert await agent.ask(session, b"hello") == b"answer to hello"

        # It was asked twice, there are no replays yet, and nothing is wrong.
        await until(lambda: (scene.number(f"count_over_time(({REPLAYED})[1m:1s])") or 0) >= 2)
        await until(lambda: scene.number('sage_handshakes_total{status="completed"}') == 1)
        assert scene.number(REPLAYED) == 0
        assert prometheus.alerts() == {}

        for _ in range(REPLAY_COUNT):
            replay = await agent.send_m1(attempt)
            assert (replay.status_code, code_of(replay)) == (409, "replay_detected")

        await until(lambda: "ReplayAttack" in prometheus.alerts())
        await until(lambda: scene.number(REPLAYED) == REPLAY_COUNT)
        (alert,) = prometheus.alerts().values()
        assert alert["labels"]["severity"] == "warning"
        assert alert["annotations"]["summary"].startswith("127.0.0.1:")
        assert alert["annotations"]["runbook"] == "docs/MONITORING.md#replayattack"
        # Somebody who talks as he should is not disturbed.
        assert await agent.ask(session, b"still here") == b"answer to still here"

    # Every rule was evaluated, and every query of the dashboards is answered.
    for rule in prometheus.rules():
        assert rule["health"] == "ok", rule
    for query in QUERIES:
        expression = without_variables(query)
        answered = prometheus.query(expression)
        # Critical alerts are none, so that their query is answered with nothing.
        assert answered or 'severity="critical"' in expression, (query.panel, expression)
