"""The address of the client, behind proxies as well."""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

IPV6_HOUSEHOLD = 64
"""Bits of the IPv6 network that a household is given; its devices choose the other bits themselves."""


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Iterable[Network]) -> str:
    """The name that the client's requests are counted under: its IPv4 address, or its household's IPv6 network."""
    address = client_ip(peer, forwarded_for, trusted)
    return "unknown" if address is None else _counted(address)


def connection_group(peer: str, *, exempt: Iterable[Network]) -> str | None:
    """The name that a peer's connections are counted under; None for a peer in one of the `exempt` networks."""
    address = _address(peer)
    if address is None or any(address in network for network in exempt):
        return None
    return _counted(address)


def client_ip(peer: str | None, forwarded_for: Sequence[str], trusted: Iterable[Network]) -> Address | None:
    """The client's address. None if the peer has none.

    It is the TCP peer's, unless that is one of the `trusted` proxies. Then walk X-Forwarded-For from the right; stop at
    the first hop that is untrusted or not an address.
    """
    address = _address(peer or "")
    if address is None:
        return None
    networks = tuple(trusted)
    hops = [hop for line in forwarded_for for hop in line.split(",")] if networks else []
    while hops and any(address in network for network in networks):
        before = _address(hops.pop().strip())
        if before is None:
            break
        address = before
    return address


@lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    """Reads an address with or without a port and brackets; an IPv4 one also in its IPv6 form."""
    bare = text.partition("]")[0].removeprefix("[") if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _counted(address: Address) -> str:
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, IPV6_HOUSEHOLD), strict=False))
