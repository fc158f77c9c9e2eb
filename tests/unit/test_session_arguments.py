"""What a session says to its own caller: usage is not the peer's fault and spends nothing."""

from __future__ import annotations

import pytest

from sage_native import RekeyRequiredError, UsageError
from sage_native.protocol import MAX_PLAINTEXT_LEN, RecordHeader
from tests.agents import NOW_MS, Agents, rekey


def test_a_plaintext_too_long_is_usage() -> None:
    client, _ = Agents().pair()
    with pytest.raises(UsageError, match="at most 1048576 bytes long, not 1048577"):
        client.seal(bytes(MAX_PLAINTEXT_LEN + 1), now_ms=NOW_MS)
    assert RecordHeader.parse(client.seal(b"", now_ms=NOW_MS)).seq == 0


@pytest.mark.parametrize(("label", "length"), [("", 32), ("x" * 250, 32), ("x", 8_161)])
def test_what_cannot_be_exported(label: str, length: int) -> None:
    client, _ = Agents().pair()
    with pytest.raises(UsageError):
        client.export(label, b"", length, now_ms=NOW_MS)


def test_the_longest_label_and_value() -> None:
    client, server = Agents().pair()
    ours, theirs = (side.export("x" * 249, b"", 8_160, now_ms=NOW_MS) for side in (client, server))
    assert ours == theirs
    assert len(ours) == 8_160


def test_answers_are_sealed_in_the_epoch_of_their_request_for_a_minute() -> None:
    client, server = Agents().pair()
    request = client.seal(b"request", now_ms=NOW_MS)
    server.open(request, now_ms=NOW_MS)
    client.open(server.seal(b"known from here on", now_ms=NOW_MS), now_ms=NOW_MS)
    rekey(client, server)
    answer = server.seal(b"answer", answers=request, now_ms=NOW_MS + 59_999)
    assert RecordHeader.parse(answer).epoch == 0
    assert client.open(answer, now_ms=NOW_MS + 59_999) == b"answer"
    with pytest.raises(RekeyRequiredError):
        server.seal(b"too late", answers=request, now_ms=NOW_MS + 60_000)
