"""Who is asking, seen through proxies: a table of headers, honest and not."""

from __future__ import annotations

from typing import Any

import pytest

from sage_native.exceptions import UsageError
from sage_native.gateway.limits import ClientAddresses, addresses

PROXIES = ("10.0.0.0/8", "2001:db8:ff::/48", "192.0.2.1")
PROXY = "10.0.0.1"


def scope(client: str | None, *headers: tuple[str, str]) -> dict[str, Any]:
    return {
        "type": "http",
        "client": None if client is None else (client, "4711"),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }


def seen(client: str | None, *headers: tuple[str, str]) -> str:
    """The same answer twice: once read, once remembered."""
    known = ClientAddresses(PROXIES)
    first = known.full(scope(client, *headers))
    assert known.full(scope(client, *headers)) == first
    return first


XFF = "x-forwarded-for"
FWD = "forwarded"


@pytest.mark.parametrize("name", [XFF, FWD])
@pytest.mark.parametrize("client", ["203.0.113.9", "2001:db8::1", "11.0.0.1", "::ffff:203.0.113.9"])
def test_a_stranger_is_not_believed(client: str, name: str) -> None:
    value = "198.51.100.1" if name == XFF else "for=198.51.100.1"
    assert seen(client, (name, value)) == client.removeprefix("::ffff:")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("  203.0.113.9\t", "203.0.113.9"),
        ("203.0.113.9:8080", "203.0.113.9"),
        ("2001:db8::9", "2001:db8::9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("[2001:db8::9]:443", "2001:db8::9"),
        ("2001:DB8:0:0::9", "2001:db8::9"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:1", "fe80::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("[::ffff:203.0.113.9]:1", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),  # the left end is the client's invention
        ("6.6.6.6, 203.0.113.9, 10.9.9.9, 192.0.2.1", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, ::ffff:10.9.9.9", "203.0.113.9"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),  # all are ours: the first that spoke
        ("", PROXY),
        (",", PROXY),
        ("unknown", PROXY),
        ("203.0.113.9, unknown", PROXY),
        ("203.0.113.9, unknown, 10.2.2.2", "10.2.2.2"),
        ("203.0.113.9,", PROXY),
        ("203.0.113.009", PROXY),
        ("203.0.113.9.", PROXY),
        ("203.0.113.9:", PROXY),
        ("203.0.113.9:port", PROXY),
        ("203.0.113.9:80:80", PROXY),
        ("[203.0.113.9", "203.0.113.9"),  # nothing is lost by reading it
        ("[2001:db8::9]443", PROXY),
        ("203.0.113.0/24", PROXY),
        ("3405803785", PROXY),  # the same address as one number
        ("2001:db8::9 6.6.6.6", PROXY),
        ("é", PROXY),
        ("203.0.113.9\x00", PROXY),
    ],
)
def test_x_forwarded_for(value: str, expected: str) -> None:
    assert seen(PROXY, (XFF, value)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=203.0.113.9", "203.0.113.9"),
        ("For=203.0.113.9;Proto=https;By=10.0.0.1", "203.0.113.9"),
        ("proto=https; for=203.0.113.9", "203.0.113.9"),
        ('for="203.0.113.9:80"', "203.0.113.9"),
        ("for=203.0.113.9:80", "203.0.113.9"),  # not the grammar, but what is sent
        ('for="[2001:db8::9]:4711"', "2001:db8::9"),
        ('for="[2001:db8::9]"', "2001:db8::9"),
        (r'for="203.0.11\3.9"', "203.0.113.9"),
        ("for=6.6.6.6, for=203.0.113.9", "203.0.113.9"),
        ("for=6.6.6.6,for=203.0.113.9 , for=10.3.3.3", "203.0.113.9"),
        ("for=203.0.113.9, , ", "203.0.113.9"),  # empty elements mean nothing
        ('host="a,for=6.6.6.6";for=203.0.113.9', "203.0.113.9"),
        ('for=203.0.113.9;host="a;for=6.6.6.6"', "203.0.113.9"),
        ("for=_hidden", PROXY),
        ("for=unknown", PROXY),
        ("for=203.0.113.9, for=unknown", PROXY),
        ("for=203.0.113.9, proto=https", PROXY),
        ("for=203.0.113.9;for=6.6.6.6", PROXY),
        ("203.0.113.9", PROXY),
        ("for", PROXY),
        ("for=", PROXY),
        ("for =203.0.113.9", PROXY),
        ('for="203.0.113.9', PROXY),
        # A quote that the client opened: whatever follows it cannot be told apart.
        ('for="x, for=203.0.113.9', PROXY),
        ('for=", for="[2001:db8::9]:1"', PROXY),
        (r'for="\, for=203.0.113.9;host="a"', PROXY),
        ('for=6.6.6.6;host=", for="[2001:db8::9]:1"', PROXY),
    ],
)
def test_forwarded(value: str, expected: str) -> None:
    assert seen(PROXY, (FWD, value)) == expected


