"""How many records and signatures there were, and how long some of them took.

The native module counts by itself, once it is told to: the numbers are of this process, of all keys
and sessions, singly and in batches alike. Until then they stay where they are.
"""

from __future__ import annotations

from typing import NamedTuple

from sage_native._native import _count_operations, _operation_counts

__all__ = ["BOUNDS_NS", "OperationCounts", "count_operations", "operation_counts"]

BOUNDS_NS: tuple[int, ...] = tuple(_operation_counts()[-1])
"""The upper bounds of the buckets of durations, in ns; one more bucket has none."""


class OperationCounts(NamedTuple):
    """What was counted of one kind of operation.

    Attributes:
        calls: How many there were.
        refused: How many of them were refused.
        plaintext_len: Bytes of plaintext of the others; 0 for signatures.
        took_ns: How long those that were measured took together, in ns.
        took: How many of them fell into each bucket.
    """

    calls: int
    refused: int
    plaintext_len: int
    took_ns: int
    took: list[int]


def count_operations(*, is_on: bool = True) -> None:
    """Begin or cease to count. What was counted stays.

    Cost of counting: 1 to 3 ns for a single record or signature, and nothing that can be measured
    for a batch. One operation in 64 is measured, for 50 ns; a batch as a whole, and its operations
    share the mean.
    """
    _count_operations(is_on)


def operation_counts() -> dict[str, OperationCounts]:
    """Return what was counted, by ``seal``, ``open``, ``sign`` and ``verify``.

    Cost: one crossing, 2 µs.
    """
    seal, open_, sign, verify, _ = _operation_counts()
    return {
        "seal": OperationCounts(*seal),
        "open": OperationCounts(*open_),
        "sign": OperationCounts(*sign),
        "verify": OperationCounts(*verify),
    }
