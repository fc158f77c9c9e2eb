"""The setups that negative cases name."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.reference import ed25519
from tests.reference.setups import Setup, derived_bytes

OTHER_SEED: Final = derived_bytes("other client seed")
"""A second registered client."""

SECOND_KEY_SEED: Final = derived_bytes("second key seed")
"""A second key of the client that has two."""

REGISTERED: Final[dict[str, tuple[bytes, ...]]] = {
    "did:example:other": (ed25519.public_key(OTHER_SEED),),
    "did:example:two-keys": (
        ed25519.public_key(Setup().client_seed),
        ed25519.public_key(SECOND_KEY_SEED),
    ),
    "did:example:" + "a" * 244: (ed25519.public_key(Setup().client_seed),),
    "did:example:a:b::c-d_e.f": (ed25519.public_key(Setup().client_seed),),
}

_SERVER: Final = Setup(registered=REGISTERED)
_OPEN: Final = replace(_SERVER, state="open")

SETUPS: Final[dict[str, Setup]] = {
    "server": _SERVER,
    "server wanting a challenge": replace(_SERVER, challenge_required=True),
    "client": Setup(role="client", state="offered", suites=(1, 7)),
    "client that knows the session id": Setup(
        role="client", state="offered", session_id_known=True
    ),
    "half-open": replace(_SERVER, state="half_open"),
    "half-open, signature wanted": replace(_SERVER, state="half_open", confirmation="signature"),
    "open": _OPEN,
    "open, two incarnations": replace(_OPEN, max_incarnation_count=2),
    "open, windows lost": replace(_OPEN, windows_lost=True),
    "open client": Setup(role="client", state="open"),
    "rekeying": replace(_OPEN, state="rekeying"),
    "rekeying client": Setup(role="client", state="rekeying"),
}
