"""Log lines: from structlog, from logging, of requests and of events, in both forms."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from sage_native import SigningKey, events
from sage_native.exceptions import StorageError, UsageError
from sage_native.observability import RequestMiddleware
from sage_native.observability.access import RequestLog
from sage_native.observability.context import bind, current_scope, unbind
from sage_native.observability.event_lines import EventLog
from sage_native.observability.fields import FIELDS, Field, Kind
from sage_native.observability.logging import LogOutput, configure_logging, logger
from sage_native.observability.pseudonyms import KEY_LEN, Pseudonyms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PSEUDONYMS = Pseudonyms(bytes(KEY_LEN))
DID = SigningKey.from_bytes(bytes(32)).did
SESSION_ID = "01234567-89ab-cdef-0123-456789abcdef"
SECRET = b"thirty-two bytes of a secret key"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def log_output(path: Path) -> Iterator[LogOutput]:
    log_output = configure_logging(level="debug", output=str(path), pseudonyms=PSEUDONYMS)
    yield log_output
    log_output.close()


@pytest.fixture
def read(path: Path, log_output: LogOutput) -> Callable[[], list[dict[str, Any]]]:
    def read() -> list[dict[str, Any]]:
        assert log_output.flush()
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    return read


def only(lines: list[dict[str, Any]]) -> dict[str, Any]:
    [line] = lines
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line.pop("pid") > 0
    return line


# From loggers.


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_a_line_of_structlog(read: Callable[[], list[dict[str, Any]]], level: str) -> None:
    getattr(logger(operation="page"), level)("fetched", count=3, unknown="hunter2", did=DID)
    assert only(read()) == {
        "level": level,
        "event": "fetched",
        "operation": "page",
        "count": 3,
        "did": PSEUDONYMS.of_did(DID),
        "fields_dropped": 1,
    }


def test_an_exception_is_told_without_what_it_holds(
    read: Callable[[], list[dict[str, Any]]],
) -> None:
    def fail() -> None:
        raise RuntimeError(f"{SECRET!r} of {DID}\nwas wrong\x1b[31m")

    for tell in (logger(), logging.getLogger("elsewhere")):
        try:
            fail()
        except RuntimeError:
            tell.exception("failed")
    lines = read()
    assert len(lines) == 2
    for line in lines:
        assert (line["level"], line["event"]) == ("error", "failed")
        last = line["exception"].split("RuntimeError: ")[1]
        assert last == f"… of {PSEUDONYMS.of_did(DID)}\nwas wrong\\x1b[31m"


def test_lines_of_logging_take_the_same_form(read: Callable[[], list[dict[str, Any]]]) -> None:
    logging.getLogger("sage_native.gateway").info("ended %s with %r", SESSION_ID, SECRET)
    assert only(read()) == {
        "level": "info",
        "event": f"ended {PSEUDONYMS.of_session(SESSION_ID)} with …",
        "logger": "sage_native.gateway",
    }


def test_others_are_heard_from_warnings_on(read: Callable[[], list[dict[str, Any]]]) -> None:
    for name in ("somebody", "sage_native.gateway"):
        logging.getLogger(name).debug("of %s", name)
        logging.getLogger(name).warning("of %s", name)
    assert [(line["level"], line["logger"]) for line in read()] == [
        ("warning", "somebody"),
        ("debug", "sage_native.gateway"),
        ("warning", "sage_native.gateway"),
    ]


def test_a_line_that_cannot_be_made_is_told_without_its_arguments(
    read: Callable[[], list[dict[str, Any]]], capfd: pytest.CaptureFixture[str]
) -> None:
    # pytest's own handler would raise.
    record = logging.LogRecord("somebody", logging.WARNING, "", 1, "%d", (SECRET,), None)
    for handler in logging.getLogger().handlers:
        if type(handler).__module__.startswith("sage_native"):
            handler.handle(record)
    assert only(read()) == {
        "level": "error",
        "event": "a log line could not be made",
        "logger": "somebody",
        "error": "TypeError",
    }
    assert capfd.readouterr() == ("", "")


def test_what_is_below_the_level_is_not_written(path: Path) -> None:
    log_output = configure_logging(level="warning", output=str(path))
    for tell in (logger(), logging.getLogger("sage_native")):
        tell.info("no")
        tell.warning("yes")
    assert not log_output.takes("info")
    assert log_output.takes("critical")
    log_output.close()
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["yes"] * 2


def test_an_application_adds_its_fields(path: Path) -> None:
    fields = {"page": Field(Kind.NUMBER, "Which page.")}
    log_output = configure_logging(output=str(path), fields=fields)
    logger().info("turned", page=7)
    log_output.close()
    assert json.loads(path.read_text())["page"] == 7


def test_people_read_columns(path: Path) -> None:
    log_output = configure_logging(format="console", output=str(path), pseudonyms=PSEUDONYMS)
    logger().info("fetched\n12:00:00 forged", count=3, operation="a b", is_complete=True)
    try:
        int("of\nthe value")
    except ValueError:
        logger().exception("failed")
    log_output.close()
    first, second, *trace = path.read_text("utf-8").splitlines()
    assert first[9:].startswith("info    fetched\\n12:00:00 forged  pid=")
    assert first.endswith('count=3 operation="a b" is_complete=yes')
    assert second[9:].startswith("error   failed  pid=")
    assert all(line.startswith("  | ") for line in trace)
    assert trace[-1].startswith("  | ValueError: ")


@pytest.mark.parametrize("wrong", [{"level": "loud"}, {"format": "xml"}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="configure_logging"):
        configure_logging(**wrong)


def test_the_last_line_of_a_process_is_not_lost(path: Path) -> None:
    program = (
        "from sage_native.observability.logging import configure_logging, logger\n"
        f"configure_logging(output={str(path)!r})\n"
        "logger().info('last')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert json.loads(path.read_text())["event"] == "last"


# Context.


def test_what_is_bound_is_in_every_line_of_a_task(
    read: Callable[[], list[dict[str, Any]]],
) -> None:
    async def work(name: str) -> None:
        token = bind(operation=name, did=DID)
        await asyncio.sleep(0)
        logging.getLogger("sage_native").info("inside")
        unbind(token)
        logger().info("after")

    async def both() -> None:
        await asyncio.gather(work("one"), work("two"))

    asyncio.run(both())
    structlog.contextvars.bind_contextvars(reason="bound", unknown="hunter2")
    logger().info("of structlog")
    structlog.contextvars.clear_contextvars()
    lines = read()
    inside = [line for line in lines if line["event"] == "inside"]
    assert {line["operation"] for line in inside} == {"one", "two"}
    assert {line["did"] for line in inside} == {PSEUDONYMS.of_did(DID)}
    assert all("operation" not in line for line in lines if line["event"] == "after")
    assert lines[-1]["reason"] == "bound"
    assert lines[-1]["fields_dropped"] == 1


@pytest.mark.parametrize("is_sampled", [True, False])
def test_the_span_that_is_recorded_is_named(
    read: Callable[[], list[dict[str, Any]]], *, is_sampled: bool
) -> None:
    provider = TracerProvider(sampler=ALWAYS_ON if is_sampled else ALWAYS_OFF)
    with provider.get_tracer("test").start_as_current_span("work") as span:
        logger().info("inside")
    logger().info("outside")
    inside, outside = read()
    assert "trace_id" not in outside
    if is_sampled:
        found = span.get_span_context()
        assert inside["trace_id"] == f"{found.trace_id:032x}"
        assert inside["span_id"] == f"{found.span_id:016x}"
    else:
        assert "trace_id" not in inside


# Requests.


def answering(status: int, body: bytes = b"body") -> ASGIApp:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope.setdefault("sage.route", "/v1/things/{name}")
        logging.getLogger("sage_native").info("working")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return app


async def ask(app: ASGIApp, **members: Any) -> None:  # noqa: ANN401 - any members of a scope
    async def receive() -> Message:
        raise AssertionError("nobody reads")

    async def send(_message: Message) -> None:
        pass

    scope = {"type": "http", "method": "GET", "path": "/v1/things/a", "headers": [], **members}
    await app(scope, receive, send)


def logged(log_output: LogOutput, app: ASGIApp) -> ASGIApp:
    return RequestMiddleware(app, RequestLog(log_output, PSEUDONYMS, quiet_routes=("/quiet",)))


async def test_a_line_for_each_request(
    log_output: LogOutput, read: Callable[[], list[dict[str, Any]]]
) -> None:
    await ask(logged(log_output, answering(200)))
    working, line = read()
    assert working["request_id"] == line.pop("request_id")
    assert line.pop("duration_ms") > 0
    assert only([line]) == {
        "level": "info",
        "event": "request",
        "method": "GET",
        "route": "/v1/things/{name}",
        "status": 200,
        "sent_len": 4,
    }
    assert current_scope.get() is None


async def test_whose_request_it_was_is_a_pseudonym(
    log_output: LogOutput, read: Callable[[], list[dict[str, Any]]]
) -> None:
    app = logged(log_output, answering(404))
    await ask(app, **{"sage.session": SESSION_ID, "sage.problem": "not_found"})
    await ask(app, path_params={"did": DID})
    await ask(app, path_params={"session_id": SESSION_ID, "other": "x"})
    first, second, third = [line for line in read() if line["event"] == "request"]
    assert first["session"] == third["session"] == PSEUDONYMS.of_session(SESSION_ID)
    assert first["problem"] == "not_found"
    assert second["did"] == PSEUDONYMS.of_did(DID)


@pytest.mark.parametrize(
    ("status", "route", "level"),
    [
        (200, "/quiet", "debug"),
        (404, "/loud", "info"),
        (503, "/quiet", "debug"),
        (500, "/quiet", "error"),
        (502, "/loud", "error"),
    ],
)
async def test_levels_of_requests(
    *,
    log_output: LogOutput,
    read: Callable[[], list[dict[str, Any]]],
    status: int,
    route: str,
    level: str,
) -> None:
    await ask(logged(log_output, answering(status)), **{"sage.route": route})
    assert read()[-1]["level"] == level


async def test_what_an_application_raises_is_named(
    log_output: LogOutput, read: Callable[[], list[dict[str, Any]]]
) -> None:
    async def failing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ZeroDivisionError(SECRET)

    with pytest.raises(ZeroDivisionError):
        await ask(logged(log_output, failing))
    line = read()[-1]
    assert (line["level"], line["status"], line["error"]) == ("error", None, "ZeroDivisionError")


async def test_nothing_a_client_sends_stands_in_the_line(
    log_output: LogOutput, read: Callable[[], list[dict[str, Any]]]
) -> None:
    canary = "client-canary"
    await ask(
        logged(log_output, answering(200)),
        method=canary,
        path=f"/{canary}",
        query_string=canary.encode(),
        headers=[(canary.encode(), canary.encode()), (b"x-request-id", canary.encode())],
        path_params={"name": canary, "did": canary, "session_id": canary},
    )
    assert canary not in json.dumps(read())


async def test_bound_fields_of_a_request_are_looked_through(
    log_output: LogOutput, read: Callable[[], list[dict[str, Any]]]
) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    token = bind(reason="why", unknown="hunter2")
    await ask(logged(log_output, app))
    unbind(token)
    [line] = read()
    assert (line["reason"], line["fields_dropped"]) == ("why", 1)


# Events.

CAUSE = StorageError("no answer from Redis localhost:6379")
TOLD: list[tuple[events.Event, dict[str, object] | None]] = [
    (
        events.HandshakeFinished("completed", "ed25519", 0.0123, None, DID, DID, SESSION_ID),
        {
            "level": "info",
            "event": "handshake finished",
            "status": "completed",
            "key_type": "ed25519",
            "duration_ms": 12.3,
            "client": PSEUDONYMS.of_did(DID),
            "server": PSEUDONYMS.of_did(DID),
            "session": PSEUDONYMS.of_session(SESSION_ID),
        },
    ),
    (
        events.HandshakeFinished("failed", "ed25519", None, "store_unavailable", None, None),
        {
            "level": "error",
            "event": "handshake finished",
            "status": "failed",
            "key_type": "ed25519",
            "problem": "store_unavailable",
        },
    ),
    (
        events.ReplayRefused("replayed", 2),
        {"level": "warning", "event": "replay refused", "reason": "replayed", "count": 2},
    ),
    (
        events.SessionStarted("responder"),
        {"level": "debug", "event": "session started", "role": "responder"},
    ),
    (
        events.SessionRestored("responder", demands_rekey=True),
        {
            "level": "info",
            "event": "session restored",
            "role": "responder",
            "demands_rekey": True,
        },
    ),
    (events.SessionRekeyed(3), {"level": "debug", "event": "session rekeyed", "epoch": 3}),
    (
        events.SessionsEnded("revoked", 4),
        {"level": "info", "event": "sessions ended", "reason": "revoked", "count": 4},
    ),
    (
        events.StoreFailed("responder", "refresh", CAUSE),
        {
            "level": "error",
            "event": "store failed",
            "store": "responder",
            "operation": "refresh",
            "error": str(CAUSE),
        },
    ),
    (
        events.OperatorActed("did_revoked", DID, "done"),
        {
            "level": "info",
            "event": "operator acted",
            "action": "did_revoked",
            "outcome": "done",
            "did": PSEUDONYMS.of_did(DID),
        },
    ),
    (
        events.OperatorActed("session_ended", SESSION_ID, "refused"),
        {
            "level": "info",
            "event": "operator acted",
            "action": "session_ended",
            "outcome": "refused",
            "session": PSEUDONYMS.of_session(SESSION_ID),
        },
    ),
    (
        events.OperatorActed("token_refused", None, "refused"),
        {
            "level": "warning",
            "event": "operator acted",
            "action": "token_refused",
            "outcome": "refused",
        },
    ),
    (
        events.KeysRotated("signing key", DID),
        {
            "level": "info",
            "event": "key rotated",
            "what": "signing key",
            "did": PSEUDONYMS.of_did(DID),
        },
    ),
    (
        events.KeysRotated("kek", "kek-2"),
        {"level": "info", "event": "key rotated", "what": "kek", "key_id": "kek-2"},
    ),
    (events.RequestRefused("not_found", 404), None),
    (events.StoreAnswered("memory", "get", 0.001), None),
]


@pytest.mark.parametrize(("event", "expected"), TOLD, ids=lambda one: type(one).__name__)
def test_a_line_for_each_event(
    log_output: LogOutput,
    read: Callable[[], list[dict[str, Any]]],
    event: events.Event,
    expected: dict[str, object] | None,
) -> None:
    EventLog(log_output)(event)
    if expected is None:
        assert read() == []
    else:
        assert only(read()) == expected


def test_a_memory_that_was_opened(
    log_output: LogOutput, read: Callable[[], list[dict[str, Any]]], tmp_path: Path
) -> None:
    EventLog(log_output)(events.ReplayMemoryOpened(tmp_path, 17, is_complete=False))
    line = only(read())
    assert (line["event"], line["is_complete"]) == ("replay memory opened", False)
    assert (line["path"], line["remembers_since_ms"]) == (str(tmp_path), 17)


def test_every_event_is_told_or_left_out_on_purpose() -> None:
    told = {type(event) for event, _ in TOLD} | {events.ReplayMemoryOpened}
    assert told == set(events.Event.__args__)


def test_events_below_the_level_make_no_line(path: Path) -> None:
    log_output = configure_logging(level="warning", output=str(path))
    EventLog(log_output)(events.SessionsEnded("closed", 1))
    log_output.close()
    assert path.read_text() == ""


def test_every_field_has_a_meaning() -> None:
    for name, field in FIELDS.items():
        assert name.isidentifier()
        assert field.meaning.endswith(".")
