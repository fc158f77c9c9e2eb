"""Fixtures for every test."""

import pytest

from tests.servers.fixtures import (
    migrated_database,
    postgres_dsn,
    postgres_server,
    redis_server,
    shared_database,
)

pytest.register_assert_rewrite("sage_native.storage.contract")

__all__ = [
    "migrated_database",
    "postgres_dsn",
    "postgres_server",
    "redis_server",
    "shared_database",
]
