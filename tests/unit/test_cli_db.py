"""The commands on databases, on SQLite files: what they do, print and refuse."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pty
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from sage_native import KeyEncryptionKey
from sage_native.cli import app
from sage_native.exceptions import KeyUnavailableError
from sage_native.storage.seeds import INITIATOR_STORE, RESPONDER_STORE
from sage_native.storage.sqlite import SqliteStorage
from tests.command_line import PROGRAM, refused, run
from tests.seeded import converse, rows_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sage_native.storage import Storage

T = TypeVar("T")
SECRET = "hunter2-%40-swordfish"  # noqa: S105 - made up
PIECES = ("hunter2", "swordfish")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to be in, with nothing set."""
    monkeypatch.chdir(tmp_path)
    for name in ("SAGE_DATABASE_URL", "SAGE_KEK", "SAGE_ENV"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must succeed; return what it printed."""

    def call(*arguments: str | Path) -> str:
        status = app.run([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return printed.out

    return call


@pytest.fixture
def fail(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must be refused with one message; return it."""

    def fail(*arguments: str | Path, status: int = 2) -> str:
        assert app.run([str(argument) for argument in arguments]) == status
        printed = capsys.readouterr()
        assert printed.err.startswith("error: "), printed.err
        assert printed.err.count("\n") == 1, printed.err
        return printed.err

    return fail


@pytest.fixture
def seeded(call: Callable[..., str], place: Path) -> Path:
    """A database file with the seed dev, under the key k1 in k1.kek."""
    call("db", "new-kek", "k1.kek")
    call("db", "migrate")
    call("db", "seed", "dev", "--kek", "k1=k1.kek")
    return place / "sage.db"


def status_of(call: Callable[..., str], *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(call("db", "status", "--json", *arguments))
    return document


def key_of(path: Path, kek_id: str) -> KeyEncryptionKey:
    return KeyEncryptionKey(kek_id, base64.b64decode(path.read_bytes()))


def on(path: Path, work: Callable[[Storage], Awaitable[T]]) -> T:
    async def done() -> T:
        async with await SqliteStorage.open(path) as storage:
            return await work(storage)

    return asyncio.run(done())


def test_from_nothing_to_the_newest_schema_and_back(
    call: Callable[..., str], fail: Callable[..., str], place: Path
) -> None:
    assert "there is no file sage.db: sage-native db migrate makes it" in fail(
        "db", "status", status=1
    )
    assert list(place.iterdir()) == []  # asking makes no file
    assert "version 1 of 3" in call("db", "migrate", "--to", "1")
    assert "pending: 000002_add_indexes" in call("db", "status")
    assert "version 2 of 3" in call("db", "migrate", "--to", "2")
    assert "must be at 3: run sage-native db migrate" in fail("db", "backup", "b", status=1)
    assert "must be at 3: run sage-native db migrate" in fail("did", "list", status=1)
    assert "schema     version 3 of 3\n" in call("db", "migrate")
    document = status_of(call)
    assert document["database"] == "sqlite:///sage.db"
    assert document["schema"] == {"current": 3, "dirty": False, "newest": 3, "pending": []}
    assert (document["sessions"], document["nonces"], document["dids"]) == ({}, 0, 0)
    assert document["replay"]["guarantee"] == "durable"
    assert "version 2 of 3" in call("db", "rollback")
    assert "version 0 of 3" in call("db", "rollback", "--steps", "2", "--yes")


def test_the_database_comes_from_the_environment_or_the_command_line(
    call: Callable[..., str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGE_DATABASE_URL", "sqlite:///environment.db")
    assert "sqlite:///environment.db" in call("db", "migrate")
    call("db", "migrate", "--database", f"sqlite:///{place}/given.db")
    monkeypatch.setenv("SAGE_DATABASE_URL", "")
    call("db", "migrate")
    assert {path.name for path in place.glob("*.db")} == {"environment.db", "given.db", "sage.db"}


def test_nothing_is_dropped_without_a_yes(
    call: Callable[..., str], fail: Callable[..., str], seeded: Path
) -> None:
    for arguments in (("rollback", "--steps", "3"), ("migrate", "--to", "0")):
        message = fail("db", *arguments)
        assert "drops every session, nonce and DID in sqlite:///sage.db; give --yes" in message
        assert status_of(call)["sessions"] == {INITIATOR_STORE: 5, RESPONDER_STORE: 5}
    assert "4 steps cannot be undone" in fail("db", "rollback", "--steps", "4", "--yes")
    assert "steps must be at least 1" in fail("db", "rollback", "--steps", "0")
    call("db", "migrate", "--to", "0", "--yes")
    assert status_of(call)["sessions"] is None
    assert seeded.exists()


@pytest.mark.parametrize("answer", [b"y\n", b"\n", b"n\n"])
def test_at_a_terminal_it_asks(seeded: Path, answer: bytes) -> None:
    is_dropped = answer == b"y\n"
    reader, terminal = pty.openpty()
    with closing(os.fdopen(reader, "r+b", buffering=0)) as ours:
        done = subprocess.Popen(
            [PROGRAM, "db", "rollback", "--steps", "3"],
            stdin=terminal,
            stdout=subprocess.DEVNULL,
            stderr=terminal,
            cwd=seeded.parent,
        )
        os.close(terminal)
        seen = b""
        while b"[y/N]" not in seen:
            seen += ours.read(1000)
        assert b"drops every session" in seen
        ours.write(answer)
        assert done.wait(60) == (0 if is_dropped else 2)
    dropped = run("db", "status", cwd=seeded.parent).stdout
    assert (b"version 0 of 3" in dropped) is is_dropped


def test_a_dirty_schema_is_forced_clean_and_no_other_way(
    call: Callable[..., str], fail: Callable[..., str], seeded: Path
) -> None:
    with closing(sqlite3.connect(seeded)) as file, file:
        file.execute("UPDATE schema_migrations SET version = 3, dirty = 1")
    assert status_of(call)["schema"]["dirty"] is True
    assert "dirty: mend it, then db migrate --force VERSION" in call("db", "status")
    for arguments in (("migrate",), ("rollback",)):
        assert "is dirty" in fail("db", *arguments, status=1)
    assert "is dirty at version 3" in fail("db", "backup", "b", status=1)
    assert "exclude each other" in fail("db", "migrate", "--force", "3", "--to", "3")
    assert "version must be 0 to 3" in fail("db", "migrate", "--force", "4")
    call("db", "migrate", "--force", "3")
    assert status_of(call)["sessions"] == {INITIATOR_STORE: 5, RESPONDER_STORE: 5}


def test_a_new_key_is_private_random_and_never_shown(
    call: Callable[..., str], fail: Callable[..., str], place: Path
) -> None:
    old_umask = os.umask(0o277)
    try:
        assert call("db", "new-kek", "one") == ""
        call("db", "new-kek", "two")
    finally:
        os.umask(old_umask)
    one, two = ((place / name).read_bytes() for name in ("one", "two"))
    assert stat.S_IMODE((place / "one").stat().st_mode) == 0o600
    assert len(base64.b64decode(one)) == len(base64.b64decode(two)) == 32
    assert one != two
    assert "exists and was not touched" in fail("db", "new-kek", "one")
    assert (place / "one").read_bytes() == one
    assert "goes to a file" in fail("db", "new-kek", "-")
    done = run("db", "new-kek", "three", cwd=place)
    assert base64.b64decode((place / "three").read_bytes()) not in done.stderr
    assert (place / "three").read_bytes().strip() not in done.stderr + done.stdout


def test_a_key_is_read_in_each_of_its_forms(call: Callable[..., str], place: Path) -> None:
    key = bytes(range(100, 132))
    forms = {
        "raw": b"\xff" + key[1:],
        "base64": base64.b64encode(key),
        "unpadded": base64.b64encode(key).rstrip(b"=") + b"\r\n",
        "urlsafe": base64.urlsafe_b64encode(b"\xff\xfe" + key[2:]) + b"\n",
        "hex": key.hex().upper().encode() + b"\n",
    }
    call("db", "migrate")
    for name, content in forms.items():
        path = place / name
        path.write_bytes(content)
        path.chmod(0o400)
        call("db", "rewrap", "--kek", f"k1={path}")
    (place / "hex").chmod(0o600)
    call("db", "seed", "dev", "--kek", "k1=hex")
    assert on(place / "sage.db", lambda it: converse(it, KeyEncryptionKey("k1", key))) == 5


def test_keys_that_are_none_are_refused(
    call: Callable[..., str], fail: Callable[..., str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("db", "migrate")
    path = place / "k"
    for content in (
        b"",
        b"correct horse battery staple 123",  # 32 signs are no 32 random bytes
        bytes(32),
        b"\xff" * 32,
        os.urandom(31),
        os.urandom(33),
        base64.b64encode(os.urandom(16)),
        base64.b64encode(bytes(32)),
        os.urandom(32).hex().encode()[:-1],
        b"x" * 5000,
    ):
        path.write_bytes(content)
        path.chmod(0o600)
        message = fail("db", "rewrap", "--kek", f"k1={path}")
        assert "does not hold 32 random bytes" in message
        assert content.hex() not in message or not content
    path.write_bytes(base64.b64encode(os.urandom(32)))
    for mode in (0o640, 0o604, 0o622):
        path.chmod(mode)
        message = fail("db", "rewrap", "--kek", f"k1={path}", status=1)
        assert f"is open to other users (mode {mode:04o}): chmod 600" in message
    path.chmod(0o600)
    assert "a key-encryption key is needed" in fail("db", "rewrap")
    assert "does not exist" in fail("db", "rewrap", "--kek", "k1=missing")
    assert "is not a regular file" in fail("db", "rewrap", "--kek", f"k1={os.devnull}")
    assert "printable ASCII" in fail("db", "rewrap", "--kek", f"k 1={path}")
    key = base64.b64encode(os.urandom(32)).decode()
    message = fail("db", "rewrap", "--kek", key.rstrip("="))
    assert "is named ID=FILE" in message
    assert key[:10] not in message
    assert "2 key-encryption keys have the id" in fail(
        "db", "rewrap", "--kek", f"k1={path}", "--kek", f"k1={path}", status=1
    )
    monkeypatch.setenv("SAGE_KEK", f"k1={path},k1={path}")
    assert "2 key-encryption keys have the id" in fail("db", "rewrap", status=1)
    monkeypatch.setenv("SAGE_KEK", f"k2={path},k1={path}")
    assert "now under 'k2'" in call("db", "rewrap")


def test_backup_and_restore_and_go_on(
    call: Callable[..., str], fail: Callable[..., str], seeded: Path, place: Path
) -> None:
    printed = call("db", "backup", "sage.backup")
    assert "responder 5" in printed
    assert "DIDs       5" in printed
    assert stat.S_IMODE((place / "sage.backup").stat().st_mode) == 0o600
    assert "exists and was not touched" in fail("db", "backup", "sage.backup")
    call("db", "backup", "sage.backup", "--force")
    assert "is not empty" in fail("db", "restore", "sage.backup")
    assert "15 were there already" in call("db", "restore", "sage.backup", "--force")
    other = ("--database", "sqlite:///other.db")
    assert "run sage-native db migrate" in fail("db", "restore", "sage.backup", *other, status=1)
    assert not (place / "other.db").exists()
    call("db", "migrate", *other)
    assert "10 restored; each demands a rekey" in call("db", "restore", "sage.backup", *other)
    assert status_of(call, *other)["replay"]["is_complete"] is False
    assert "demand challenges until then" in call("db", "status", *other)
    key = key_of(place / "k1.kek", "k1")
    assert on(place / "other.db", lambda it: converse(it, key)) == 5
    whole = (place / "sage.backup").read_bytes()
    (place / "cut").write_bytes(whole[:-200])
    third = ("--database", "sqlite:///third.db")
    call("db", "migrate", *third)
    assert "is damaged, nothing was restored" in fail("db", "restore", "cut", *third, status=1)
    assert "is no backup" in fail("db", "restore", "k1.kek", *third)
    assert "will not do" in fail("db", "restore", "-", *third)
    assert "will not do" in fail("db", "backup", "-", *third)
    assert status_of(call, *third)["sessions"] == {}
    assert seeded.exists()


def test_rewrap_from_an_old_key_to_a_new_one(
    call: Callable[..., str], fail: Callable[..., str], seeded: Path, place: Path
) -> None:
    call("db", "new-kek", "k2.kek")
    old, new = key_of(place / "k1.kek", "k1"), key_of(place / "k2.kek", "k2")
    before = {row.session.session_id for row in on(seeded, lambda it: rows_of(it, RESPONDER_STORE))}
    assert "left under other keys: 10 under 'k1'" in fail(
        "db", "rewrap", "--kek", "k2=k2.kek", status=1
    )
    assert "10, now under 'k2'" in call("db", "rewrap", "--kek", "k2=k2.kek", "--kek", "k1=k1.kek")
    assert "0, now under 'k2'" in call("db", "rewrap", "--kek", "k2=k2.kek")

    async def check(storage: Storage) -> int:
        for name in (INITIATOR_STORE, RESPONDER_STORE):
            rows = await rows_of(storage, name)
            assert {row.session.session_id for row in rows} == before
            for row in rows:
                assert row.session.kek_id == "k2"
                with pytest.raises(KeyUnavailableError):
                    row.session.unwrap(old, store=name)
        with pytest.raises(KeyUnavailableError):
            await converse(storage, old)
        return await converse(storage, new)

    assert on(seeded, check) == 5


def test_rows_that_do_not_open_are_named_and_left(
    call: Callable[..., str], fail: Callable[..., str], seeded: Path
) -> None:
    call("db", "new-kek", "other.kek")
    call("db", "new-kek", "k2.kek")
    message = fail("db", "rewrap", "--kek", "k2=k2.kek", "--kek", "k1=other.kek", status=1)
    rows = on(seeded, lambda it: rows_of(it, INITIATOR_STORE))
    first = rows[0].session.session_id
    assert f"that they name, and stay as they are: {first} of 'initiator'" in message
    assert "and 7 more" in message
    assert {row.session.kek_id for row in rows} == {"k1"}


def test_seeds_stay_out_of_production(
    call: Callable[..., str],
    fail: Callable[..., str],
    seeded: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "is not empty" in fail("db", "seed", "dev", "--kek", "k1=k1.kek")
    assert "0 registered, 5 kept" in call("db", "seed", "dev", "--kek", "k1=k1.kek", "--force")
    monkeypatch.setenv("SAGE_ENV", "production")
    for name in ("dev", "staging"):
        message = fail("db", "seed", name, "--kek", "k1=k1.kek", "--force", status=1)
        assert f"the seed '{name}' is refused where SAGE_ENV is 'production'" in message
    monkeypatch.setenv("SAGE_ENV", "staging")
    assert "is refused" in fail("db", "seed", "dev", "--kek", "k1=k1.kek", "--force", status=1)
    call("db", "seed", "staging", "--kek", "k1=k1.kek", "--force")
    assert status_of(call)["dids"] == 107
    assert seeded.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("migrate",),
        ("rollback",),
        ("rollback", "--steps", "3"),
        ("status",),
        ("status", "--json"),
        ("seed", "dev", "--kek", "k1=k"),
        ("backup", "b"),
        ("restore", "b"),
        ("rewrap", "--kek", "k1=k"),
    ],
)
@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://sage:{SECRET}@127.0.0.1:1/sage",
        "postgresql://sage:hunter2/swordfish@127.0.0.1:1/sage",
        "postgresql://sage:hunter2#swordfish@127.0.0.1:1/sage",
        "postgresql://sage:hunter2@swordfish@127.0.0.1:1/sage",
        "postgresql://sage:hunter2[swordfish@127.0.0.1:1/sage",
        "postgresql://sage:hunter2\u2100swordfish@127.0.0.1:1/sage",
        f"postgresql://127.0.0.1:1/sage?user=sage&password={SECRET}",
        f"redis://:{SECRET}@127.0.0.1:1/0",
        f"mysql://sage:{SECRET}@127.0.0.1:1/sage",
        f"sqlite://sage:{SECRET}@host/sage.db",
        f"hunter2:{SECRET}@host",
    ],
)
def test_no_command_shows_a_password_when_it_fails(
    arguments: tuple[str, ...],
    url: str,
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (place / "k").write_bytes(base64.b64encode(os.urandom(32)))
    (place / "k").chmod(0o600)
    monkeypatch.setenv("SAGE_DATABASE_URL", url)
    assert app.run(["db", *arguments]) in {1, 2}
    printed = "".join(capsys.readouterr())
    assert printed.startswith("error: ")
    assert not [piece for piece in PIECES if piece in printed], printed


def test_no_password_is_shown_where_it_was_put_by_mistake(fail: Callable[..., str]) -> None:
    url = f"postgresql://sage:{SECRET}@127.0.0.1:1/sage"
    for arguments in (
        ("db", url),
        (url,),
        ("db", "status", url),
        ("db", "status", f"--databas={url}"),
        ("db", "status", f"--json={url}"),
        ("db", "rollback", "--steps", url),
        ("did", "list", url),
        ("db", "seed", url),
    ):
        message = fail(*arguments)
        assert not [piece for piece in PIECES if piece in message], message


@pytest.mark.parametrize("arguments", [(), ("db",), ("db", "status"), ("did", "list")])
def test_no_help_shows_what_the_environment_says(arguments: tuple[str, ...]) -> None:
    url = f"postgresql://sage:{SECRET}@127.0.0.1:1/sage"
    done = run(*arguments, "--help", env={"SAGE_DATABASE_URL": url})
    assert done.returncode == 0
    assert not [piece for piece in PIECES if piece.encode() in done.stdout + done.stderr]


def test_a_server_that_is_down_is_one_line() -> None:
    url = f"postgresql://sage:{SECRET}@127.0.0.1:1/sage"
    done = run("db", "status", env={"SAGE_DATABASE_URL": url})
    refused(done, "cannot connect to", "127.0.0.1:1", status=1)
    assert not [piece for piece in PIECES if piece.encode() in done.stderr]


def test_memory_is_no_database(fail: Callable[..., str]) -> None:
    assert "gone when the command ends" in fail("db", "status", "--database", "memory:", status=1)


def test_what_is_not_used_is_not_imported() -> None:
    code = (
        "import sys; from sage_native.cli.app import run; run(['verify', '--help']);"
        "print([m for m in ('asyncpg', 'redis', 'sage_native.storage', 'sage_native.cli.db') "
        "if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stderr.decode() == "[]\n"
