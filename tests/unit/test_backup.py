"""Backups: what is in them, what comes back, and every file that is refused as a whole."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sage_native import KeyEncryptionKey, SigningKey
from sage_native.exceptions import ConfigurationError, SageError, StorageError, UsageError
from sage_native.storage import DidRecord
from sage_native.storage.backup import back_up, restore
from sage_native.storage.backup.document import encode_line
from sage_native.storage.contract.made import clock_ms, row, wrapped
from sage_native.storage.memory import MemoryStorage
from sage_native.storage.seeds import INITIATOR_STORE, RESPONDER_STORE, seed
from sage_native.storage.sqlite import SqliteStorage
from tests.security.canaries import finds, secrets_of
from tests.seeded import converse, rows_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sage_native.storage import Storage

KEK = os.urandom(32)
DAY_MS = 86_400_000


@pytest.fixture
def kek() -> KeyEncryptionKey:
    return KeyEncryptionKey("k1", KEK)


@pytest.fixture
async def full(kek: KeyEncryptionKey) -> AsyncIterator[MemoryStorage]:
    async with MemoryStorage() as storage:
        await seed(storage, "dev", kek, profile=None)
        yield storage


@pytest.fixture
async def empty() -> AsyncIterator[MemoryStorage]:
    async with MemoryStorage() as storage:
        yield storage


@pytest.fixture
async def path(full: MemoryStorage, tmp_path: Path) -> Path:
    path = tmp_path / "sage.backup"
    await back_up(full, path)
    return path


def documents(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write lines with counts and a digest that fit: what an editor who knows the format can do."""
    body = b"".join(map(encode_line, lines))
    sessions: dict[str, int] = {}
    for line in lines:
        if isinstance(line.get("session"), dict):
            name = str(line["session"].get("store"))
            sessions[name] = sessions.get(name, 0) + 1
    dids = sum("did" in line for line in lines)
    end = {"sessions": sessions, "dids": dids, "sha256": hashlib.sha256(body).hexdigest()}
    path.write_bytes(body + encode_line({"end": end}))


async def is_untouched(storage: MemoryStorage) -> bool:
    found = await storage.session_store_names(), (await storage.dids.page())[0]
    return found == ([], ()) and storage.nonces._marked_ms == 0


async def test_what_was_stored_comes_back_and_demands_a_rekey(
    full: MemoryStorage, path: Path, kek: KeyEncryptionKey, tmp_path: Path
) -> None:
    async with await SqliteStorage.open(tmp_path / "sage.db") as storage:
        await restored_and_the_same(full, storage, path)
        assert await converse(storage, kek) == 5
        assert not any(row.restored for row in await rows_of(storage, RESPONDER_STORE))


async def restored_and_the_same(before: Storage, after: Storage, path: Path) -> None:
    done = await restore(after, path)
    assert (done.sessions, done.dids, done.kept, done.expired, done.ended) == (10, 5, 0, 0, 0)
    for name in (INITIATOR_STORE, RESPONDER_STORE):
        old, new = await rows_of(before, name), await rows_of(after, name)
        assert new == [replace(row, restored=True) for row in old]
        assert len(new) == 5
    assert before.dids is not None
    assert after.dids is not None
    assert await after.dids.page() == await before.dids.page()


async def test_windows_that_lie_elsewhere_do_not_spare_the_rekey(
    empty: MemoryStorage, path: Path, kek: KeyEncryptionKey
) -> None:
    await restore(empty, path)
    assert await converse(empty, kek) == 5
    # What was rekeyed is no longer restored, and only then.
    assert not any(row.restored for row in await rows_of(empty, INITIATOR_STORE))


async def test_nonces_are_not_in_it_and_the_restored_store_says_so(
    empty: MemoryStorage, path: Path
) -> None:
    long_ago = empty.nonces.remembers_since_ms
    later = long_ago + DAY_MS
    assert empty.nonces.is_complete(now_ms=later)
    await restore(empty, path, now_ms=later)
    assert empty.nonces.remembers_since_ms == later
    assert not empty.nonces.is_complete(now_ms=later + 1)
    assert empty.nonces.is_complete(now_ms=later + empty.nonces.horizon_ms)


