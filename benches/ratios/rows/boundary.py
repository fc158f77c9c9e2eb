"""Row 17: what a call with three arguments costs that returns bytes and does nothing else.

The probe borrows nonce (12 bytes), plaintext (64) and associated data (13) and returns 80 fresh
bytes, as sealing does. From it is taken what Python pays for any call: one of an empty function of
the same shape, and, to be seen beside it, one of a native method without arguments.
"""

from __future__ import annotations

from benches.ratios.sides import Row, Side, always
from sage_native import _native
from sage_native.aead import AeadKey

_ARGUMENTS = (bytes(12), bytes(64), bytes(13))
_ANSWER = bytes(80)


def probe() -> Side:
    """Cross the boundary with three arguments, and return with 80 bytes."""
    return Side(_native._boundary_probe, always(*_ARGUMENTS), seen=len)


def _empty_function() -> Side:
    def call(first: bytes, second: bytes, third: bytes | None = None, /) -> bytes:  # noqa: ARG001
        return _ANSWER

    return Side(call, always(*_ARGUMENTS), seen=len)


def bare_call() -> Side:
    """Cross the boundary with nothing: a native method that returns its own object."""
    key = AeadKey(bytes(32))
    return Side(key.__enter__, always(), seen=lambda _: len(_ANSWER))


_OPERATION = "Boundary: three arguments in, bytes out"

ROWS = (
    Row(
        17,
        _OPERATION,
        "an empty Python function",
        lambda: (probe(), _empty_function()),
        100,
        65,
        unit="ns",
    ),
    Row(
        17,
        _OPERATION,
        "a native method without arguments",
        lambda: (probe(), bare_call()),
        standing="beside",
        unit="ns",
    ),
)
