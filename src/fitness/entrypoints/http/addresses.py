"""Who is at the other end, as far as addresses can tell."""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

IPV6_HOUSEHOLD = 64
"""Bits of an IPv6 address that one household has to itself, and can change the rest of at will."""


LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Iterable[Network]) -> str:
    """Under which the client's requests are counted together: an IPv4 address, or an IPv6 network of a household."""
    address = client_ip(peer, forwarded_for, trusted)
    return "unknown" if address is None else _counted(address)


def client_ip(peer: str | None, forwarded_for: Sequence[str], trusted: Iterable[Network]) -> Address | None:
    """The client's, None where there is none.

    That of the TCP peer, unless it is one of the `trusted` proxies: then the right-most hop of X-Forwarded-For that is
    not. What a hop says of those before it counts only if the hop is trusted, and nonsense is where the trust ends.
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
    """Also with a port, and with or without brackets."""
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
