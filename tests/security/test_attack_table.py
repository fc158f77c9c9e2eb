"""Every row of the table of attacks has a test that quotes it, or a reason to wait."""

from __future__ import annotations

from typing import Final

from tests.security import (
    test_attacks_encoding,
    test_attacks_handshake,
    test_attacks_records,
    test_forks,
)
from tests.security.gateway.rows import TABLE, quoted
from tests.unit import test_bit_flips

MODULES: Final = (
    test_attacks_encoding,
    test_attacks_handshake,
    test_attacks_records,
    test_bit_flips,
    test_forks,
)

AT_THE_GATEWAY: Final = {
    "M1 answered, never confirmed, from 10^5 clients",
    "method, path and host tricks on every route",
    "`X-Forwarded-For` from an unlisted peer",
    "store unreachable, slow, returning garbage; pool exhausted",
    "silent, dripping, non-reading connections",
    "SIGTERM under load",
    "other DID's sessions listed or deleted",
    "metrics, docs, admin on the public listener",
    "labels by DID, path or session id",
    "`provider: vualt`, unknown key, TLS or limits off in the production profile",
}
"""Rows that need more than the protocol; test_gateway_attack_table has them all."""


def test_every_row_is_tested_here_or_at_the_gateway() -> None:
    rows = set(quoted(*MODULES))
    assert len(set(TABLE)) == len(TABLE) == 41
    assert rows.isdisjoint(AT_THE_GATEWAY)
    assert rows | AT_THE_GATEWAY == set(TABLE)