def test_lines_are_joined_in_their_order() -> None:
    assert seen(PROXY, (XFF, "6.6.6.6"), ("accept", "x"), (XFF, "203.0.113.9")) == "203.0.113.9"
    assert seen(PROXY, (FWD, "for=6.6.6.6"), (FWD, "for=203.0.113.9")) == "203.0.113.9"
    assert seen(PROXY, (XFF, ""), (XFF, "203.0.113.9")) == "203.0.113.9"


def test_two_headers_that_disagree_are_both_ignored() -> None:
    assert seen(PROXY, (XFF, "203.0.113.9"), (FWD, "for=6.6.6.6")) == PROXY
    assert seen(PROXY, (XFF, "6.6.6.6"), (FWD, "for=203.0.113.9")) == PROXY
    assert seen(PROXY, (XFF, "203.0.113.9"), (FWD, "nonsense")) == PROXY
    assert seen(PROXY, (XFF, "1.1.1.1, 203.0.113.9"), (FWD, "for=203.0.113.9")) == "203.0.113.9"


@pytest.mark.parametrize("name", [XFF, FWD])
def test_a_list_without_end_is_read_from_the_right_only(name: str) -> None:
    prefix = "" if name == XFF else "for="
    ours = ", ".join([f"{prefix}10.4.4.4"] * 1000)
    assert seen(PROXY, (name, f"{prefix}203.0.113.9, {ours}")) in {PROXY, "10.4.4.4"}


def test_a_long_list_of_inventions_does_not_hide_the_client() -> None:
    inventions = ", ".join(["6.6.6.6"] * 10_000)
    assert seen(PROXY, (XFF, f"{inventions}, 203.0.113.9")) == "203.0.113.9"


def test_a_bucket_of_ipv6_is_a_network() -> None:
    known = ClientAddresses(PROXIES)
    assert known.of(scope("2001:db8:1:2:3:4:5:6")) == "2001:db8:1:2::/64"
    assert known.of(scope("2001:db8:1:2:ffff::")) == "2001:db8:1:2::/64"
    assert known.of(scope("2001:db8:1:3::")) == "2001:db8:1:3::/64"
    assert known.of(scope("203.0.113.9")) == "203.0.113.9"
    assert known.of(scope("::ffff:203.0.113.9")) == "203.0.113.9"
    assert known.of(scope(PROXY, (XFF, "2001:db8:1:2::1"))) == "2001:db8:1:2::/64"
    assert known.of(scope("2001:db8:ff::1", (XFF, "203.0.113.9"))) == "203.0.113.9"


def test_a_unix_socket_and_a_client_without_address() -> None:
    assert seen(None, (XFF, "203.0.113.9")) == ""
    assert seen("", (XFF, "203.0.113.9")) == ""
    assert seen("testclient", (XFF, "203.0.113.9")) == ""
    assert ClientAddresses().of({"type": "http", "headers": []}) == ""


def test_nobody_is_trusted_by_default() -> None:
    assert ClientAddresses().full(scope("127.0.0.1", (XFF, "6.6.6.6"))) == "127.0.0.1"


def test_what_is_remembered_is_bounded() -> None:
    known = ClientAddresses(PROXIES)
    for number in range(3 * addresses._CACHE_LEN):
        host = f"11.0.{number >> 8}.{number & 255}"
        assert known.full(scope(host)) == host
        assert known.full(scope(PROXY, (XFF, host))) == host
    assert len(known._peers) <= addresses._CACHE_LEN
    assert len(known._forwarded) <= addresses._CACHE_LEN


def test_long_values_are_not_remembered() -> None:
    known = ClientAddresses(PROXIES)
    known.full(scope(PROXY, (XFF, "x" * 300)))
    assert not known._forwarded


@pytest.mark.parametrize("network", ["10.0.0.1/8", "nowhere", "::/129"])
def test_a_network_that_is_none(network: str) -> None:
    with pytest.raises(UsageError, match="not a network"):
        ClientAddresses([network])


@pytest.mark.parametrize(
    ("client", "is_proxy"),
    [(PROXY, True), (f"::ffff:{PROXY}", True), ("203.0.113.9", False), ("unreadable", False)],
)
def test_a_proxy_is_known_by_its_own_address(client: str, *, is_proxy: bool) -> None:
    known = ClientAddresses(PROXIES)
    assert known.is_proxy(scope(client, (XFF, "203.0.113.9"))) is is_proxy
    assert not known.is_proxy(scope(None))
