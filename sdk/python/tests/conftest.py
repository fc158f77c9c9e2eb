"""A server and a face of the client for every test that wants them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside the tests

from faces import Face
from server import ProtocolServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
def server() -> Iterator[ProtocolServer]:
    with ProtocolServer() as running:
        yield running


@pytest.fixture(params=["async", "sync"])
async def face(request: pytest.FixtureRequest, server: ProtocolServer) -> AsyncIterator[Face]:
    face = Face(request.param)
    yield face
    server.calm()
    await face.aclose()
