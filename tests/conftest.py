"""Fixtures for every test."""

import pytest

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
    "redis_server",
    "shared_database",
]
