"""The seed for staging: a hundred agents of ten owners, two gateways, and keys that nobody keeps.

Every key is drawn when the seed is loaded and forgotten after the handshakes, so nothing in staging
can be foretold. New handshakes need identities of their own; the sessions here are used through the
two sides that are stored. Names carry a mark of the run, so the seed may be loaded again.
"""

from __future__ import annotations

import secrets

from sage_native.keys import SigningKey
from sage_native.storage.seeds.identities import Identity, Meeting, Seed

__all__ = ["staging_seed"]

AGENT_COUNT = 100
OWNER_COUNT = 10
REVOKED_EVERY = 25
SESSIONS_PER_AGENT = 2


def staging_seed() -> Seed:
    """Return the seed: each agent that is not revoked has a session with each gateway."""
    run = secrets.token_hex(4)
    gateways = [
        _identity(f"{run}-gateway-{number}", "staging") for number in range(SESSIONS_PER_AGENT)
    ]
    agents = [
        _identity(
            f"{run}-agent-{number:03}",
            f"team-{number % OWNER_COUNT}",
            is_revoked=number % REVOKED_EVERY == REVOKED_EVERY - 1,
        )
        for number in range(AGENT_COUNT)
    ]
    meetings = [
        Meeting(agent, gateway, {"owner": agent.owner})
        for agent in agents
        if not agent.is_revoked
        for gateway in gateways
    ]
    return Seed((*gateways, *agents), meetings)


def _identity(name: str, owner: str, *, is_revoked: bool = False) -> Identity:
    return Identity(f"did:sage:staging-{name}", SigningKey.generate(), owner, is_revoked)
