"""The gateway end to end, in one process: what a client and an operator do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateways import Site, code_of, gateway_settings, open_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(gateway_settings(tmp_path)) as site:
        yield site


async def test_a_registered_agent_talks_through_the_gateway(site: Site) -> None:
    agent = await site.registered()
    session = await agent.handshake()
    assert await agent.ask(session, b"hello") == b"hello"
    await agent.rekey(session)
    assert session.epoch == 1
    assert await agent.ask(session, b"hello again") == b"hello again"
    listed = (await site.admin.get("/v1/sessions", params={"client_did": agent.did})).json()
    assert [row["session_id"] for row in listed["sessions"]] == [session.session_id]
    assert listed["next"] is None
    ended = await site.admin.delete(f"/v1/sessions/{session.session_id}")
    assert ended.status_code == 204
    late = await agent.send_record(session.session_id, session.seal(b"late"))
    assert (late.status_code, code_of(late)) == (401, "authentication_failed")


async def test_who_is_not_registered_is_not_admitted(site: Site) -> None:
    agent = site.agent()
    answer = await agent.send_m1(await agent.attempt())
    # A new memory of nonces is not known to be whole, so that a challenge comes first.
    assert code_of(answer) == "challenge_required"
    with pytest.raises(AssertionError, match="authentication_failed"):
        await agent.handshake()
