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
from tests.security.gateway.rows import HANDSHAKE, HTTP, NOT_HERE, RECORDS, quoted
from tests.security.test_attack_table import TABLE

ROWS = (*HANDSHAKE, *RECORDS, *HTTP)
MODULES = (
    test_gateway_attacks_handshake,
    test_gateway_attacks_records,
    test_gateway_attacks_encoding,
    test_gateway_attacks_http,
    test_gateway_attacks_resources,
    test_gateway_attacks_live,
)


def test_the_list_is_the_table() -> None:
    assert len(set(ROWS)) == len(ROWS) == 41
    assert set(ROWS) == set(TABLE)


def test_every_row_is_tested() -> None:
    tested = set(quoted(*MODULES)) & set(ROWS)
    assert tested.isdisjoint(NOT_HERE)
    assert tested | set(NOT_HERE) == set(ROWS)


def test_no_test_names_a_row_that_is_none() -> None:
    assert set(quoted(*MODULES)) <= set(ROWS)
