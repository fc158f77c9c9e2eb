"""docs/API.md tells of every operation and code, shows the real examples, and its walk works."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import yaml

from sage_native.gateway.connections import HEAD_S, MAX_HEAD_LEN, UNREAD_S
from sage_native.gateway.endpoint import MAX_HANDSHAKE_LEN, MAX_JSON_LEN
from sage_native.gateway.problems import PROBLEMS, RETRY_AFTER_S
from sage_native.gateway.routes.records import MAX_RECORD_LEN
from sage_native.gateway.worker import KEEP_ALIVE_S
from tests.docs.walks import ROOT, walk_of

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (ROOT / "docs/API.md").read_text("utf-8")
CHAPTERS = {
    "Public listener": {"public"},
    "Admin listener": {"admin"},
    "On both listeners": {"public", "admin"},
}
METHODS = ("get", "post", "put", "patch", "delete")

HEADING = re.compile(r"^(##|###) (.+)$", re.MULTILINE)
EXAMPLE = re.compile(
    r"<!-- example: (\w+) (\w+) (request|answer) -->\n```json\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
CODE = re.compile(r"^\| `(\w+)` \| (\d{3}) \| (\d*) ?\|", re.MULTILINE)


def told() -> dict[tuple[str, str], set[str]]:
    """Which operations the page tells of, and at which listeners."""
    found: dict[tuple[str, str], set[str]] = {}
    chapter = ""
    for level, heading in HEADING.findall(TEXT):
        if level == "##":
            chapter = heading
        elif operation := re.fullmatch(r"([A-Z]+) (/\S+)", heading):
            found.setdefault((operation[1], operation[2]), set()).update(CHAPTERS[chapter])
    return found


def described() -> dict[tuple[str, str], set[str]]:
    """Which operations the description has, and at which listeners."""
    document = yaml.safe_load((ROOT / "api/openapi.yaml").read_text("utf-8"))
    return {
        (method.upper(), path): {"public", "admin"} if listener == "both" else {listener}
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
        for listener in [operation["x-sage-listener"]]
    }


def exchanges() -> dict[tuple[str, str], Any]:
    files = (ROOT / "api/examples").glob("*.json")
    return {
        (exchange["operation"], exchange["name"]): exchange
        for file in files
        for exchange in json.loads(file.read_text("utf-8"))["exchanges"]
    }


def test_operations_and_listeners_are_those_of_the_description() -> None:
    assert len(told()) > 15
    assert told() == described()


def test_examples_are_the_worked_ones() -> None:
    worked = exchanges()
    shown = EXAMPLE.findall(TEXT)
    assert len(shown) > 10
    for operation, name, part, text in shown:
        assert json.loads(text) == worked[operation, name][part]["body"], (operation, name, part)


def test_every_operation_that_speaks_json_shows_an_example() -> None:
    speaking = {
        operation
        for (operation, _), exchange in exchanges().items()
        if "body" in exchange["request"] or "body" in exchange["answer"]
    }
    shown = {operation for operation, *_ in EXAMPLE.findall(TEXT)}
    # One session is shown in the list of them.
    assert speaking - shown == {"readSession"}


def test_codes_with_status_and_time_to_wait() -> None:
    table = {code: (int(status), wait) for code, status, wait in CODE.findall(TEXT)}
    assert table == {
        code: (status, str(RETRY_AFTER_S.get(code, ""))) for code, (status, _) in PROBLEMS.items()
    }


def test_numbers_are_those_of_the_code() -> None:
    text = " ".join(TEXT.split())
    assert f"a request has {HEAD_S:.0f} s for its head" in text
    assert f"a client has {UNREAD_S:.0f} s to take an answer" in text
    assert f"may rest for {KEEP_ALIVE_S} s between two requests" in text
    assert f"handshake messages and rekeys up to {MAX_HANDSHAKE_LEN >> 10} KiB" in text
    assert f"records up to {MAX_RECORD_LEN:,} bytes" in text
    assert f"other JSON up to {MAX_JSON_LEN >> 20} MiB" in text
    assert f"all headers of a request up to {MAX_HEAD_LEN >> 10} KiB" in text


def test_the_walk(tmp_path: Path) -> None:
    walk = walk_of("docs/API.md")
    assert len(walk.steps) == 5
    assert list(walk.files) == ["with_client.py", "by_hand.py"]

    status, output = walk.run(tmp_path)

    assert status == 0, output
    for printed in (
        '"owner":"weather team"',
        "b'hello'\n200 b'one tea'\n",
        "confirmed 204\nb'by hand'\n409 urn:sage:problem:replay_detected\n",
        '"revoked":false',
        '"keys":[],"revoked":true',
    ):
        assert printed in output, printed
