"""``sage-native db rewrap``: every session under the current key-encryption key."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sage_native.cli import console
from sage_native.cli.db.keks import Keks, loaded
from sage_native.cli.db.progress import rows_done
from sage_native.cli.db.target import DEFAULT, Database, checked, opened, run
from sage_native.exceptions import KeyUnavailableError
from sage_native.sessions.key_ring import KeyRing

if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_native.storage.base import SessionStore

__all__ = ["rewrap"]

SHOWN_IDS = 3


@dataclass
class _Rotated:
    rewrapped: int = 0
    overtaken: int = 0
    unopened: list[str] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)


def rewrap(*, database: Database = DEFAULT, kek: Keks = None) -> None:
    """Wrap every session under the current key-encryption key.

    Give the new key first, then those that rows are still wrapped under. Sessions may be used
    meanwhile. Once this ends with status 0, and every server has the new key first too, the older
    keys are needed no more: only backups may still need them.

    Args:
        database: Its URL: sqlite:///FILE, postgresql://USER@HOST/NAME or redis://HOST.
        kek: ID=FILE of a key-encryption key, the current one first; or SAGE_KEK, with commas
            between them. A file holds 32 bytes, raw, in base64 or in hex, for its owner alone.
    """
    url = checked(database)
    with loaded(kek) as keys:
        done = run(_rewrap(url, KeyRing(*keys)))
        current = keys[0].kek_id
    console.line("rewrapped", f"{done.rewrapped:,}, now under {current!r}")
    if done.overtaken:
        console.line("", f"{done.overtaken:,} were rekeyed, rotated or ended meanwhile")
    _refuse_leftovers(done)


async def _rewrap(url: str, keys: KeyRing) -> _Rotated:
    done = _Rotated()
    async with opened(url) as storage:
        with rows_done("rewrapping") as told:
            for name in await storage.session_store_names():
                await _rewrap_store(storage.sessions(name), keys, done, told)
    return done


async def _rewrap_store(
    store: SessionStore, keys: KeyRing, done: _Rotated, told: Callable[[int, int | None], None]
) -> None:
    from sage_native.sessions.rewrap import rewrap  # noqa: PLC0415 - as needed

    before = done.rewrapped
    result = await rewrap(store, keys, progress=lambda count: told(before + count, None))
    done.rewrapped += result.rewrapped
    done.overtaken += result.overtaken
    done.unopened += [f"{session_id} of {store.name!r}" for session_id in result.unopened]
    done.left += await _under_other_keys(store, keys)


async def _under_other_keys(store: SessionStore, keys: KeyRing) -> Counter[str]:
    """Count the rows that are under another key than the current one, by the key's id.

    Asked of the rows themselves: some may be under keys that the ring does not hold.
    """
    found: Counter[str] = Counter()
    after = None
    while True:
        page = await store.page(after=after, limit=1000)
        found.update(row.session.kek_id for row in page.rows)
        after = page.next_cursor
        if after is None:
            del found[keys.current.kek_id]
            return found


def _refuse_leftovers(done: _Rotated) -> None:
    if done.unopened:
        shown = ", ".join(done.unopened[:SHOWN_IDS])
        more = len(done.unopened) - SHOWN_IDS
        raise KeyUnavailableError(
            f"{len(done.unopened)} sessions do not open under the key that they name, and stay as "
            f"they are: {shown}{f' and {more} more' if more > 0 else ''}; give the right key, or "
            "delete them"
        )
    if done.left:
        under = ", ".join(
            f"{count} under {kek_id!r}" for kek_id, count in sorted(done.left.items())
        )
        raise KeyUnavailableError(
            f"sessions are left under other keys: {under}; give those keys too, after the current "
            "one, or run it again if servers still wrap under them"
        )
