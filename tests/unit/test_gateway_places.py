"""Places for connections: whose they are, and how many fit."""

from __future__ import annotations

import resource
import subprocess
import sys
from ipaddress import ip_network

import pytest

from sage_native.config import load_settings
from sage_native.exceptions import ConfigurationError
from sage_native.gateway.places import MIN_PER_ADDRESS, Places
from sage_native.gateway.worker import RESERVED_FILES, fitting_connections


def test_there_are_so_many_places_and_no_more() -> None:
    places = Places(2)
    assert places.take("192.0.2.1") is not None
    second = places.take("192.0.2.2")
    assert places.take("192.0.2.3") is None
    assert places.take(None) is None
    assert second is not None
    places.leave(second)
    assert places.take(None) == ""
    assert places.taken == 2


@pytest.mark.parametrize(
    ("count", "part"), [(1000, 250), (4 * MIN_PER_ADDRESS + 8, MIN_PER_ADDRESS + 2), (100, 64)]
)
def test_an_address_has_a_quarter_but_not_too_few(count: int, part: int) -> None:
    places = Places(count)
    held = [places.take("192.0.2.1") for _ in range(part)]
    assert None not in held
    assert places.take("192.0.2.1") is None
    assert places.take("192.0.2.2") is not None
    places.leave(str(held[0]))
    assert places.take("192.0.2.1") is not None


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_whose_connections_count_together(one: str, other: str, *, is_same: bool) -> None:
    places = Places(1000)
    for _ in range(250):
        assert places.take(one) is not None
    assert (places.take(other) is None) is is_same


def test_proxies_count_in_all_alone() -> None:
    places = Places(300, trusted=[ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")])
    for host in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"):
        for _ in range(90):
            assert places.take(host) == ""
    assert places.take("192.0.2.1") == "192.0.2.1"
    assert places.taken == 271


def test_what_nobody_holds_is_forgotten() -> None:
    places = Places(10)
    for number in range(100):
        holder = places.take(f"192.0.2.{number}")
        assert holder is not None
        places.leave(holder)
    assert places.taken == 0
    assert not places._of_address


def test_connections_that_fit_are_all_taken(caplog: pytest.LogCaptureFixture) -> None:
    settings = load_settings("dev", environ={}, overrides={"limits.max_connections": 500})
    reserved = RESERVED_FILES + settings.behind.max_connections
    assert fitting_connections(settings, 500 + reserved) == 500
    assert not caplog.messages
    assert fitting_connections(settings, 499 + reserved) == 499
    (warning,) = caplog.messages
    assert "limits.max_connections is 500" in warning
    assert f"{500 + reserved:,}" in warning
    with pytest.raises(ConfigurationError, match=f"may open {reserved} files"):
        fitting_connections(settings, reserved)


def test_a_process_may_open_what_its_hard_limit_allows() -> None:
    program = (
        "import resource; from sage_native.gateway.worker import raise_open_files; "
        "print(raise_open_files(), resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 900)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "900 (900, 900)\n"
