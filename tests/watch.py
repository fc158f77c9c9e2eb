"""Who looks whether a secret comes out: in logs at every level, on the terminal, in errors.

::

    with Watch(secret, token) as watch:
        with pytest.raises(SecretRefusedError) as refused: ...
        watch.error(refused.value)
"""

from __future__ import annotations

import base64
import io
import logging
import traceback
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self


class Watch(logging.Handler):
    """Takes every record of every logger, with none disabled, and looks at all of it at the end."""

    def __init__(self, *secrets: bytes) -> None:
        super().__init__(logging.NOTSET)
        self._spellings = {one for secret in secrets for one in _spellings(secret)}
        self._texts: list[str] = []
        self._terminal = io.StringIO()
        self._open = ExitStack()
        self._level = logging.NOTSET

    def emit(self, record: logging.LogRecord) -> None:
        self._texts.append(f"{record.name} {record.getMessage()} {record.exc_text or ''}")
        if record.exc_info and record.exc_info[1]:
            self.error(record.exc_info[1])

    def error(self, error: BaseException) -> None:
        """Look at an error and at all that it comes from, with what hangs on it."""
        for one in _family(error):
            self.text(str(one), repr(one), repr(one.args), repr(vars(one)))
        told = traceback.TracebackException.from_exception(error)
        self.text(*told.format())

    def text(self, *texts: str) -> None:
        self._texts += texts
        for text in texts:
            found = [one for one in self._spellings if one in text]
            assert not found, f"a secret is shown in: {text}"

    @property
    def record_count(self) -> int:
        return len(self._texts)

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._level = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        self._open.enter_context(redirect_stdout(self._terminal))
        self._open.enter_context(redirect_stderr(self._terminal))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        root = logging.getLogger()
        root.setLevel(self._level)
        root.removeHandler(self)
        self.text(*list(self._texts), self._terminal.getvalue())


def _spellings(secret: bytes) -> Iterator[str]:
    yield secret.decode("latin-1")
    yield repr(secret)[2:-1]
    yield secret.hex()
    yield secret.hex().upper()
    for offset in range(3):
        # What stands before and behind it is not known: leave the digits out that depend on it.
        text = base64.b64encode(bytes(offset) + secret).rstrip(b"=")[(offset * 8 + 5) // 6 : -1]
        yield text.decode()
        yield text.translate(bytes.maketrans(b"+/", b"-_")).decode()


def _family(error: BaseException) -> Iterator[BaseException]:
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
