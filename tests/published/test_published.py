from __future__ import annotations

import pytest

from tests.published.table import OWN, TABLE


@pytest.mark.parametrize("name", [*TABLE, *OWN])
def test_every_case_of_a_file(name: str) -> None:
    run, expected = {**TABLE, **OWN}[name]
    assert run() == expected


def test_enough_cases_are_executed() -> None:
    executed = sum(expected.executed for _, expected in TABLE.values())
    assert executed == 5368
    assert executed >= 2600  # what docs promise
    assert sum(expected.refused for _, expected in TABLE.values()) == 15_250
    assert sum(expected.excluded for _, expected in TABLE.values()) == 24_092
