"""A gateway under attack, and everything that a bad input must leave as it was.

Whatever is sent to a gateway through an `Arena` is watched: no answer is a 500, and none of them,
nor the log, nor what was printed, holds a stack trace or a byte of a key. Inside ``unharmed`` there
is moreover no new session, no new nonce, and nothing still at work in the end.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sage_native import ReplaySet
from sage_native.gateway import Gateway
from sage_native.gateway.gateway import SESSION_STORE
from sage_native.gateway.request_nonces import MachineNonces
from sage_native.gateway.state import StateDirectory
from sage_native.storage.base import DEFAULT_HORIZON_MS
from tests.gateways import Site, gateway_settings, know_keys
from tests.security import canaries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    import httpx2
    import pytest

    from sage_native.config import Settings
    from sage_native.gateway.behind import Behind

__all__ = ["Arena", "age", "attack_settings", "open_arena", "watched"]

SMALL: Mapping[str, object] = {
    "features.rate_limiting": False,
    "replay.capacity": 10_000,
    "replay.windows": 4096,
}
"""Settings that let a test ask as often as it likes, with tables that are made at once."""
_TRACES = ("Traceback", "panicked", 'File "', 'File \\"', "PanicException")


@dataclass(frozen=True)
class State:
    """What a bad input must not change."""

    stored: int
    served: int
    nonces: int
    at_work: int
    reading: int


class Arena(Site):
    """A site whose answers are watched.

    Attributes:
        answers: Those that came since the last look.
        keys: The gateway's secrets, by name.
    """

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self.answers: list[httpx2.Response] = []
        self.printed: Callable[[], str] = str
        self.keys = canaries.keys_of(gateway.settings.state_dir / "secrets")
        self._patterns = _patterns(self.keys)
        for client in (self.public, self.admin, self.stranger):
            client.event_hooks = {"response": [self._note]}

    async def _note(self, answer: httpx2.Response) -> None:
        await answer.aread()
        self.answers.append(answer)

    async def state(self) -> State:
        gateway = self.gateway
        nonces = gateway.nonces
        return State(
            stored=await gateway.storage.sessions(SESSION_STORE).count(),
            served=len(gateway.manager),
            nonces=nonces.memory.statistics().live if isinstance(nonces, MachineNonces) else 0,
            at_work=gateway.in_flight.count,
            reading=gateway.deadlines.reading_count,
        )

    @contextlib.asynccontextmanager
    async def unharmed(self, *, nonces: int = 0) -> AsyncIterator[None]:
        """Assert that what is sent inside creates nothing, and ends.

        Args:
            nonces: How many are admitted nevertheless: those of M1s that were signed by whom they
                name, and are refused for their key share alone.
        """
        before = await self.state()
        yield
        assert await self.state() == replace(before, nonces=before.nonces + nonces)
        assert (before.at_work, before.reading) == (0, 0)
        await self.look()

    async def look(self) -> None:
        """Assert that no answer since the last look, and nothing printed, says too much."""
        answers, self.answers = self.answers, []
        text = self.printed()
        patterns = [*self._patterns, *_patterns(await self._session_secrets())]
        for answer in answers:
            assert answer.status_code != 500, answer.text
            if answer.headers.get("content-type") == "application/problem+json":
                assert ".py" not in answer.text
            text += "".join(answer.headers.values())
        files = [("log", text.encode()), *(("answer", answer.content) for answer in answers)]
        for name, content in files:
            for secret, pattern in patterns:
                assert pattern not in content, f"{secret} in {name}"
            for trace in _TRACES:
                assert trace.encode() not in content, (name, content)

    async def _session_secrets(self) -> dict[str, bytes]:
        kek = self.keys["kek"]
        page = await self.gateway.storage.sessions(SESSION_STORE).page(limit=20)
        found: dict[str, bytes] = {}
        for row in page.rows:
            with contextlib.suppress(Exception):  # rows that a test has damaged
                secrets = canaries.secrets_of(row.session, kek, store=SESSION_STORE)
                found |= {f"{name} of a session": secret for name, secret in secrets.items()}
        return found


def attack_settings(
    tmp_path: Path, overrides: Mapping[str, object] | None = None, *, profile: str = "dev"
) -> Settings:
    """Settings without rate limits and with small tables."""
    return gateway_settings(tmp_path, {**SMALL, **(overrides or {})}, profile=profile)


def age(settings: Settings) -> None:
    """Make the memory of nonces as if it had been there for long, so that no challenge is due."""
    state = StateDirectory(settings.state_dir)
    ReplaySet.open(
        state.replay_path,
        capacity=settings.replay.capacity,
        horizon_ms=DEFAULT_HORIZON_MS,
        now_ms=time.time_ns() // 1_000_000 - 3 * DEFAULT_HORIZON_MS,
    )


@contextlib.asynccontextmanager
async def open_arena(
    settings: Settings, *, behind: Behind | None = None, aged: bool = True
) -> AsyncIterator[Arena]:
    """Open a gateway and watch it.

    Args:
        settings: Its settings.
        behind: What is behind it.
        aged: Whether its memory of nonces is to be old enough to be relied on.
    """
    if aged:
        age(settings)
    async with Gateway(settings, behind=behind) as gateway:
        arena = Arena(gateway)
        know_keys(settings)
        async with arena.public, arena.admin, arena.stranger:
            yield arena


@contextlib.contextmanager
def watched(
    arena: Arena, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[Arena]:
    """Let an arena see the log of one test."""
    seen: list[str] = []

    def printed() -> str:
        captured = capfd.readouterr()
        seen.append(captured.out + captured.err)
        return caplog.text + "".join(seen)

    arena.answers.clear()
    arena.printed = printed
    with caplog.at_level("DEBUG", logger="sage_native"):
        yield arena


def _patterns(secrets: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    return [(name, text) for name, secret in secrets.items() for text in canaries.spellings(secret)]
