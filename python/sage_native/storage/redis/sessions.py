"""Sessions in Redis.

Theory. Each session is a hash; sorted sets list the ids of all sessions, of each client DID, server
DID and KEK, in the order of their bytes, and of all by the time when they are over if nobody uses
them. All keys of one store have one hash tag, so that a script changes a row and its lists in one
step, and a limit is exact. The price: in a cluster, the sessions of one store lie on one server.
Stores of other names may lie on others, and nonces are spread.

Rows have no expiry: Redis expires by its own clock, which would take sessions away that are in use.
`delete_expired` deletes them.

Scripts that delete find the names of the lists in the row, so not every key is handed in as one.
Servers that insist on that refuse them. While a slot moves from one server to another, a script may
be cut short, and a list may keep an id without a row; whoever meets it removes it.
"""

from __future__ import annotations

import json
import struct
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

from redis.exceptions import OutOfMemoryError

from sage_native.exceptions import CapacityError, ConflictError, StorageError
from sage_native.protocol import WrappedSession
from sage_native.storage.base import SessionStore, check_page, check_store_name, now_or_clock
from sage_native.storage.batcher import Batcher
from sage_native.storage.redis.script import Script
from sage_native.storage.rows import Page, SessionRow, SessionStatus, check_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sage_native.storage.redis.connection import Answer, Command
    from sage_native.storage.redis.script import Argument
    from sage_native.storage.redis.topology import Topology
    from sage_native.storage.rows import Activity

__all__ = ["RedisSessionStore", "stored_names"]

Item = TypeVar("Item")

SCRIPT_LEN = 500
"""The most sessions that one script handles; Redis does nothing else meanwhile."""
FIELDS = (
    "client_did",
    "server_did",
    "created_ms",
    "expires_ms",
    "epoch",
    "kek_id",
    "wrapped_secret",
    "idle_timeout_s",
    "last_activity_ms",
    "messages",
    "metadata",
    "restored",
)

_USE = struct.Struct(">dd")

_CREATE = Script("create")
_ADVANCE = Script("advance")
_TOUCH = Script("touch")
_DESCRIBE = Script("describe")
_STATUS = Script("status")
_PAGE = Script("page")
_DELETE = Script("delete", include="drop")
_DELETE_LISTED = Script("delete_listed", include="drop")
_DELETE_EXPIRED = Script("delete_expired", include="drop")


