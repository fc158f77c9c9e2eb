"""Every row of the table of attacks has a test against the running gateway, or a reason."""

from __future__ import annotations

from tests.security import (
    test_gateway_attacks_encoding,
    test_gateway_attacks_handshake,
    test_gateway_attacks_http,
    test_gateway_attacks_live,
    test_gateway_attacks_records,
    test_gateway_attacks_resources,
)
from tests.security.gateway.rows import NOT_HERE, TABLE, quoted

MODULES = (
    test_gateway_attacks_handshake,
    test_gateway_attacks_records,
    test_gateway_attacks_encoding,
    test_gateway_attacks_http,
    test_gateway_attacks_resources,
    test_gateway_attacks_live,
)


def test_the_table_is_whole() -> None:
    assert len(set(TABLE)) == len(TABLE) == 41


def test_every_row_is_tested() -> None:
    tested = set(quoted(*MODULES)) & set(TABLE)
    assert tested.isdisjoint(NOT_HERE)
    assert tested | set(NOT_HERE) == set(TABLE)


def test_no_test_names_a_row_that_is_none() -> None:
    assert set(quoted(*MODULES)) <= set(TABLE)
