"""Rows 20 and 21: what it costs to be watched.

* *Row 20*: a record of 64 bytes at a gateway that writes a line for each request, counts and
  measures it and traces every hundredth, beside the same gateway in which none of that was even
  started. CPU time as in rows 15 and 16, until lines are written and metrics are counted, which
  comes after the requests that they tell of; a slice is as long as two or three tellings. Spans
  are sent every two seconds, which a slice rarely sees: some 4 µs each, for one request in a
  hundred.
* *Row 21*: a batch of 1,000 in one call of the native module while it counts, beside the same call
  while it does not.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from benches.ratios import backends
from benches.ratios.http import contenders
from benches.ratios.http.receiver import receiver
from benches.ratios.rows.gateway import SERVER_COUNT, records, scratch
from benches.ratios.rows.records import our_open_many
from benches.ratios.sides import Row, Side, always, by_turns
from sage_native.counting import count_operations
from sage_native.keys import SigningKey, verify_many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benches.ratios.http.contenders import Contender
    from benches.ratios.sides import Arguments

RECORD_COUNT = 4800
"""Records of one call: some 120 ms, and observers are told every 50 ms."""
TOLD_S = 0.17
"""When all lines are written: waits of 50 ms and 100 ms after the last request, and some."""
BATCH_LEN = 1000
MESSAGE = bytes(range(256))


@cache
def _traces_url() -> str:
    serving = receiver()
    url = serving.__enter__()
    backends.at_close(lambda: serving.__exit__(None, None, None))
    backends.at_close(_traces_url.cache_clear)
    return url


@cache
def _watched(number: int) -> Contender:
    started = contenders.watched(scratch() / f"watched-{number}", traces_url=_traces_url())
    backends.at_close(started.server.stop)
    backends.at_close(_watched.cache_clear)
    return started


@cache
def _unwatched(number: int) -> Contender:
    started = contenders.unwatched(scratch() / f"unwatched-{number}")
    backends.at_close(started.server.stop)
    backends.at_close(_unwatched.cache_clear)
    return started


def _told(side: Side) -> Side:
    """Wait in each call until what it did was told; waiting takes no CPU time."""

    def call(*arguments: object) -> object:
        result = side.call(*arguments)
        time.sleep(TOLD_S)
        return result

    return replace(side, call=call)


def _requests() -> tuple[Side, Side]:
    return (
        by_turns(lambda number: _told(records(_watched(number), RECORD_COUNT)), SERVER_COUNT),
        by_turns(lambda number: _told(records(_unwatched(number), RECORD_COUNT)), SERVER_COUNT),
    )


def _counting(side: Side, *, is_on: bool) -> Side:
    """Count, or do not, during the calls of a side."""

    def prepare(call_count: int) -> Iterable[Arguments]:
        count_operations(is_on=is_on)
        return side.prepare(call_count)

    return Side(side.call, prepare, side.operation_count, side.seen)


def _both(side: Callable[[], Side]) -> Callable[[], tuple[Side, Side]]:
    def sides() -> tuple[Side, Side]:
        backends.at_close(lambda: count_operations(is_on=False))
        return _counting(side(), is_on=True), _counting(side(), is_on=False)

    return sides


def _verify_batch() -> Side:
    keys = [SigningKey(number.to_bytes(32, "big")) for number in range(1, BATCH_LEN + 1)]
    batch = (
        [key.verifying_key_bytes for key in keys],
        [key.sign(MESSAGE) for key in keys],
        [MESSAGE] * BATCH_LEN,
    )
    return Side(verify_many, always(*batch), BATCH_LEN, seen=np.ndarray.tolist)


def _native(operation: str, side: Callable[[], Side]) -> Row:
    name = f"{operation}, batch of {BATCH_LEN:,}, counted"
    return Row(21, name, "the same, not counted", _both(side), 0.99, 1)


ROWS = (
    Row(
        20,
        "Gateway record request, 64 B, with logs, metrics and 1 % traces",
        "the same gateway, unwatched",
        _requests,
        0.9,
        0.95,
    ),
    _native("Ed25519 verify", _verify_batch),
    _native("Record open, 64 B", lambda: our_open_many(BATCH_LEN)),
)
