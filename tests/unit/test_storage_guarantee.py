"""Levels of replay protection: their order, their names, and the refusal to start below one."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from sage_native import ReplaySet
from sage_native.exceptions import ConfigurationError
from sage_native.storage import ReplayGuarantee
from sage_native.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from pathlib import Path

LEVELS = list(ReplayGuarantee)


def test_each_level_includes_those_before() -> None:
    assert [level.name.lower() for level in sorted(LEVELS)] == [
        "process",
        "node",
        "durable",
        "failover",
    ]
    for reached, wanted in itertools.product(LEVELS, LEVELS):
        if LEVELS.index(reached) >= LEVELS.index(wanted):
            reached.require(wanted, store="store", remedy="remedy")
        else:
            with pytest.raises(ConfigurationError):
                reached.require(wanted, store="store", remedy="remedy")


def test_a_refusal_names_store_levels_and_the_way_out() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        ReplayGuarantee.NODE.require(
            ReplayGuarantee.FAILOVER, store="the set", remedy="add a machine"
        )
    for part in ("the set", "level node", "demands failover", "add a machine"):
        assert part in str(refusal.value)


def test_levels_are_named_in_settings() -> None:
    for level in LEVELS:
        assert ReplayGuarantee.parse(level.name.lower()) is level
    for name in ("", "durably", "3", "process "):
        with pytest.raises(ConfigurationError, match="known are: process, node, durable, failover"):
            ReplayGuarantee.parse(name)


def test_memory_says_what_it_survives(tmp_path: Path) -> None:
    assert MemoryStorage().nonces.guarantee is ReplayGuarantee.PROCESS
    with pytest.raises(ConfigurationError, match="from a path reaches node"):
        MemoryStorage(guarantee=ReplayGuarantee.NODE)
    nonces = ReplaySet.open(tmp_path / "nonces", capacity=1000)
    storage = MemoryStorage(nonces=nonces, guarantee=ReplayGuarantee.NODE)
    assert storage.nonces.guarantee is ReplayGuarantee.NODE
    with pytest.raises(ConfigurationError, match="demands durable"):
        MemoryStorage(nonces=nonces, guarantee=ReplayGuarantee.DURABLE)