async def test_unusual_rows_survive(full: MemoryStorage, empty: MemoryStorage, path: Path) -> None:
    odd = replace(
        row(
            wrapped(epoch=2**32 - 1, kek_id="k~"),
            idle_timeout_s=7,
            metadata={"": "\x1b[31m ü \" '", "k": ""},
        ),
        messages=12_345,
    )
    await full.sessions("\x1b Gateway ü").create(odd)
    keys = tuple(SigningKey.generate().verifying_key.to_bytes() for _ in range(16))
    record = DidRecord("did:web:example.com", keys, "owner \x1b ü", 1, 2)
    await full.dids.put(record)
    done = await back_up(full, path, replace=True)
    assert done.sessions == {"\x1b Gateway ü": 1, INITIATOR_STORE: 5, RESPONDER_STORE: 5}
    await restore(empty, path)
    assert await rows_of(empty, "\x1b Gateway ü") == [replace(odd, restored=True)]
    assert await empty.dids.get("did:web:example.com") == record


async def test_a_store_of_many_pages(empty: MemoryStorage, tmp_path: Path) -> None:
    seen: list[int] = []
    async with MemoryStorage() as large:
        for _ in range(1234):
            await large.sessions("many").create(row())
        done = await back_up(large, tmp_path / "b", progress=seen.append)
        assert done.sessions == {"many": 1234}
        assert seen == [500, 1000, 1234, 1234]
        steps: list[tuple[int, int]] = []
        result = await restore(empty, tmp_path / "b", progress=lambda *step: steps.append(step))
        assert result.sessions == 1234
        assert steps[-1] == (1234, 1234)
        assert await rows_of(empty, "many") == [
            replace(row, restored=True) for row in await rows_of(large, "many")
        ]


async def test_an_empty_database_can_be_backed_up(empty: MemoryStorage, tmp_path: Path) -> None:
    done = await back_up(empty, tmp_path / "b")
    assert (done.sessions, done.dids) == ({}, 0)
    assert (await restore(empty, tmp_path / "b")).rows == 0


async def test_the_file_is_private_and_whole(full: MemoryStorage, tmp_path: Path) -> None:
    path = tmp_path / "b"
    old_umask = os.umask(0o277)  # neither more nor less than 0600 may come of it
    try:
        done = await back_up(full, path)
    finally:
        os.umask(old_umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]
    *body, last = path.read_bytes().splitlines(keepends=True)
    digest = hashlib.sha256(b"".join(body)).hexdigest()
    assert json.loads(last)["end"]["sha256"] == digest == done.sha256
    header = json.loads(body[0])
    assert (header["format"], header["version"]) == ("sage-native-backup", 1)
    assert header["label"] == full.label


async def test_an_existing_file_is_replaced_only_on_demand(full: MemoryStorage, path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists and was not touched"):
        await back_up(full, path)
    assert path.read_bytes() == before
    path.chmod(0o644)
    await back_up(full, path, replace=True, now_ms=5)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert documents(path)[0]["created_ms"] == 5


async def test_a_backup_that_fails_leaves_nothing(
    full: MemoryStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "directory").mkdir()
    for path, match in (
        (tmp_path / "directory", "not a regular file"),
        (tmp_path / "missing" / "b", "cannot be written: No such file"),
    ):
        with pytest.raises(UsageError, match=match):
            await back_up(full, path, replace=True)

    def fail(_count: int) -> None:
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        await back_up(full, tmp_path / "b", progress=fail)
    monkeypatch.setattr("sage_native.storage.rows.MAX_METADATA_LEN", 1 << 30)
    large = row(wrapped(), metadata={"note": "x" * (16 << 20)})
    await full.sessions("large").create(large)
    with pytest.raises(StorageError, match="shorten the metadata"):
        await back_up(full, tmp_path / "b")
    assert [entry.name for entry in tmp_path.iterdir()] == ["directory"]


async def test_no_key_byte_is_in_it(full: MemoryStorage, path: Path) -> None:
    secrets = {"KEK": KEK}
    for name in (INITIATOR_STORE, RESPONDER_STORE):
        for stored in await rows_of(full, name):
            found = secrets_of(stored.session, KEK, store=name)
            secrets |= {f"{name} {stored.session.session_id} {k}": v for k, v in found.items()}
    assert len(secrets) == 21
    content = path.read_bytes()
    assert finds([("backup", content)], secrets) == []
    # The search finds what is there.
    sealed = (await rows_of(full, INITIATOR_STORE))[0].session.wrapped_secret
    assert finds([("backup", content)], {"wrapped": sealed[:33]})


async def test_every_cut_is_refused_and_nothing_written(empty: MemoryStorage, path: Path) -> None:
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == 0x0A]
    cuts = {1, 10, len(whole) - 1, len(whole) - 2, *ends[:-1], *range(50, len(whole), 997)}
    # All that is cut of the last may be its end of line: that is not noticed, and loses nothing.
    for cut in sorted(cuts - {len(whole) - 1}):
        path.write_bytes(whole[:cut])
        with pytest.raises(SageError, match=r"is damaged, nothing was restored|is no backup"):
            await restore(empty, path, force=True)
    assert await is_untouched(empty)


