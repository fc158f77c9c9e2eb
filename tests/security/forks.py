"""What a session does in forked processes, told as JSON: ``python -m tests.security.forks``.

A process of its own, because the test runner has threads and must not be forked.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from sage_native import KeyEncryptionKey, SageError
from tests.agents import NOW_MS, Agents, rekey

if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_native import Session

KEK = KeyEncryptionKey("forks", bytes(32))


def in_child(work: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
    """Fork, work in the child, and return what it found."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as out:
            json.dump(work(), out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as found:
        answer = json.load(found)
    os.wait()
    return answer


def slots(session: Session, count: int) -> list[str]:
    """Seal, and return incarnation, epoch and sequence number of every record, as hex."""
    return [record[20:48].hex() for record in session.seal_many([b""] * count, now_ms=NOW_MS)]


def refusal(call: Callable[..., object], *arguments: object) -> str:
    """Return the error's text, or nothing if there is none."""
    try:
        call(*arguments, now_ms=NOW_MS)
    except SageError as error:
        return str(error)
    return ""


def family(count: int) -> dict[str, Any]:
    """Seal in a process, its child, its grandchild, and after a restart."""
    client, server = Agents().pair()
    before = slots(client, count)
    answer = server.seal(b"answer", now_ms=NOW_MS)
    request = client.rekey_request(now_ms=NOW_MS)

    def child() -> dict[str, Any]:
        return {
            "seals": slots(client, count),
            "grandchild": in_child(lambda: slots(client, count)),
            "after": slots(client, 10),
            "open": refusal(client.open, answer),
            "ask": refusal(client.rekey_request),
            "answer": refusal(server.answer_rekey, request),
            "wrap": refusal(lambda now_ms: client.wrap(KEK, store="forks", now_ms=now_ms)),
        }

    found = {
        "before": before,
        "child": in_child(child),
        "sibling": in_child(lambda: slots(client, 10)),
    }
    row = client.wrap(KEK, store="forks", now_ms=NOW_MS)
    assert row is not None
    restored = row.unwrap(KEK, store="forks", now_ms=NOW_MS)
    rekey(restored, server)
    return found | {
        "after": slots(client, count),
        "parent opens": client.open(answer, now_ms=NOW_MS) == b"answer",
        "restarted": slots(restored, count),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(family(int(sys.argv[1]))))
