"""Log lines of a worker, as ``logging`` of the settings wants them: one line an event.

Whatever a text holds, it stays one line: JSON escapes control characters, and so does the form for
people, so that nobody writes lines of the log who may only write into one.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from sage_native.config.settings import LoggingSettings

__all__ = ["set_up_logging"]

LOGGER = "sage_native"


def set_up_logging(settings: LoggingSettings) -> None:
    """Send what this package logs where the settings say, and warnings of everybody else too.

    Raises:
        OSError: The file cannot be written.
    """
    handler: logging.Handler
    if settings.output in {"stderr", "stdout"}:
        handler = logging.StreamHandler(getattr(sys, settings.output))
    else:
        handler = logging.FileHandler(settings.output, encoding="utf-8")
    handler.setFormatter(_JsonLine() if settings.format == "json" else _PlainLine())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(LOGGER).setLevel(settings.level.upper())


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(document).decode()


class _PlainLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        line = f"{moment} {record.levelname.lower():<7} {_printable(record.getMessage())}"
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            line = "\n".join([line, *(f"  | {_printable(one)}" for one in trace)])
        return line


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