async def test_every_edit_is_refused_and_nothing_written(empty: MemoryStorage, path: Path) -> None:
    whole = path.read_bytes()
    for at in range(3, len(whole), 211):
        edited = bytearray(whole)
        edited[at] ^= 1
        path.write_bytes(edited)
        with pytest.raises(SageError, match=r"damaged|is no backup|is of version"):
            await restore(empty, path, force=True)
    lines = whole.splitlines(keepends=True)
    for wrong in (
        [*lines[:1], *lines[2:]],  # a row is missing
        [*lines[:2], *lines[1:]],  # a row is there twice
        [lines[0], lines[2], lines[1], *lines[3:]],  # rows have changed places
        [*lines, lines[1]],  # something follows the end
        [*lines, lines[-1]],
        lines[1:],
        lines[-1:],
        [],
    ):
        path.write_bytes(b"".join(wrong))
        with pytest.raises(SageError, match=r"is damaged, nothing was restored|is no backup"):
            await restore(empty, path, force=True)
    assert await is_untouched(empty)


async def test_another_version_is_refused_and_says_so(empty: MemoryStorage, path: Path) -> None:
    for version in (2, 0, "1", None):
        lines = documents(path)[:-1]
        lines[0]["version"] = version
        write(path, lines)
        with pytest.raises(ConfigurationError, match=f"version {version!r} and this package reads"):
            await restore(empty, path)
    for content in (b"", b"{}", b"[1]", b"\xff\xfe", b'{"format": "other"}\n', b"x" * 100_000):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="is no backup of sage-native"):
            await restore(empty, path)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        await restore(empty, path.with_name("missing"))
    assert await is_untouched(empty)


