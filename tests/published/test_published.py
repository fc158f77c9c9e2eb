from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sage_native._native import (  # noqa: TID251 - no public name takes a path
    _curve25519_paths,
    _take_curve25519_path,
)
from tests.published.table import OWN, TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("name", [*TABLE, *OWN])
def test_every_case_of_a_file(name: str) -> None:
    run, expected = {**TABLE, **OWN}[name]
    assert run() == expected


VERIFIED = ("wycheproof ed25519_test.json", "ed25519_strict.json")


@pytest.fixture(params=_curve25519_paths())
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """A path that signatures take; the fastest again afterwards."""
    _take_curve25519_path(request.param)
    yield request.param
    _take_curve25519_path(None)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("name", ["RFC 8032 §7.1, SHA(abc)", *VERIFIED])
def test_every_signature_on_every_path(name: str) -> None:
    run, expected = {**TABLE, **OWN}[name]
    assert run() == expected


def test_enough_cases_are_executed() -> None:
    executed = sum(expected.executed for _, expected in TABLE.values())
    assert executed == 5368
    assert executed >= 2600  # what docs promise
    assert sum(expected.refused for _, expected in TABLE.values()) == 15_250
    assert sum(expected.excluded for _, expected in TABLE.values()) == 24_092
