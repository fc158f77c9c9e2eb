"""Fixtures for every test."""

from collections.abc import Iterator

import pytest

from tests.log_canaries import watched
from tests.names import pytest_xdist_node_collection_finished
from tests.servers.fixtures import (
    migrated_database,
    postgres_dsn,
    postgres_server,
    redis_server,
    shared_database,
)
from tests.skips import pytest_make_collect_report, pytest_runtest_makereport

pytest.register_assert_rewrite("sage_native.storage.contract")

__all__ = [
    "migrated_database",
    "postgres_dsn",
    "postgres_server",
    "pytest_make_collect_report",
    "pytest_runtest_makereport",
    "pytest_xdist_node_collection_finished",
    "redis_server",
    "shared_database",
]


@pytest.fixture(autouse=True)
def _no_secret_is_logged() -> Iterator[None]:
    with watched():
        yield
