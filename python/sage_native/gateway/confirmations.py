"""M3s, those of one turn of the event loop together: each session is stored before it is answered.

One that waits in another worker is handed over to him.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.exceptions import AuthenticationError
from sage_native.gateway.answers import NO_CONTENT
from sage_native.gateway.siblings import CONFIRMATION
from sage_native.gateway.together import Asked, Together
from sage_native.observability.context import context_here
from sage_native.protocol import decode_json

if TYPE_CHECKING:
    from sage_native.gateway.gateway import Gateway
    from sage_native.gateway.taskless import Done
    from sage_native.protocol import Session

__all__ = ["Confirmation", "Confirmations"]


class Confirmation(Asked):
    """An M3 that is worked on.

    Attributes:
        text: Its JSON carrier.
        session: The session, once it is known.
    """

    __slots__ = ("session", "text")

    def __init__(self, text: bytes, done: Done) -> None:
        super().__init__(done, context_here())
        self.text = text
        self.session: Session | None = None

    def stored(self, error: BaseException | None) -> None:
        """Take the outcome of storing the session."""
        if error is None:
            self.answer(NO_CONTENT)
        else:
            self.refuse(error)


class Confirmations:
    """Takes M3s.

    Args:
        gateway: What it works with.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._together: Together[Confirmation] = Together(self._work)

    def begin(self, text: bytes, done: Done) -> Confirmation:
        """Take an M3.

        Args:
            text: Its JSON carrier.
            done: Called once: with 204 once the session is stored, with the answer of another
                worker, or with what `SessionManager.confirm` raises.
        """
        asked = Confirmation(text, done)
        self._together.add(asked)
        return asked

    def _work(self, gathered: list[Confirmation]) -> None:
        read = []
        for asked in gathered:
            try:
                read.append((asked, decode_json("confirm", asked.text)))
            except Exception as error:  # noqa: BLE001 - it is this one's own
                asked.refuse(error)
        outcomes = self._gateway.manager.begin_confirm_many(
            [(message, asked.stored, asked.context) for asked, message in read]
        )
        for (asked, message), outcome in zip(read, outcomes, strict=True):
            if isinstance(outcome, AuthenticationError):
                self._together.do_later(asked, self._hand_over(asked, message, outcome))
            elif isinstance(outcome, BaseException):
                asked.refuse(outcome)
            else:
                asked.session = outcome

    async def _hand_over(
        self, asked: Confirmation, message: bytes, error: AuthenticationError
    ) -> None:
        answer = await self._gateway.siblings.hand_over(CONFIRMATION, message[:16], message)
        try:
            if answer is None:
                raise error
        finally:
            del error  # it holds this frame
        asked.answer(answer)
