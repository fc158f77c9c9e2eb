"""The table of metrics is well formed, and its labels have the values that others use."""

from __future__ import annotations

import inspect
import re

import pytest

from sage_native.gateway.problems import PROBLEMS
from sage_native.observability.metrics.definitions import METRICS, OTHER, Metric, metric
from sage_native.storage.base import DidStore, NonceStore, SessionStore, Storage

each = pytest.mark.parametrize("one", METRICS, ids=lambda one: one.name)


def values(name: str, label: str) -> set[str]:
    (found,) = (one for one in metric(name).labels if one.name == label)
    return set(found.values)


@each
def test_names_say_kind_and_unit(one: Metric) -> None:
    assert re.fullmatch(r"sage_[a-z]+(_[a-z]+)+", one.name)
    assert one.name.endswith("_total") == (one.kind == "counter")
    assert one.name.removesuffix("_total").endswith(f"_{one.unit}" if one.unit else "")
    assert one.help.endswith(".")


@each
def test_only_histograms_have_buckets_and_theirs_grow(one: Metric) -> None:
    assert bool(one.buckets_s) == (one.kind == "histogram")
    assert list(one.buckets_s) == sorted(set(one.buckets_s))


@each
def test_every_label_is_bounded(one: Metric) -> None:
    for label in one.labels:
        assert bool(label.values) != bool(label.bound), label
        assert len(set(label.values)) == len(label.values)


def test_names_stand_once() -> None:
    assert len({one.name for one in METRICS}) == len(METRICS)


def test_no_label_names_whom_or_what_a_client_chooses() -> None:
    names = {label.name for one in METRICS for label in one.labels}
    assert not names & {"did", "client_did", "server_did", "session_id", "path", "address", "url"}


def test_codes_are_those_of_the_gateway() -> None:
    assert values("sage_problems_total", "code") == {*PROBLEMS, OTHER}


def test_operations_of_stores_are_known() -> None:
    asked = {
        name
        for port in (NonceStore, DidStore, SessionStore, Storage)
        for name, function in vars(port).items()
        if inspect.iscoroutinefunction(function) and not name.startswith("_")
    } - {"mark_incomplete", "session_store_names", "aclose"}
    assert len(asked) > 10
    assert asked <= values("sage_store_operations_total", "operation")
