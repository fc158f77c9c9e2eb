"""What tests of attacks on a gateway begin with; each module has a ``site`` of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.security.gateway.arena import Arena, watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateways import Agent


@pytest.fixture
def arena(
    site: tuple[Arena, Agent],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Arena]:
    with watched(site[0], caplog, capfd) as arena:
        yield arena


@pytest.fixture
def client(site: tuple[Arena, Agent]) -> Agent:
    return site[1]
