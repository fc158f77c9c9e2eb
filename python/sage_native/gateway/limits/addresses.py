"""Whose request is it? The address of the client, seen through proxies that are trusted.

``X-Forwarded-For`` and ``Forwarded`` (RFC 7239) are lists. Each proxy appends whom it heard from,
so only the right end was written by somebody we know; everything further left may be the client's
invention. We walk from the right for as long as the address is one of our proxies. The first that
is not is the client. Where an entry cannot be read the walk ends, and the last address that could
be trusted stands: a mangled list moves a client into the bucket of its proxy, never into a fresh
one.

A proxy usually writes one of the two headers and passes the other as the client sent it. When both
are there and name different clients, neither is believed.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from ipaddress import IPv4Network

_Key = TypeVar("_Key")

_CACHE_LEN: Final = 4096  # entries in each cache; it is emptied when full
_CACHED_VALUE_LEN: Final = 256  # a longer list is read anew each time
_LIST_LEN: Final = 4096  # of a list, only this much from the right is looked at

_PORT: Final = re.compile(r":[0-9]{1,5}\Z")
_NAME: Final = r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)"
_VALUE: Final = r"""(?:"((?:[^"\\]|\\.)*)"|([^\s",;]+))"""
# White space is matched in one place alone: in two, a run of it could be divided in many ways.
_PAIR: Final = re.compile(rf"[ \t]*(?:{_NAME}={_VALUE}[ \t]*)?([;,]|\Z)")


class _Address(NamedTuple):
    full: str
    group: str
    trusted: bool


_NOBODY: Final = _Address("", "", trusted=False)


class ClientAddresses:
    """Finds the client's address in an ASGI scope.

    Args:
        trusted: Networks of the proxies whose headers are believed; none by default.

    Raises:
        UsageError: A network does not parse.
    """

    __slots__ = ("_forwarded", "_peers", "_trusted")

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network | str] = ()) -> None:
        try:
            self._trusted = tuple(ip_network(network) for network in trusted)
        except ValueError as error:
            raise UsageError(f"a trusted proxy is not a network: {error}") from None
        self._peers: dict[str, _Address] = {}
        self._forwarded: dict[tuple[str, bytes, bytes], _Address] = {}

    def of(self, scope: Mapping[str, Any]) -> str:
        """Name the client for a bucket: an IPv4 address, or the /64 network of an IPv6 address.

        Args:
            scope: An ASGI scope.

        Returns:
            ``"203.0.113.9"``, ``"2001:db8:1:2::/64"``; the empty string for a Unix socket.

        Cost: about 0.2 µs without a trusted proxy, 1 µs behind one.
        """
        client = scope.get("client")
        if client is None:
            return ""
        peer = self._peers.get(client[0]) or self._learn(client[0])
        return peer.group if not peer.trusted else self._behind(peer, scope["headers"]).group

    def full(self, scope: Mapping[str, Any]) -> str:
        """Name the client for a log: as ``of``, but the whole address also for IPv6."""
        client = scope.get("client")
        if client is None:
            return ""
        peer = self._peers.get(client[0]) or self._learn(client[0])
        return peer.full if not peer.trusted else self._behind(peer, scope["headers"]).full

    def is_proxy(self, scope: Mapping[str, Any]) -> bool:
        """Tell whether a scope comes from one of the trusted proxies, for whomever it asks."""
        client = scope.get("client")
        if client is None:
            return False
        return (self._peers.get(client[0]) or self._learn(client[0])).trusted

    def _learn(self, host: str) -> _Address:
        address = self._read(host) or _NOBODY
        _remember(self._peers, host, address)
        return address

    def _behind(self, proxy: _Address, headers: Iterable[tuple[bytes, bytes]]) -> _Address:
        plain = standard = b""
        for name, value in headers:  # a list may be spread over several lines
            if name == b"x-forwarded-for":
                plain = plain + b"," + value if plain else value
            elif name == b"forwarded":
                standard = standard + b"," + value if standard else value
        if not plain and not standard:
            return proxy
        key = (proxy.full, plain, standard)
        found = self._forwarded.get(key)
        if found is None:
            found = self._walk_both(proxy, plain, standard)
            if len(plain) + len(standard) <= _CACHED_VALUE_LEN:
                _remember(self._forwarded, key, found)
        return found

    def _walk_both(self, proxy: _Address, plain: bytes, standard: bytes) -> _Address:
        walked = [
            self._walk(proxy, hops)
            for value, hops in ((plain, _plain_hops(plain)), (standard, _standard_hops(standard)))
            if value
        ]
        return walked[0] if walked[0] == walked[-1] else proxy

    def _walk(self, proxy: _Address, hops: list[str]) -> _Address:
        last = proxy
        for hop in reversed(hops):
            address = self._read(hop)
            if address is None:
                return last
            last = address
            if not address.trusted:
                return last
        return last

    def _read(self, text: str) -> _Address | None:
        address = _parse(text)
        if address is None:
            return None
        trusted = any(address in network for network in self._trusted)
        if isinstance(address, IPv4Address):
            return _Address(str(address), str(address), trusted)
        group = str(IPv6Network((int(address) >> 64 << 64, 64)))
        return _Address(str(address), group, trusted)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address without port, brackets and zone; IPv4 inside IPv6 comes out as IPv4."""
    if text.startswith("["):
        text, _, port = text[1:].partition("]")
        if port and not _PORT.match(port):
            return None
    elif text.count(":") == 1:
        text = _PORT.sub("", text)
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _tail(value: bytes) -> str:
    """The right end of a list. What was cut off leaves an entry that nobody can read."""
    if len(value) <= _LIST_LEN:
        return value.decode("latin-1")
    _, _, rest = value[-_LIST_LEN:].decode("latin-1").partition(",")
    return f"-,{rest}"


def _plain_hops(value: bytes) -> list[str]:
    return [hop.strip(" \t") for hop in _tail(value).split(",")]


def _standard_hops(value: bytes) -> list[str]:
    """The ``for`` of each element of RFC 7239; an element without one gives an unreadable entry.

    A list that breaks the grammar anywhere gives none at all: with quotes that do not close nobody
    can say where the client's text ends and the proxy's begins.
    """
    if len(value) > _LIST_LEN:
        return []
    text = value.decode("latin-1")
    hops: list[str] = []
    hop: str | None = None
    names: set[str] = set()
    at = 0
    while at < len(text):
        found = _PAIR.match(text, at)
        if found is None:
            return []
        at = found.end()
        name, quoted, bare, end = found.groups()
        if name is not None:
            name = name.lower()
            if name in names:
                return []
            names.add(name)
            if name == "for":
                hop = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if end != ";":
            if names:
                hops.append("-" if hop is None else hop)
            hop = None
            names = set()
    return hops


def _remember(cache: dict[_Key, _Address], key: _Key, address: _Address) -> None:
    if len(cache) >= _CACHE_LEN:
        cache.clear()
    cache[key] = address
