"""``/v1/signatures``: strict Ed25519 verification, one and many."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sage_native.gateway.answers import json_answer
from sage_native.gateway.problems import ProblemError
from sage_native.gateway.wire import Verification, VerificationBatch, from_unpadded
from sage_native.keys import verify_many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_native.gateway.answers import Answer
    from sage_native.gateway.endpoint import Call

__all__ = ["verify", "verify_batch"]

_BATCH_COST = 1 / 20
"""What one signature of a batch costs of an address's bucket, beside the request itself."""


async def verify(call: Call) -> Answer:
    """Verify one signature."""
    item = await call.json(Verification)
    return json_answer({"valid": bool(verify_many(*_columns([item]))[0])})


async def verify_batch(call: Call) -> Answer:
    """Verify each signature of a batch; a wrong one changes nothing for its neighbours."""
    items = (await call.json(VerificationBatch)).items
    call.gateway.pacing.request(call.scope, len(items) * _BATCH_COST)
    # In a thread, where the interpreter lock is released: others are served meanwhile.
    verdicts = await asyncio.to_thread(verify_many, *_columns(items))
    return json_answer({"valid": verdicts.tolist()})


def _columns(items: Sequence[Verification]) -> tuple[list[bytes], list[bytes], list[bytes]]:
    keys = [from_unpadded(item.public_key) for item in items]
    signatures = [from_unpadded(item.signature) for item in items]
    if any(len(key) != 32 for key in keys) or any(len(one) != 64 for one in signatures):
        raise ProblemError("malformed_request")
    return keys, signatures, [from_unpadded(item.message) for item in items]
