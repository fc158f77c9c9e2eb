"""What stands behind the question mark of a list."""

from __future__ import annotations

import pytest

from sage_native.gateway.problems import ProblemError
from sage_native.gateway.queries import PageQuery, page_of

GOOD = {
    b"": PageQuery(None, None, 100),
    b"limit=1": PageQuery(None, None, 1),
    b"limit=100": PageQuery(None, None, 100),
    b"limit=007": PageQuery(None, None, 7),
    b"after=x&limit=7": PageQuery(None, "x", 7),
    b"owner=a%20tenant": PageQuery("a tenant", None, 100),
    b"owner=a+tenant": PageQuery("a tenant", None, 100),
    b"owner=": PageQuery("", None, 100),
    b"owner=%C3%BC&after=&limit=50": PageQuery("ü", "", 50),
    b"%6f%77ner=x": PageQuery("x", None, 100),
}
BAD = (
    *(b"limit=0", b"limit=101", b"limit=-1", b"limit=+1", b"limit=%201", b"limit=1e1", b"limit="),
    *(b"limit=1000", b"limit=0001", b"limit=0x1", b"limit=1_0", b"limit=" + b"9" * 5_000),
    *("limit=٣".encode(), b"limit=%D9%A3", b"limit=1.0", b"limit=1%00"),
    *(b"limit=1&limit=1", b"owner=a&owner=b", b"after=a&%61fter=b"),
    *(b"Limit=1", b"client_did=x", b"limit[]=1", b"x=1", b"=", b"=1", b"&", b"limit", b"a=1&&b=2"),
    *(b"owner=%00", b"after=a%00b", b"owner=%FF", b"owner=%ED%A0%80", b"owner=\xff"),
    b"owner=a&after=b&limit=1&limit=2",
    b"&".join([b"owner=a"] * 10_000),
)


@pytest.mark.parametrize("text", GOOD)
def test_what_is_read(text: bytes) -> None:
    assert page_of({"query_string": text}, "owner") == GOOD[text]


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text[:30]))
def test_what_is_refused(text: bytes) -> None:
    with pytest.raises(ProblemError, match="malformed_request"):
        page_of({"query_string": text}, "owner")
