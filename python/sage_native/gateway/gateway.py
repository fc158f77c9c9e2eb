"""One worker of the gateway: everything that its endpoints use, opened and closed together.

::

    settings ─▶ state directory ─▶ secrets ─▶ keys ─▶ identities, key ring
                                └▶ storage ─▶ registry, session manager, request nonces
                                                     └▶ what is behind

Opened from left to right and closed in the opposite order. What several workers share lies in the
state directory and in the storage; the rest is this worker's own.
"""

from __future__ import annotations

import logging
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from sage_native.exceptions import UsageError
from sage_native.gateway.admission import ClientAdmission
from sage_native.gateway.challenges import ChallengePolicy
from sage_native.gateway.confirmations import Confirmations
from sage_native.gateway.identities import Identities
from sage_native.gateway.initiations import Initiations
from sage_native.gateway.limits import BodyDeadlines, InFlight
from sage_native.gateway.measuring import StoreGauges, measured
from sage_native.gateway.pacing import Pacing
from sage_native.gateway.preparing import ensure_secrets, opened_secrets
from sage_native.gateway.rotation import KeyRotation, Keys
from sage_native.gateway.siblings import Siblings
from sage_native.gateway.state import StateDirectory
from sage_native.gateway.stores import open_nonces, open_store
from sage_native.replay import ReplayWindowTable
from sage_native.sessions import KeyRing, SessionManager, SessionPolicy

if TYPE_CHECKING:
    from typing import Self

    from sage_native.config import Settings
    from sage_native.gateway.behind import Behind
    from sage_native.gateway.request_nonces import RequestNonces
    from sage_native.storage.base import Storage

__all__ = ["SESSION_STORE", "Gateway"]

SESSION_STORE = "responder"
"""The name under which gateways store sessions; every row is bound to it."""

WAITED_FOR_EACH = 64
"""How many bodies of one address a worker waits for at once."""

_logger = logging.getLogger("sage_native.gateway")


class Gateway:
    """What the endpoints of one process share. Use it as an asynchronous context manager.

    Args:
        settings: As `sage_native.config.load_settings` returns them.
        behind: What opened records are handed to; what ``settings.behind`` names if it is left out.

    Attributes:
        admission: Whom the policy admits, and the registry of DIDs.
        manager: The sessions.
        identities: Whom the gateway answers as.
        initiations: The M1s that are worked on.
        confirmations: The M3s that are worked on.
        nonces: Where request nonces are admitted.
        windows: The replay windows that all workers share.
        siblings: The other workers of the machine.
        challenges: When a client needs a challenge.
        behind: What opened records are handed to.
        storage: The store.
        rotation: The keys in use.
        in_flight: Requests at work.
        deadlines: Of bodies that are being read.
        pacing: How often clients may ask.
    """

    admission: ClientAdmission
    manager: SessionManager
    identities: Identities
    initiations: Initiations
    confirmations: Confirmations
    nonces: RequestNonces
    windows: ReplayWindowTable
    siblings: Siblings
    challenges: ChallengePolicy
    behind: Behind
    storage: Storage
    rotation: KeyRotation

    def __init__(self, settings: Settings, *, behind: Behind | None = None) -> None:
        self.settings = settings
        limits = settings.limits
        self.in_flight = InFlight(limits.max_in_flight, busy_above=limits.challenge_above_in_flight)
        self.pacing = Pacing(settings)
        self.deadlines = BodyDeadlines(
            limits.body_timeout, name_of=self.pacing.address_of, max_each_count=WAITED_FOR_EACH
        )
        self._given_behind = behind
        self._stack: AsyncExitStack | None = None
        self.started_s = time.monotonic()

    @property
    def is_open(self) -> bool:
        """Tell whether it serves."""
        return self._stack is not None and not self.in_flight.draining

    async def __aenter__(self) -> Self:
        if self._stack is not None:
            raise UsageError("this gateway is open already")
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        stack, self._stack = self._stack, None
        if stack is None:
            return
        drain_s = self.settings.server.drain_timeout
        if not await self.in_flight.drained(drain_s):
            _logger.warning(
                "%d requests were cut off after %d s of draining", self.in_flight.count, drain_s
            )
        self.deadlines.close()
        await stack.aclose()

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        state = StateDirectory(settings.state_dir)
        provider = opened_secrets(settings, state)
        stack.push_async_callback(provider.aclose)
        await ensure_secrets(settings, state, provider)
        keys = Keys(settings, provider)
        ring = KeyRing(*await keys.keks())
        self.identities = Identities(
            await keys.signing_keys(),
            dids=settings.identity.dids,
            challenge_key=state.challenge_key(),
            require_signed_confirmation=settings.handshake.confirmation == "signature",
        )
        await self._open_stores(stack, state, ring)
        if self._given_behind is not None:
            self.behind = self._given_behind
        else:
            from sage_native.gateway.behind import open_behind  # noqa: PLC0415 - as needed

            self.behind = open_behind(settings.behind)
        await self.behind.start()
        stack.push_async_callback(self.behind.aclose)
        self.rotation = KeyRotation(
            keys,
            provider=provider,
            identities=self.identities,
            ring=ring,
            operator_token=await keys.operator_token(),
            interval_s=settings.secrets.cache,
        )
        self.rotation.start()
        stack.push_async_callback(self.rotation.stop)
        # After all else, since others may hand something over at once.
        from sage_native.gateway.routes.handed_over import taker  # noqa: PLC0415 - they know us

        gauges = StoreGauges(self.storage.sessions(SESSION_STORE), self.nonces)
        stack.enter_context(measured(self.admission.hot_keys, gauges))
        self.initiations = Initiations(self)
        self.confirmations = Confirmations(self)
        self.siblings = Siblings(state.path, taker(self))
        await self.siblings.start()
        stack.push_async_callback(self.siblings.stop)

    async def _open_stores(
        self, stack: AsyncExitStack, state: StateDirectory, ring: KeyRing
    ) -> None:
        settings = self.settings
        self.storage = await stack.enter_async_context(await open_store(settings))
        self.nonces = open_nonces(settings, state, self.storage)
        policy = session_policy(settings)
        self.windows = ReplayWindowTable.open(
            state.windows_path,
            capacity=settings.replay.windows,
            horizon_ms=policy.window_horizon_ms,
        )
        self.admission = ClientAdmission(settings.admission, self.storage)
        self.manager = await stack.enter_async_context(
            SessionManager(
                self.storage.sessions(SESSION_STORE),
                ring,
                policy=policy,
                windows=self.windows,
                registry=self.admission.registry,
            )
        )
        self.challenges = ChallengePolicy(
            is_always=settings.handshake.challenges == "always",
            is_complete=self.nonces.is_complete,
            is_loaded=lambda: self.in_flight.busy,
        )


def session_policy(settings: Settings) -> SessionPolicy:
    """Return the limits of sessions that the settings ask for."""
    session = settings.session
    return SessionPolicy(
        lifetime_s=session.max_age,
        idle_timeout_s=session.idle_timeout,
        max_messages=session.max_messages,
        max_sessions=session.max_sessions,
        max_sessions_per_client=session.max_sessions_per_client,
        max_half_open=session.max_half_open,
        max_half_open_per_client=session.max_half_open_per_client,
        cleanup_interval_s=session.cleanup_interval,
    )
