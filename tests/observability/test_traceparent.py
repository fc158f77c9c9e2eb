"""``traceparent`` and ``tracestate``: what is read, and what is not."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sage_native.observability.tracing.traceparent import read_parent, spelt_parent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01".encode()


def read(parent: bytes, *states: bytes) -> object:
    return read_parent(
        [(b"host", b"x"), (b"traceparent", parent), *((b"tracestate", one) for one in states)]
    )


def test_all_flags_are_taken_and_the_known_ones_kept() -> None:
    for flags in range(256):
        found = read(f"00-{TRACE}-{SPAN}-{flags:02x}".encode())
        assert found == (int(TRACE, 16), int(SPAN, 16), flags & 3, b"")


@pytest.mark.parametrize("more", [b"", b"-", b"-what-comes-later"])
def test_later_versions_are_read_as_far_as_they_are_known(more: bytes) -> None:
    assert read(b"cc" + GOOD[2:] + more) == (int(TRACE, 16), int(SPAN, 16), 1, b"")


@pytest.mark.parametrize(
    "parent",
    [
        b"",
        b"00",
        GOOD[:-1],
        GOOD + b"0",
        GOOD + b"-",
        GOOD + b"-more",
        GOOD + b"\n",
        b" " + GOOD,
        GOOD.upper(),
        GOOD.replace(b"-", b"_"),
        b"ff" + GOOD[2:],
        b"0g" + GOOD[2:],
        b"cc" + GOOD[2:] + b"0",
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE[:-1]}-{SPAN}-01".encode(),
        f"00-{TRACE}-{SPAN}-1".encode(),
        b"\xff" * 55,
    ],
)
def test_other_forms_are_not_read(parent: bytes) -> None:
    assert read(parent) is None


def test_two_are_none() -> None:
    assert read_parent([(b"traceparent", GOOD), (b"traceparent", GOOD)]) is None
    assert read_parent([(b"tracestate", b"a=b")]) is None


@pytest.mark.parametrize(
    ("states", "read_as"),
    [
        ([b"a=b"], b"a=b"),
        ([b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"], b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        ([b"a=b", b"c=d"], b"a=b,c=d"),
        ([b"a=b , , 1t@v=x y"], b"a=b , , 1t@v=x y"),
        ([b"a*/-_=!"], b"a*/-_=!"),
        ([b"A=b"], b""),
        ([b"a"], b""),
        ([b"a=\xe9"], b""),
        ([b"a=b\r\nx: y"], b""),
        ([b"a=b=c"], b""),
        ([b"a=" + b"b" * 257], b""),
        ([b",".join(b"k%d=v" % at for at in range(33))], b""),
        ([b",".join(b"k%d=%s" % (at, b"v" * 60) for at in range(9))], b""),
        ([b"a=" + b" " * 500], b""),
    ],
)
def test_tracestate_is_passed_on_in_the_required_form_only(
    states: list[bytes], read_as: bytes
) -> None:
    assert read(GOOD, *states) == (int(TRACE, 16), int(SPAN, 16), 1, read_as)


def test_what_is_spelt_is_read_by_opentelemetry() -> None:
    spelt = spelt_parent(int(TRACE, 16), int(SPAN, 16), 3)
    context = TraceContextTextMapPropagator().extract({"traceparent": spelt.decode()})
    found = trace.get_current_span(context).get_span_context()
    assert (found.trace_id, found.span_id, found.trace_flags) == (int(TRACE, 16), int(SPAN, 16), 3)
    assert read(spelt) == (int(TRACE, 16), int(SPAN, 16), 3, b"")
