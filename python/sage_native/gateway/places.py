"""Places for connections: so many in all, and so many for one address.

Without the second number one machine could hold all places by opening connections and saying
nothing, for as long as the deadlines give each of them. Trusted proxies bring the connections of
many clients: theirs count in all alone.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Network, IPv6Network

__all__ = ["Places"]

MIN_PER_ADDRESS: Final = 64


class Places:
    """The places of one worker.

    Args:
        count: How many there are. An address may have a quarter of them, or 64 if that is more.
        trusted: Networks of the proxies.

    Attributes:
        taken: How many are in use.
    """

    def __init__(self, count: int, *, trusted: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._count = count
        self._per_address = max(MIN_PER_ADDRESS, count // 4)
        self._trusted = tuple(trusted)
        self._of_address: dict[str, int] = {}
        self.taken = 0

    def take(self, host: str | None) -> str | None:
        """Take a place for a connection from this address.

        Args:
            host: An IP address; None for a Unix socket.

        Returns:
            What is given to ``leave``; None if there is no place.
        """
        if self.taken >= self._count:
            return None
        holder = "" if host is None else self._holder(host)
        if holder:
            held = self._of_address.get(holder, 0)
            if held >= self._per_address:
                return None
            self._of_address[holder] = held + 1
        self.taken += 1
        return holder

    def leave(self, holder: str) -> None:
        """Give a place back."""
        self.taken -= 1
        if holder:
            held = self._of_address[holder] - 1
            if held:
                self._of_address[holder] = held
            else:
                del self._of_address[holder]

    def _holder(self, host: str) -> str:
        """Name who counts: an IPv4 address or the /64 of an IPv6 one; nobody for a proxy."""
        if not self._trusted and ":" not in host:
            return host
        address: IPv4Address | IPv6Address = ip_address(host.partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self._trusted):
            return ""
        if isinstance(address, IPv4Address):
            return str(address)
        return address.packed[:8].hex()
