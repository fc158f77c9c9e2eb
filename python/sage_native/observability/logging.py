"""Structured logs, for the gateway and for any application that embeds this package.

::

    log_output = configure_logging(level="info", format="json", output="/var/log/agent.log")
    log = logger()
    log.info("fetched", count=3, operation="page")

``logger`` is structlog's; lines of Python's ``logging`` and of third parties take the same form.
What may stand in a line is listed in `sage_native.observability.fields.FIELDS`; other fields, and
bytes, are left out and counted (``fields_dropped``). DIDs and session ids become pseudonyms.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import structlog

from sage_native.exceptions import UsageError
from sage_native.observability.lines import context, renderer
from sage_native.observability.pseudonyms import Pseudonyms
from sage_native.observability.redaction import Redaction
from sage_native.observability.writer import LineWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from sage_native.observability.fields import Field

    Line: TypeAlias = MutableMapping[str, Any]

__all__ = ["Level", "LogOutput", "configure_logging", "logger"]

Level: TypeAlias = Literal["debug", "info", "warning", "error"]
LEVELS: dict[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
LOGGER = "sage_native"


class LogOutput:
    """Where the lines of a process go, from `configure_logging` until it is closed.

    Args:
        writer: Takes the lines.
        redaction: Decides what stands in them.
        render: Spells them.
        level: The least that is written.
        is_json: Whether lines are JSON.

    Attributes:
        redaction: As handed in.
        is_json: As handed in.
        append: Takes a line as it is to be written.
    """

    def __init__(
        self,
        writer: LineWriter,
        redaction: Redaction,
        render: Callable[[Mapping[str, Any]], bytes],
        level: Level,
        *,
        is_json: bool,
    ) -> None:
        self._writer = writer
        self.is_json = is_json
        self.append = writer.append
        self.redaction = redaction
        self._render = render
        self._level = LEVELS[level]

    @property
    def dropped_count(self) -> int:
        """Return how many lines were dropped, since nobody took them."""
        return self._writer.dropped_count

    def takes(self, level: str) -> bool:
        """Tell whether lines of a level are written: nobody needs to make one that is not."""
        return LEVELS.get(level, logging.CRITICAL) >= self._level

    def write(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write a line of any content: what may not be in it is left out.

        Cost: 12 µs.
        """
        self.append(self.line(level, event, fields))

    def line(self, level: str, event: str, fields: Mapping[str, object]) -> bytes:
        """Return what `write` writes."""
        written = self.redaction(
            {"level": level, "event": event, "pid": os.getpid(), **context(), **fields}
        )
        return self._render({"time": datetime.now(UTC), **written})

    def write_safe(self, fields: Mapping[str, Any]) -> None:
        """Write a line whose fields are known to be fit, ``time`` among them, as they are.

        Cost: 2 µs.
        """
        self.append(self._render(fields))

    def append_many(self, pieces: Sequence[tuple[bytes, int]]) -> None:
        """Take lines as they are to be written, several in a piece, as ``LineWriter``."""
        self._writer.append_many(pieces)

    def flush(self) -> bool:
        """Wait until all lines are written, for two seconds at most; return whether they are."""
        return self._writer.flush()

    def close(self) -> None:
        """Write what waits. Lines that come later go nowhere."""
        self._writer.close()
        root = logging.getLogger()
        for handler in list(root.handlers):
            if isinstance(handler, _Bridge) and handler.log_output is self:
                root.removeHandler(handler)


def configure_logging(
    *,
    level: Level = "info",
    format: Literal["json", "console"] = "json",  # noqa: A002 - the settings' own name
    output: str = "stderr",
    pseudonyms: Pseudonyms | None = None,
    fields: Mapping[str, Field] | None = None,
) -> LogOutput:
    """Send the logs of this process somewhere, in one form.

    structlog is configured, and the root logger of ``logging`` gets a handler in place of those it
    has: lines of ``sage_native`` from ``level`` on, and warnings of everybody else.

    Args:
        level: The least that is written.
        format: ``json`` for machines, ``console`` for people.
        output: ``stderr``, ``stdout``, or the path of a file; it is opened anew when it was moved.
        pseudonyms: Of DIDs and session ids; some of this process alone if they are left out.
        fields: What the application's own lines may hold beside the fields of this package.

    Returns:
        What is to be closed at the end, so that no line is lost.

    Raises:
        UsageError: Another level or format.
        OSError: The file cannot be written.
    """
    if level not in LEVELS or format not in {"json", "console"}:
        raise UsageError(f"level {level!r} and format {format!r}: see configure_logging")
    redaction = Redaction(Pseudonyms.random() if pseudonyms is None else pseudonyms, fields)
    render = renderer(format)

    def say_lost(count: int) -> bytes:
        now = datetime.now(UTC)
        return render(
            {"time": now, "level": "error", "event": "log lines were lost", "count": count}
        )

    writer = LineWriter(output, say_lost=say_lost)
    log_output = LogOutput(writer, redaction, render, level, is_json=format == "json")
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _Renderer(log_output)],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: _LineLogger(log_output.append),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Bridge(log_output)], level=logging.WARNING, force=True)
    logging.getLogger(LOGGER).setLevel(LEVELS[level])
    return log_output


def logger(**fields: object) -> FilteringBoundLogger:
    """Return a logger of structlog, whose lines hold these fields.

    Where `configure_logging` was not called structlog does what it does by itself.
    """
    bound: FilteringBoundLogger = structlog.get_logger(**fields)
    return bound


class _Renderer:
    """The last processor of structlog: makes the line."""

    def __init__(self, log_output: LogOutput) -> None:
        self._output = log_output

    def __call__(self, _logger: object, method: str, line: Line) -> bytes:
        event = str(line.pop("event", ""))
        raised = line.pop("exc_info", None)
        if raised:
            line["exception"] = _trace(raised)
        return self._output.line(_LEVEL_OF_METHOD.get(method, method), event, line)


_LEVEL_OF_METHOD = {"exception": "error", "warn": "warning", "fatal": "critical"}


class _LineLogger:
    """What structlog wraps: takes lines as bytes."""

    def __init__(self, append: Callable[[bytes], None]) -> None:
        self.msg = self.debug = self.info = self.warning = self.warn = append
        self.error = self.critical = self.fatal = self.exception = self.log = append


class _Bridge(logging.Handler):
    """Takes what others log through ``logging``."""

    def __init__(self, log_output: LogOutput) -> None:
        super().__init__()
        self.log_output = log_output

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        fields: dict[str, object] = {"logger": record.name}
        try:
            if record.exc_info:
                fields["exception"] = _trace(record.exc_info)
            self.log_output.write(record.levelname.lower(), record.getMessage(), fields)
        except Exception as error:  # noqa: BLE001 - whoever logs is not to blame for his arguments
            # Not `handleError`, which prints the arguments as they are.
            fields["error"] = type(error).__name__
            self.log_output.write("error", "a log line could not be made", fields)


def _trace(raised: Any) -> str | None:  # noqa: ANN401 - as logging and structlog hand it in
    if isinstance(raised, BaseException):
        error: BaseException | None = raised
    elif isinstance(raised, tuple):
        error = raised[1]
    else:
        error = sys.exception()
    return None if error is None else "".join(traceback.format_exception(error)).rstrip("\n")
