"""The watch over the logs of all tests finds what it looks for."""

from __future__ import annotations

import logging
import os
from collections import deque

import pytest

from tests import log_canaries
from tests.log_canaries import known, watched
from tests.security.canaries import spellings


@pytest.fixture(autouse=True)
def _secrets_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged here on purpose must not fail the test in its turn."""
    monkeypatch.setattr(log_canaries, "_known", deque())


@pytest.mark.parametrize("name", ["sage_native.gateway", "somebody", "root"])
def test_a_secret_that_is_logged_is_found(name: str) -> None:
    logger = logging.getLogger(name)
    secret = known("a canary", os.urandom(32))
    # A text holds no bytes as they are.
    texts = [text.decode() for text in spellings(secret) if text.isascii()]
    assert len(texts) >= 9
    for text in texts:
        with pytest.raises(AssertionError, match="a canary"):
            log(logger, "before %s after", text)


def test_an_exception_is_looked_through() -> None:
    secret = known("a canary", os.urandom(32))
    with pytest.raises(AssertionError, match="a canary"):
        log_failure(secret.hex() + "?")


def test_nothing_is_found_where_nothing_is() -> None:
    known("a canary", os.urandom(32))
    log(logging.getLogger("somebody"), "%s", os.urandom(32).hex())


def log(logger: logging.Logger, text: str, argument: str) -> None:
    with watched():
        logger.debug(text, argument)


def log_failure(text: str) -> None:
    with watched():
        try:
            int(text)
        except ValueError:
            logging.getLogger("somebody").exception("failed")
