"""Backends by their URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import ConfigurationError
from sage_native.storage import ReplayGuarantee, open_storage

if TYPE_CHECKING:
    from pathlib import Path


async def test_settings_reach_the_backend(tmp_path: Path) -> None:
    async with await open_storage("memory:", horizon_ms=60_000) as memory:
        assert memory.nonces.horizon_ms == 60_000
    url = f"sqlite:///{tmp_path / 'sage.db'}"
    async with await open_storage(url, guarantee="node", timeout_s=5) as storage:
        assert storage.nonces.guarantee is ReplayGuarantee.NODE


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("mysql://host/name", "scheme 'mysql' is unknown"),
        ("sage.db", "scheme '' is unknown"),
        ("postgresql://sage:p@ss/w#rd@127.0.0.1:1/x", "@ behind its host"),
        ("redis://:p@ss/wor@127.0.0.1:1/0", "@ behind its host"),
        ("postgresql://sage:hun@ter2/a#b@127.0.0.1/x", "@ behind its host"),
        ("postgresql://[::1/x", "cannot be read"),
    ],
)
async def test_urls_that_cannot_be_meant(url: str, match: str) -> None:
    with pytest.raises(ConfigurationError, match=match) as refused:
        await open_storage(url)
    for piece in ("hun", "ter2", "w#rd", "wor@", "p@ss"):
        assert piece not in str(refused.value)


async def test_levels_that_are_unknown_or_not_reached() -> None:
    with pytest.raises(ConfigurationError, match="'durabel' is unknown; known are: process"):
        await open_storage("memory:", guarantee="durabel")
    with pytest.raises(ConfigurationError, match="demands durable"):
        await open_storage("memory:", guarantee="durable")
