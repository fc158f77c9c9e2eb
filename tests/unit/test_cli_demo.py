"""The demonstration: what it shows, what it refuses before it starts, what it leaves behind."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sage_native import AuthenticationError, Initiator, SigningKey
from sage_native.cli.demo import frames, initiator, inputs, messages, processes
from sage_native.cli.demo.forgery import forge_accept
from sage_native.cli.demo.frames import Channel, Kind
from tests.command_line import PROGRAM, openable, refused, run, run_without_root

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["openable"]


def is_running(pid: int) -> bool:
    try:
        return b"sage_native" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.fixture
def pair() -> Iterator[tuple[Channel, socket.socket]]:
    """Return a channel and the bare socket at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        channel = Channel.connect(listener.getsockname()[1])
        other, _address = listener.accept()
    with channel, other:
        yield channel, other


def test_by_default_the_native_library_is_sent_and_rates_are_shown() -> None:
    done = run("demo")
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    library = inputs.default()
    assert library.suffix in {".so", ".dylib"}
    assert library.name in text
    assert hashlib.sha256(library.read_bytes()).hexdigest() in text
    assert "epoch 1" in text
    assert "Bob answered, sealed, with the same digest" in text
    for line in (
        "a record with one bit flipped   refused by Bob     AuthenticationError",
        "an accepted record sent again   refused by Bob     ReplayDetectedError",
        "another key under Alice's DID   refused by Bob     AuthenticationError",
        "another key under Bob's DID     refused by Alice   AuthenticationError",
    ):
        assert line in text
    for operation in ("sign 256 B", "verify 256 B", "X25519", "seal 64 B", "open 16 KiB"):
        assert operation in text
    assert "cryptography" in text


def test_two_files_of_awkward_sizes(tmp_path: Path) -> None:
    small, large = tmp_path / "[red]small", tmp_path / "large"
    small.write_bytes(b"x")
    large.write_bytes(os.urandom(2 * initiator.PIECE_LEN + 1))
    done = run("demo", small, large, "--no-rates")
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    for path in (small, large):
        assert path.name in text
        assert hashlib.sha256(path.read_bytes()).hexdigest() in text
    assert "new keys after record 2 of 4: epoch 1" in text
    assert "Rates" not in text


def test_what_cannot_be_sent_is_refused_before_anything_starts(openable: Path) -> None:
    good, empty, locked = (openable / name for name in ("good", "empty", "locked"))
    good.write_bytes(b"x")
    empty.touch()
    locked.write_bytes(b"x")
    locked.chmod(0)
    for path, part in (
        (openable / "missing", "does not exist; check the path"),
        (openable, "is a directory; name the files in it"),
        (empty, "is empty: there is nothing to send"),
        (Path(os.devnull), "is a device, pipe or socket"),
    ):
        done = run("demo", good, path)
        refused(done, f"'{path}'", part)
        assert done.stdout == b""
    refused(run_without_root("demo", good, locked), f"file '{locked}' may not be read by user")
    refused(run("demo", "-"), "not standard input")


