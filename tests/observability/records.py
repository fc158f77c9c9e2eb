"""Answered records, made of tuples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.observability.answered import AnsweredRecords

if TYPE_CHECKING:
    from sage_native.observability.answered import AnsweredRecord

__all__ = ["records_of"]


def records_of(*rows: AnsweredRecord) -> AnsweredRecords:
    """Return records of which these are the rows."""
    records = AnsweredRecords()
    for row in rows:
        records.add(*row)
    return records