class RedisSessionStore(SessionStore):
    """Sessions of one name in Redis; `RedisStorage.sessions` makes it.

    Args:
        name: What rows are bound to, 1 to 255 bytes.
        topology: Where the servers are.
        prefix: What keys begin with, inside their hash tags.
    """

    kind = "redis"

    def __init__(self, name: str, topology: Topology, *, prefix: str) -> None:
        check_store_name(name)
        self.name = name
        self._topology = topology
        self._base: Final = _base(prefix, name)
        self._ids: Final = self._base + b"ids"
        self._ends: Final = self._base + b"ends"
        self._names: Final = _names(prefix)
        self._is_named = False
        # Calls that are made at once go as one: most of what a call costs is its way.
        self._reads: Batcher[Command, Answer] = self._batcher(writes=False)
        self._writes: Batcher[Command, Answer] = self._batcher(writes=True)

    async def aclose(self) -> None:
        """Wait for what is under way, and refuse what comes after."""
        await self._reads.aclose()
        await self._writes.aclose()

    async def create(
        self, row: SessionRow, *, client_limit: int | None = None, unless_revoked: bool = False
    ) -> None:
        self._check_dids(wanted=unless_revoked)
        session = row.session
        deadline = self._topology.deadline()
        if not self._is_named:
            await self._note_name(deadline)
        keys = [
            self._row(session.session_id),
            self._ids,
            self._ends,
            *self._lists(session),
        ]
        answer = await self._run(
            _CREATE.call(
                keys,
                session.session_id,
                min(session.expires_ms, row.last_activity_ms + row.idle_timeout_s * 1000),
                "" if client_limit is None else client_limit,
                *_written(row),
            )
        )
        if answer == 0:
            raise ConflictError(f"session {session.session_id} is stored already")
        if answer == -1:
            raise CapacityError(f"{session.client_did} has {client_limit} sessions already")
        if answer == 1:  # the first: everything may have been flushed since it was noted
            await self._note_name(deadline)

    async def get(self, session_id: str) -> SessionRow | None:
        answer = await self._ask(("HMGET", self._row(session_id), *FIELDS))
        return None if answer[0] is None else _read(session_id, answer)

    async def status_many(self, session_ids: Sequence[str]) -> Mapping[str, SessionStatus]:
        parts = list(_parts(session_ids))
        commands = [_STATUS.call([self._row(key) for key in part]) for part in parts]
        found: dict[str, SessionStatus] = {}
        for part, answer in zip(parts, await self._ask_many(commands), strict=True):
            for key, line in zip(part, answer.split(b"\n"), strict=True):
                if line:
                    found[key] = SessionStatus(*map(int, line.split()))
        return found

    async def advance(
        self, session: WrappedSession, *, from_epoch: int, from_kek_id: str | None = None
    ) -> None:
        answer = await self._run(
            _ADVANCE.call(
                [self._row(session.session_id), self._base + b"kek:" + session.kek_id.encode()],
                self._base,
                session.session_id,
                from_epoch,
                from_kek_id or "",
                int(from_kek_id is not None),
                session.epoch,
                session.kek_id,
                session.wrapped_secret,
            )
        )
        if answer is None:
            raise ConflictError(f"session {session.session_id} is gone")
        if answer != 1:
            raise ConflictError(
                f"session {session.session_id} is at epoch {int(answer[0])} under KEK "
                f"{answer[1].decode()!r}, not at epoch {from_epoch}"
            )

    async def touch_many(self, activities: Sequence[Activity]) -> None:
        commands: list[Command] = []
        for part in _parts(activities):
            use = b"".join(_USE.pack(one.last_activity_ms, one.messages) for one in part)
            rows = [self._row(one.session_id) for one in part]
            commands.append(_TOUCH.call([self._ends, *rows], use))
        await self._ask_many(commands, writes=True)

    async def describe(self, session_id: str, metadata: Mapping[str, str]) -> bool:
        check_metadata(metadata)
        command = _DESCRIBE.call([self._row(session_id)], json.dumps(dict(metadata)))
        return bool(await self._run(command))

    async def delete(self, session_id: str) -> bool:
        command = _DELETE.call([self._row(session_id)], self._base, session_id)
        return bool(await self._run(command))

    async def delete_of_did(self, did: str) -> Sequence[str]:
        deadline = self._topology.deadline()
        gone: list[str] = []
        for kind in (b"client:", b"server:"):
            command = _DELETE_LISTED.call(
                [self._base + kind + did.encode()], self._base, SCRIPT_LEN
            )
            listed = SCRIPT_LEN
            while listed == SCRIPT_LEN:
                ((ids, listed),) = await self._ask_many([command], writes=True, deadline=deadline)
                gone += [key.decode() for key in ids]
        return gone

    async def delete_expired(self, *, grace_ms: int = 0, now_ms: int | None = None) -> int:
        now = now_or_clock(now_ms)
        # What is over when there is no time left waits for the next call.
        begun, enough = monotonic(), self._topology.timeout_s / 2
        deleted = kept = 0
        seen = SCRIPT_LEN
        while seen == SCRIPT_LEN and monotonic() < begun + enough:
            command = _DELETE_EXPIRED.call(
                [self._ends], self._base, now, grace_ms, kept, SCRIPT_LEN
            )
            ((now_deleted, now_kept, seen),) = await self._ask_many([command], writes=True)
            deleted += now_deleted
            kept += now_kept
        return deleted

    async def page(
        self,
        *,
        client_did: str | None = None,
        kek_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page:
        check_page(limit, after)
        deadline = self._topology.deadline()
        rows: list[SessionRow] = []
        last = after
        while True:
            wanted = limit + 1 - len(rows)  # one more tells whether there are more
            command = _PAGE.call(
                [self._list(client_did, kek_id)],
                self._base,
                "-" if last is None else f"({last}",
                max(SCRIPT_LEN, wanted + 1),
                wanted,
                kek_id or "",
                int(kek_id is not None),
                *FIELDS,
            )
            ((found, reached),) = await self._ask_many([command], deadline=deadline)
            rows += [_read(key.decode(), fields) for key, *fields in found]
            if len(rows) > limit:
                return Page(tuple(rows[:limit]), rows[limit - 1].session.session_id)
            if reached is None:
                return Page(tuple(rows), None)
            last = reached.decode()

    async def count(self, *, client_did: str | None = None) -> int:
        return int(await self._ask(("ZCARD", self._list(client_did, None))))

    def _row(self, session_id: str) -> bytes:
        return self._base + b"row:" + session_id.encode()

    def _list(self, client_did: str | None, kek_id: str | None) -> bytes:
        if client_did is not None:
            return self._base + b"client:" + client_did.encode()
        return self._ids if kek_id is None else self._base + b"kek:" + kek_id.encode()

    def _lists(self, session: WrappedSession) -> tuple[bytes, bytes, bytes]:
        return (
            self._base + b"client:" + session.client_did.encode(),
            self._base + b"server:" + session.server_did.encode(),
            self._base + b"kek:" + session.kek_id.encode(),
        )

    async def _note_name(self, deadline: float) -> None:
        """Note that there are sessions of this name; names lie in a slot of their own."""
        answers = await self._topology.ask(
            self._names, [("SADD", self._names, self.name)], writes=True, deadline=deadline
        )
        _raise_failures(self._topology.label, answers)
        self._is_named = True

    def _batcher(self, *, writes: bool) -> Batcher[Command, Answer]:
        return Batcher(
            partial(self._topology.ask, self._ids, writes=writes),
            label=f"the sessions in {self._topology.label}",
            max_len=SCRIPT_LEN,
            timeout_s=self._topology.timeout_s,
        )

    async def _ask(self, command: Command) -> Answer:
        answer = await self._reads.ask(command)
        _raise_failures(self._topology.label, [answer])
        return answer

    async def _run(self, command: Command) -> Answer:
        answer = await self._writes.ask(command)
        _raise_failures(self._topology.label, [answer])
        return answer

    async def _ask_many(
        self, commands: Sequence[Command], *, writes: bool = False, deadline: float | None = None
    ) -> list[Answer]:
        if not commands:
            return []
        answers = await self._topology.ask(self._ids, commands, writes=writes, deadline=deadline)
        _raise_failures(self._topology.label, answers)
        return answers


async def stored_names(topology: Topology, *, prefix: str) -> list[str]:
    """Return the names of the stores that hold sessions, in order."""
    key = _names(prefix)
    answers = await topology.ask(key, [("SMEMBERS", key)])
    _raise_failures(topology.label, answers)
    names = sorted(name.decode() for name in answers[0])
    ids = [_base(prefix, name) + b"ids" for name in names]
    counts = await topology.ask_each([(one, [("ZCARD", one)]) for one in ids])
    for count in counts:
        _raise_failures(topology.label, count)
    return [name for name, (count,) in zip(names, counts, strict=True) if count]


def _base(prefix: str, name: str) -> bytes:
    # Quoted, so that no name can end the hash tag.
    return f"{{{prefix}:s:{quote(name, safe='')}}}:".encode()


def _names(prefix: str) -> bytes:
    return f"{{{prefix}:s}}:names".encode()


def _written(row: SessionRow) -> Iterator[Argument]:
    session = row.session
    values: tuple[Argument, ...] = (
        session.client_did,
        session.server_did,
        session.created_ms,
        session.expires_ms,
        session.epoch,
        session.kek_id,
        session.wrapped_secret,
        row.idle_timeout_s,
        row.last_activity_ms,
        row.messages,
        json.dumps(dict(row.metadata)),
        int(row.restored),
    )
    for pair in zip(FIELDS, values, strict=True):
        yield from pair


def _read(session_id: str, answer: Sequence[bytes]) -> SessionRow:
    field = dict(zip(FIELDS, answer, strict=True))
    try:
        return SessionRow(
            session=WrappedSession(
                session_id=session_id,
                client_did=field["client_did"].decode(),
                server_did=field["server_did"].decode(),
                created_ms=int(field["created_ms"]),
                expires_ms=int(field["expires_ms"]),
                epoch=int(field["epoch"]),
                kek_id=field["kek_id"].decode(),
                wrapped_secret=field["wrapped_secret"],
            ),
            idle_timeout_s=int(field["idle_timeout_s"]),
            last_activity_ms=int(field["last_activity_ms"]),
            messages=int(field["messages"]),
            metadata=json.loads(field["metadata"]),
            restored=field["restored"] == b"1",
        )
    except (ValueError, OverflowError, AttributeError, TypeError) as error:
        raise StorageError(f"the row of session {session_id} was edited: {error}") from error


def _raise_failures(label: str, answers: Sequence[Answer]) -> None:
    for answer in answers:
        if isinstance(answer, StorageError):
            raise answer
        if isinstance(answer, OutOfMemoryError):
            raise CapacityError(f"{label} has no room for another session") from answer
        if isinstance(answer, Exception):
            raise StorageError(f"{label}: {answer}") from answer


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for at in range(0, len(items), SCRIPT_LEN):
        yield items[at : at + SCRIPT_LEN]