def test_a_file_that_shrinks_is_not_passed_off_as_whole(tmp_path: Path) -> None:
    path = tmp_path / "shrinking"
    path.write_bytes(b"x")
    with pytest.raises(initiator.DeliveryError, match="became shorter"):
        list(initiator._pieces(inputs.Source(path, 2)))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_way_to_end_it_leaves_a_process(how: signal.Signals, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(1 << 34)  # sparse: 16 GiB that cost nothing, and half a minute to send
    with subprocess.Popen(
        [PROGRAM, "demo", str(big)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # Whoever runs tests in the background may have SIGINT ignored, in all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        assert process.stdout is not None
        seen = ""
        while "Files" not in seen:
            line = process.stdout.readline()
            assert line, "it ended before it sent anything"
            seen += line
        (bob,) = map(int, re.findall(r"responder, process (\d+)", seen))
        assert is_running(bob)
        process.send_signal(how)
        _out, error = process.communicate(timeout=20)
    deadline = time.monotonic() + 10
    while is_running(bob) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(bob)
    if how is signal.SIGINT:
        assert (process.returncode, error) == (130, "error: interrupted\n")


def test_a_child_that_fails_is_named() -> None:
    with (
        processes.Child("Mallory", "impostor", client_did="?", server_did="?") as child,
        pytest.raises(processes.ChildError, match="Mallory's process ended early"),
    ):
        child.expect("listening")


def test_a_child_without_a_parent_ends_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sage_native.cli.demo.responder"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_forgery_lacks_nothing_but_the_key() -> None:
    """A refused forgery shows little unless the same bytes under the right key are accepted."""
    with SigningKey.generate() as alice, SigningKey.generate() as bob:
        attempt = Initiator(alice, bob.verifying_key).initiate()
        right = Ed25519PrivateKey.from_private_bytes(bob.to_bytes())
        _confirmation, session = attempt.finish(forge_accept(attempt.message, right))
        assert session.peer_did == bob.did
        attempt = Initiator(alice, bob.verifying_key).initiate()
        with pytest.raises(AuthenticationError):
            attempt.finish(forge_accept(attempt.message, Ed25519PrivateKey.generate()))


def test_frames_round_trip(pair: tuple[Channel, socket.socket]) -> None:
    channel, other = pair
    body = os.urandom(100_000)
    other_channel = Channel(other)
    channel.send(Kind.RECORD, body)
    assert other_channel.expect(Kind.RECORD) == body
    channel.send(Kind.RECORD, b"")
    assert other_channel.receive() == (Kind.RECORD, bytearray())
    channel.send(Kind.REFUSAL, b"replay_detected")
    with pytest.raises(frames.RefusedError, match="replay_detected"):
        other_channel.expect(Kind.RECORD)
    channel.send(Kind.ACCEPT, b"")
    with pytest.raises(frames.FrameError, match="ACCEPT came where RECORD was due"):
        other_channel.expect(Kind.RECORD)


@pytest.mark.parametrize(
    ("sent", "error", "part"),
    [
        (b"\0\0\0\0", frames.FrameError, "a frame of 0 bytes"),
        (b"\xff\xff\xff\xff", frames.FrameError, "a frame of 4294967295 bytes"),
        (b"\0\0\0\1\x63", frames.FrameError, "unknown kind 99"),
        (b"\0\0", frames.ConnectionLostError, "within a frame"),
        (b"\0\0\0\5\4", frames.ConnectionLostError, "within a frame"),
        (b"\0\0\0\5", frames.ConnectionLostError, "within a frame"),
        (b"", frames.ConnectionLostError, "ended the connection"),
    ],
)
def test_what_is_no_frame_is_refused(
    pair: tuple[Channel, socket.socket], sent: bytes, error: type[Exception], part: str
) -> None:
    channel, other = pair
    other.sendall(sent)
    other.shutdown(socket.SHUT_WR)
    with pytest.raises(error, match=part):
        channel.expect(Kind.RECORD)


def test_silence_ends(pair: tuple[Channel, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    channel, _other = pair
    channel._socket.settimeout(0.05)
    monkeypatch.setattr(frames, "TIMEOUT_S", 0.05)
    with pytest.raises(frames.ConnectionLostError, match="silent"):
        channel.receive()


def test_a_port_without_a_listener_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(frames.ConnectionLostError, match=f"127.0.0.1:{port} does not answer"):
        Channel.connect(port)


def test_the_inbox_judges_size_and_digest() -> None:
    inbox, sha256 = messages.Inbox(), hashlib.sha256(b"abc").hexdigest()
    for announced, digest, verified in (
        (3, sha256, True),
        (4, sha256, False),
        (3, "0" * 64, False),
    ):
        assert inbox.take(messages.begin("n", announced)) is None
        assert inbox.take(messages.PIECE + b"ab") is None
        assert inbox.take(messages.PIECE + b"c") is None
        answer = inbox.take(messages.end(digest))
        assert answer is not None
        assert messages.read_receipt(answer) == messages.Receipt("n", 3, sha256, verified)


@pytest.mark.parametrize(
    "message", [b"", b"?", b"F", b"F[]", b'F{"name": "n"}', b'F{"name": 1, "size": 1}', b"E{}"]
)
def test_the_inbox_refuses_nonsense(message: bytes) -> None:
    with pytest.raises(messages.MessageError):
        messages.Inbox().take(message)
