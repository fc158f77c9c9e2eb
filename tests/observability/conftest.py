"""What watches a process is taken away again after each test."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_native.observability.tracing import Tracing
    from tests.observability.otlp import Receiver


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("sage_native")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])
    structlog.reset_defaults()


@pytest.fixture
def taker() -> Iterator[Receiver]:
    from tests.observability.otlp import receiver  # noqa: PLC0415 - for tests of traces alone

    with receiver() as one:
        yield one


@pytest.fixture
def tracing(taker: Receiver) -> Iterator[Tracing]:
    from sage_native.observability.pseudonyms import Pseudonyms  # noqa: PLC0415 - as above
    from sage_native.observability.tracing import start_tracing  # noqa: PLC0415 - as above

    with start_tracing(taker.url, pseudonyms=Pseudonyms(bytes(32))) as one:
        yield one
