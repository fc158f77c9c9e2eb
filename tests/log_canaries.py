"""Secrets that tests know, and the watch over all that is logged meanwhile.

Whoever makes a secret for a test says so with `known`. Around each test everything that anybody
logs, at whatever level, is kept, and searched for those secrets when the test is over.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING

from tests.security.canaries import finds

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["known", "watched"]

_LOGGERS = ("", "sage_native")
# Fixtures live longer than a test, but none lives for so many.
_known: deque[tuple[str, bytes]] = deque(maxlen=200)


def known(name: str, secret: bytes) -> bytes:
    """Say that a secret must not be logged from here on; return it."""
    _known.append((name, secret))
    return secret


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):  # a record whose arguments do not fit says nothing
            self.kept.append(self.format(record))


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Keep what is logged inside, and assert at the end that no known secret is in it."""
    keeper = _Keeper()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger, logger.level) for logger in loggers]
    loggers[0].addHandler(keeper)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        loggers[0].removeHandler(keeper)
        for logger, level in before:
            logger.setLevel(level)
    if keeper.kept:
        text = "\n".join(keeper.kept).encode("utf-8", "backslashreplace")
        secrets = {f"{name} {at}": secret for at, (name, secret) in enumerate(_known)}
        found = finds([("the log", text)], secrets)
        assert found == [], found
