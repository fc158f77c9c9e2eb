"""The short way to make a context of OpenTelemetry current leads where the long one does."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, get_current_span, set_span_in_context

from sage_native.observability.tracing import making_current
from sage_native.observability.tracing.making_current import SPAN_IN_CONTEXT, make_current

if TYPE_CHECKING:
    import pytest


def test_it_is_opentelemetrys_own_variable() -> None:
    def here() -> None:
        made = Context({SPAN_IN_CONTEXT: INVALID_SPAN})
        make_current(made)
        assert context_api.get_current() is made
        assert get_current_span() is INVALID_SPAN
        token = context_api.attach(other := set_span_in_context(INVALID_SPAN))
        assert context_api.get_current() is other
        context_api.detach(token)
        assert context_api.get_current() is made

    contextvars.Context().run(here)
    assert make_current is not context_api.attach, "it is found in the version that is installed"


def test_where_contexts_are_kept_elsewhere_they_are_attached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[Context] = [Context()]
    monkeypatch.setattr(context_api, "attach", kept.append)
    monkeypatch.setattr(context_api, "get_current", lambda: kept[-1])
    made = Context()
    making_current._setter()(made)
    assert kept[-1] is made
