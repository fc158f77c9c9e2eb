"""Tests that go to several processes share no name: pytest-xdist would run one of them alone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["pytest_xdist_node_collection_finished"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(ids: Sequence[str]) -> None:
    """End the run where a process found a name twice."""
    shared = [name for name, count in Counter(ids).items() if count > 1]
    if shared:
        pytest.exit(f"several tests have one name, and one of them would run: {shared}", 4)