def _set(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda fields: fields.__setitem__(name, value)


@pytest.mark.parametrize(
    ("kind", "edit", "part"),
    [
        ("session", _set("session_id", "x"), "session"),
        ("session", _set("client_did", "DID:sage:x"), ""),
        ("session", _set("epoch", -1), "epoch must be an integer"),
        ("session", _set("epoch", 2**32), "epoch must be an integer"),
        ("session", _set("epoch", value=True), "epoch must be an integer"),
        ("session", _set("expires_ms", 1.5), "expires_ms must be an integer"),
        ("session", _set("created_ms", 2**63), "created_ms must be an integer"),
        ("session", _set("idle_timeout_s", 0), "idle_timeout_s must be an integer"),
        ("session", _set("wrapped_secret", "AA=="), "base64url without padding"),
        ("session", _set("wrapped_secret", "AB"), "base64url without padding"),
        ("session", _set("wrapped_secret", "+/+/"), "base64url without padding"),
        ("session", _set("wrapped_secret", None), "wrapped_secret must be a text"),
        ("session", _set("metadata", {"a": 1}), "metadata must be an object of texts"),
        ("session", _set("store", ""), "1 to 255 bytes"),
        ("session", lambda fields: fields.pop("kek_id"), "kek_id must be a text"),
        ("did", _set("did", "nobody"), ""),
        ("did", _set("keys", []), "keys must be a list of 1 to 16"),
        ("did", _set("keys", ["AAAA"]), "32 bytes"),
        ("did", _set("keys", ["A" * 43]), ""),  # of small order
        ("did", _set("owner", 5), "owner must be a text"),
        ("did", _set("revoked_ms", "now"), "revoked_ms must be an integer"),
    ],
)
async def test_rows_that_no_store_could_hold_are_refused_although_the_digest_fits(
    empty: MemoryStorage,
    path: Path,
    kind: str,
    edit: Callable[[dict[str, Any]], None],
    part: str,
) -> None:
    lines = documents(path)[:-1]
    at, fields = next((at, line[kind]) for at, line in enumerate(lines) if kind in line)
    edit(fields)
    write(path, lines)
    with pytest.raises(StorageError, match=f"nothing was restored: line {at + 1}") as error:
        await restore(empty, path)
    assert part in str(error.value)
    assert await is_untouched(empty)


async def test_a_file_that_changes_while_it_is_restored_is_noticed(
    empty: MemoryStorage, path: Path
) -> None:
    lines = path.read_bytes().splitlines(keepends=True)

    def edit(_done: int, _total: int) -> None:
        path.write_bytes(b"".join(lines[:3]))

    async with MemoryStorage() as large:
        for _ in range(3000):
            await large.sessions("many").create(row())
        await back_up(large, path, replace=True)
    with pytest.raises(StorageError, match="changed while it was restored"):
        await restore(empty, path, progress=edit)


async def test_a_database_that_is_not_empty_is_left_alone_unless_told(
    full: MemoryStorage, path: Path
) -> None:
    with pytest.raises(UsageError, match=r"is not empty: it holds .*DIDs; .*--force"):
        await restore(full, path)
    assert full.nonces._marked_ms == 0
    # One session has gone on, one is gone, one is new.
    rows = await rows_of(full, RESPONDER_STORE)
    ahead, gone, _, _, _ = rows
    later = wrapped(session_id=ahead.session.session_id, epoch=1)
    await full.sessions(RESPONDER_STORE).advance(later, from_epoch=0)
    await full.sessions(RESPONDER_STORE).delete(gone.session.session_id)
    new = row()
    await full.sessions(RESPONDER_STORE).create(new)
    done = await restore(full, path, force=True)
    assert (done.sessions, done.dids, done.kept, done.revoked) == (1, 0, 14, 0)
    after = {row.session.session_id: row for row in await rows_of(full, RESPONDER_STORE)}
    assert after[ahead.session.session_id].session == later
    assert not after[ahead.session.session_id].restored
    assert after[gone.session.session_id] == replace(gone, restored=True)
    assert after[new.session.session_id] == new
    assert len(after) == 6
    assert full.nonces._marked_ms > 0
    assert (await restore(full, path, force=True)).kept == 15


async def test_a_revocation_is_never_undone_and_is_carried_over(
    full: MemoryStorage, path: Path, tmp_path: Path
) -> None:
    bob, alice = "did:sage:dev-bob", "did:sage:dev-alice"
    # Revoked here after the backup: stays so, and its sessions do not come back.
    async with MemoryStorage() as here:
        await restore(here, path)
        await here.dids.revoke(bob, now_ms=7)
        for name in (INITIATOR_STORE, RESPONDER_STORE):
            await here.sessions(name).delete_of_did(bob)
        done = await restore(here, path, force=True)
        assert (done.ended, done.sessions) == (4, 0)
        record = await here.dids.get(bob)
        assert record is not None
        assert record.revoked_ms == 7
        # Revoked in the backup, and not here: carried over, with its sessions.
        await full.dids.revoke(alice, now_ms=9)
        later = tmp_path / "later"
        await back_up(full, later)
        done = await restore(here, later, force=True)
        assert done.revoked == 1
        record = await here.dids.get(alice)
        assert record is not None
        assert record.revoked_ms == 9
        rows = await rows_of(here, RESPONDER_STORE)
        assert {row.session.client_did for row in rows} == {"did:sage:dev-carol"}
    # Revoked in the backup, unknown here, with a session that was made here.
    async with MemoryStorage() as here:
        await here.sessions("other").create(row(wrapped(client_did=alice)))
        done = await restore(here, later, force=True)
        assert await rows_of(here, "other") == []
        assert done.ended == 6


async def test_sessions_whose_lifetime_is_over_stay_away(empty: MemoryStorage, path: Path) -> None:
    done = await restore(empty, path, now_ms=clock_ms() + DAY_MS)
    assert (done.sessions, done.expired, done.dids) == (0, 10, 5)
    assert await empty.session_store_names() == []


async def test_a_restore_that_breaks_off_is_run_again(path: Path) -> None:
    async with MemoryStorage(capacity=3) as small:
        with pytest.raises(StorageError, match=r"\d+ of 15 rows were restored, then: all 3 places"):
            await restore(small, path)
        assert small.nonces._marked_ms > 0
        names = await small.session_store_names()
        done = sum([await small.sessions(name).count() for name in names])
        assert done == 6
        small._capacity = 100
        for store in small._stores.values():
            store._capacity = 100
        again = await restore(small, path, force=True)
        assert again.sessions + done == 10
        assert again.dids + again.kept == 15 - again.sessions


async def test_a_backend_without_dids_takes_no_backup_that_has_some(
    empty: MemoryStorage, path: Path, tmp_path: Path, kek: KeyEncryptionKey
) -> None:
    async with MemoryStorage() as without:
        without.dids = None  # type: ignore[assignment]
        with pytest.raises(ConfigurationError, match="holds 5 DIDs, and memory keeps none"):
            await restore(without, path)
        with pytest.raises(ConfigurationError, match="keeps no DIDs"):
            await seed(without, "dev", kek, profile=None)
        await without.sessions("some").create(row())
        assert (await back_up(without, tmp_path / "b")).dids == 0
    assert (await restore(empty, tmp_path / "b")).sessions == 1
