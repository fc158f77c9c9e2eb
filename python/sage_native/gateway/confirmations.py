"""M3s, those of one turn of the event loop together: each session is stored before it is answered.

One that waits in another worker is handed over to him.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING

from sage_native.exceptions import AuthenticationError
from sage_native.gateway.siblings import CONFIRMATION
from sage_native.gateway.together import Together
from sage_native.protocol import decode_json

if TYPE_CHECKING:
    from sage_native.gateway.answers import Answer
    from sage_native.gateway.gateway import Gateway
    from sage_native.protocol import Session

__all__ = ["Confirmation", "Confirmations"]


class Confirmation:
    """An M3 that is worked on.

    Attributes:
        text: Its JSON carrier.
        stored: Done once the session is stored; its result is an answer if another worker gave it.
        session: The session, once it is known.
        context: As of `Asked`.
    """

    __slots__ = ("context", "session", "stored", "text")

    def __init__(self, text: bytes, stored: asyncio.Future[Answer | None]) -> None:
        self.text = text
        self.stored = stored
        self.session: Session | None = None
        self.context = copy_context()

    def refuse(self, error: BaseException) -> None:
        """Tell whoever waits of an error, if somebody still does."""
        if not self.stored.done():
            self.stored.set_exception(error)


class Confirmations:
    """Takes M3s.

    Args:
        gateway: What it works with.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._together: Together[Confirmation] = Together(self._work)

    def ask(self, text: bytes) -> Confirmation:
        """Take an M3 in its JSON carrier.

        Returns:
            What its ``stored`` is to be awaited of.
        """
        loop = asyncio.get_running_loop()
        asked = Confirmation(text, loop.create_future())
        self._together.add(asked, loop)
        return asked

    def _work(self, gathered: list[Confirmation]) -> None:
        begin = self._gateway.manager.begin_confirm
        for asked in gathered:
            try:
                message = decode_json("confirm", asked.text)
                try:
                    asked.session = asked.context.run(begin, message, asked.stored)
                except AuthenticationError as error:
                    self._together.do_later(asked, self._hand_over(asked, message, error))
            except Exception as error:  # noqa: BLE001 - it is this one's own
                asked.refuse(error)

    async def _hand_over(
        self, asked: Confirmation, message: bytes, error: AuthenticationError
    ) -> None:
        answer = await self._gateway.siblings.hand_over(CONFIRMATION, message[:16], message)
        if answer is None:
            raise error
        if not asked.stored.done():
            asked.stored.set_result(answer)
