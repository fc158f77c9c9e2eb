"""Another process that presents nonces to a Redis: ``python -m tests.integration.redis_rival``.

Its input has a nonce on each line: scope, hex and end, as a JSON list. It answers each with a line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING

from sage_native.exceptions import ReplayDetectedError
from sage_native.storage.base import Outcome
from sage_native.storage.redis import RedisStorage
from sage_native.storage.rows import RequestNonce

if TYPE_CHECKING:
    from sage_native.storage.base import NonceStore


async def present(nonces: NonceStore, request: RequestNonce, *, alone: int, batches: int) -> int:
    """Present one nonce so many times alone, and in so many batches of 1000; count the accepts."""

    async def once() -> bool:
        try:
            await nonces.admit(request.scope, request.nonce, request.remember_until_ms)
        except ReplayDetectedError:
            return False
        return True

    accepts, outcomes = await asyncio.gather(
        asyncio.gather(*(once() for _ in range(alone))),
        asyncio.gather(*(nonces.admit_many([request] * 1000) for _ in range(batches))),
    )
    counts = Counter(outcome for batch in outcomes for outcome in batch)
    assert counts.keys() <= {Outcome.FRESH, Outcome.REPLAY}
    assert counts.total() == batches * 1000
    return sum(accepts) + counts[Outcome.FRESH]


async def main(url: str, alone: int, batches: int) -> None:
    """Present every nonce that is read from the input, and print how often it was accepted."""
    async with await RedisStorage.open(url, timeout_s=30) as storage:
        _tell("ready")
        while line := await asyncio.to_thread(sys.stdin.readline):
            scope, value, end_ms = json.loads(line)
            request = RequestNonce(scope, bytes.fromhex(value), end_ms)
            _tell(await present(storage.nonces, request, alone=alone, batches=batches))


def _tell(answer: object) -> None:
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
