"""Sessions that wait for their confirmation, counted."""

from __future__ import annotations

import pytest

from sage_native.exceptions import CapacityError
from sage_native.sessions.half_open import HalfOpen
from tests.agents import NOW_MS, Agents


def test_it_counts_in_all_and_by_client() -> None:
    half_open, alice, carol = HalfOpen(3, 2), Agents(), Agents()
    for agents in (alice, alice, carol):
        half_open.check_room(agents.initiator.did)
        half_open.add(agents.meet().server)
    assert len(half_open) == 3
    with pytest.raises(CapacityError, match="3 sessions wait"):
        half_open.check_room("did:sage:anybody")
    first = next(iter(half_open.sessions.values()))
    assert half_open.discard(first.session_id) is first
    assert half_open.discard(first.session_id) is None
    assert first.session_id not in half_open
    half_open.check_room(alice.initiator.did)
    half_open.add(alice.meet().server)
    half_open.discard(list(half_open.sessions)[1])
    with pytest.raises(CapacityError, match="2 sessions of this client"):
        half_open.check_room(alice.initiator.did)
    half_open.check_room(carol.initiator.did)


def test_nothing_is_kept_of_clients_that_are_gone() -> None:
    half_open = HalfOpen(100, 2)
    for _ in range(20):
        session = Agents().meet().server
        half_open.add(session)
        half_open.discard(session.session_id)
    assert len(half_open) == 0
    assert not half_open._of_client


@pytest.mark.parametrize("thorough", [True, False])
def test_the_dead_make_room(*, thorough: bool) -> None:
    half_open, agents = HalfOpen(10, 10), Agents()
    servers = [agents.meet().server for _ in range(3)]
    for server in servers:
        half_open.add(server)
    assert half_open.drop_dead(NOW_MS + 9_999, thorough=thorough) == []
    assert not any(server.closed for server in servers)
    assert half_open.drop_dead(NOW_MS + 10_000, thorough=thorough) == servers
    assert all(server.closed for server in servers)
    assert len(half_open) == 0


def test_a_flood_is_not_looked_through_again_and_again() -> None:
    """The oldest lives, so nobody asks the others; the sweeper still finds whoever is dead."""
    half_open, agents = HalfOpen(10, 10), Agents()
    servers = [agents.meet().server for _ in range(3)]
    for server in servers:
        half_open.add(server)
    servers[1].close()
    assert half_open.drop_dead(NOW_MS, thorough=False) == []
    assert half_open.drop_dead(NOW_MS) == [servers[1]]
    assert len(half_open) == 2
