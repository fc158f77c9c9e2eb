"""Feeds one message of a vector to the side that it is meant for.

The names of the kinds are those in ``negative.json``; a kind ending in ``.json`` is the JSON
carrier, every other the binary one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import carriers, messages
from .errors import ProtocolError, unauthenticated
from .messages import Accept, Confirm, Initiate, RekeyReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from .setups import Situation


@dataclass(frozen=True)
class Item:
    """One message to feed: what it is, its bytes, when it arrives, the caller's aad of a record."""

    feed: str
    message: bytes
    at_ms: int
    aad: bytes = b""


def feed(situation: Situation, item: Item) -> None:
    """Feed one message; a refusal raises `ProtocolError`."""
    HANDLERS[item.feed](situation, item)


def _initiate(situation: Situation, item: Item, message: Initiate) -> None:
    setup = situation.setup
    situation.responder.respond(
        message,
        now_ms=item.at_ms,
        ephemeral_secret=setup.server_ephemeral_secret,
        server_nonce=setup.server_nonce,
        session_id=setup.session_id,
        incarnation=setup.server_incarnation,
    )


def _accept(situation: Situation, item: Item, decode: Callable[[bytes], Accept]) -> None:
    """Any failure of the client is the one ``authentication_failed``."""
    try:
        message = decode(item.message)
    except ProtocolError as error:
        raise unauthenticated(f"accept does not parse: {error}") from error
    situation.finish(message, now_ms=item.at_ms)


def _confirm(situation: Situation, item: Item, message: Confirm) -> None:
    situation.responder.confirm(message, now_ms=item.at_ms)


def _record(situation: Situation, item: Item) -> None:
    is_server = situation.setup.role == "server"
    session = situation.server_session if is_server else situation.client_session
    session.open(item.message, now_ms=item.at_ms, aad=item.aad)


def _r1(situation: Situation, item: Item, message: messages.R1) -> None:
    session = situation.responder.session(message.session_id)
    session.rekey_answer(message, nonce=situation.setup.rekey_nonce_s, now_ms=item.at_ms)


def _reply(situation: Situation, item: Item, message: RekeyReply) -> None:
    situation.client_session.rekey_finish(message, now_ms=item.at_ms)


HANDLERS: Final[dict[str, Callable[[Situation, Item], None]]] = {
    "initiate": lambda s, i: _initiate(s, i, Initiate.decode(i.message)),
    "initiate.json": lambda s, i: _initiate(s, i, carriers.decode_initiate(i.message)),
    "accept": lambda s, i: _accept(s, i, Accept.decode),
    "accept.json": lambda s, i: _accept(s, i, carriers.decode_accept),
    "confirm": lambda s, i: _confirm(s, i, Confirm.decode(i.message)),
    "confirm.json": lambda s, i: _confirm(s, i, carriers.decode_confirm(i.message)),
    "record": _record,
    "r1": lambda s, i: _r1(s, i, messages.R1.decode(i.message)),
    "r1.json": lambda s, i: _r1(s, i, carriers.decode_r1(i.message)),
    "rekey_reply": lambda s, i: _reply(s, i, RekeyReply.decode(i.message)),
    "rekey_reply.json": lambda s, i: _reply(s, i, carriers.decode_rekey_reply(i.message)),
}
