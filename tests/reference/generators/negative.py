"""``negative.json``: messages with the code that each must get."""

from __future__ import annotations

from collections import Counter

from . import (
    negative_accept,
    negative_confirm,
    negative_initiate,
    negative_json,
    negative_records,
    negative_rekey,
)
from .case import Case, answer_of
from .situations import SETUPS


def build() -> dict[str, object]:
    """Return the file; every case was run against the reference."""
    cases = [
        *negative_initiate.build(),
        *negative_json.build(),
        *negative_accept.build(),
        *negative_confirm.build(),
        *negative_records.build(),
        *negative_rekey.build(),
    ]
    repeated = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    if repeated:
        raise AssertionError(f"names used twice: {repeated}")
    wrong = [text for text in map(_disagreement, cases) if text]
    if wrong:
        raise AssertionError("\n".join(wrong))
    return {
        "description": (
            "One message each, with the code that it must get, null where it must be accepted. "
            "'setups' hold all inputs of the situations; SOURCES.md says how to feed."
        ),
        "source": "python -m tests.reference.generate; docs/protocol.md",
        "setups": {name: setup.to_json() for name, setup in SETUPS.items()},
        "cases": [case.to_json() for case in cases],
    }


def _disagreement(case: Case) -> str | None:
    answer = answer_of(
        SETUPS[case.setup], list(case.before), case.item, before_refused=case.before_refused
    )
    return None if answer == case.error else f"{case.name}: {answer}, not {case.error}"
