"""Two agents, Alice who calls and Bob who answers: what tests of sessions begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sage_native import Initiator, ReplaySet, Responder, SigningKey, resolve_did_key
from sage_native.exceptions import PeerError, RekeyRequiredError, SageError, SessionStateError
from tests.log_canaries import known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sage_native import Session
    from sage_native.protocol import Resolve

NOW_MS: Final = 1_800_000_000_000
REFUSED: Final = "authentication_failed"


@dataclass(frozen=True)
class Meeting:
    """A finished handshake with its three messages; the server's side is still half-open."""

    client: Session
    server: Session
    m1: bytes
    m2: bytes
    m3: bytes


class Agents:
    """Alice and Bob, with every setting that a test may want to change."""

    def __init__(
        self,
        *,
        signed: bool = False,
        require_challenge: bool = False,
        server_dids: Sequence[str] = (),
        resolve: Resolve = resolve_did_key,
    ) -> None:
        self.alice, self.bob = SigningKey.generate(), SigningKey.generate()
        for key in (self.alice, self.bob):
            known("key of an agent", key.to_bytes())
        self.admitted = ReplaySet()
        self.initiator = Initiator(self.alice, self.bob.verifying_key, sign_confirmation=signed)
        self.responder = Responder(
            self.bob,
            resolve=resolve,
            admit=self.admitted.admit,
            dids=server_dids,
            require_challenge=require_challenge,
            require_signed_confirmation=signed,
        )

    def meet(self) -> Meeting:
        """Shake hands, up to but without the confirmation."""
        attempt = self.initiator.initiate(now_ms=NOW_MS)
        m2, server = self.responder.respond(attempt.message, now_ms=NOW_MS)
        m3, client = attempt.finish(m2, now_ms=NOW_MS)
        return Meeting(client, server, attempt.message, m2, m3)

    def pair(self) -> tuple[Session, Session]:
        """Return the client's and the server's session, both open."""
        meeting = self.meet()
        meeting.server.confirm(meeting.m3, now_ms=NOW_MS)
        return meeting.client, meeting.server


def rekey(client: Session, server: Session, *, now_ms: int = NOW_MS) -> None:
    """Bring both sides to the next epoch."""
    reply = server.answer_rekey(client.rekey_request(now_ms=now_ms), now_ms=now_ms)
    client.accept_rekey(reply, now_ms=now_ms)


def state_of(session: Session) -> str:
    """Return the state as it is now; a type checker believes that it never changes."""
    return session.state


def code_of(call: Callable[..., object], *arguments: object, **named: object) -> str | None:
    """Return what the wire would say to a call, or None if it succeeds.

    A session that cannot, in its state, is answered like one that does not exist.
    """
    try:
        call(*arguments, **named)
    except (PeerError, RekeyRequiredError) as error:
        return error.code
    except SessionStateError:
        return REFUSED
    except SageError as error:
        raise AssertionError(f"no code for {error!r}") from error
    return None


def bit_flips(data: bytes) -> Iterator[bytes]:
    """Yield the message with each of its bits flipped, one at a time."""
    for at in range(len(data) * 8):
        yield flip(data, at)


def flip(data: bytes, bit: int) -> bytes:
    """Return the message with one bit flipped."""
    at, mask = bit // 8, 1 << bit % 8
    return data[:at] + bytes((data[at] ^ mask,)) + data[at + 1 :]
