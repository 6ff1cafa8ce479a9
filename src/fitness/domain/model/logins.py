"""Logging in: from where it is tried, and how long failures make those wait who are not known."""

import ipaddress
from dataclasses import dataclass
from datetime import timedelta

FAILURES_BORNE = 5
FIRST_DELAY = timedelta(seconds=30)
LONGEST_DELAY = timedelta(minutes=15)

NETWORK_BITS = {4: 24, 6: 48}
"""What a customer or a site has: a login from there makes it known, failures from there delay it."""
NEIGHBOURHOOD_BITS = {4: 16, 6: 32}
"""What a provider has, and one stranger seldom has several of: a failure from there makes strangers of it repeated."""


@dataclass(frozen=True, slots=True)
class Device:
    """What a device token says: this device has logged in to that account before."""

    id: str
    account: str
    """The account's name under the key that signed the token."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A password that is to be checked, and that does not come from a known device."""

    account: str
    """The account's name, there or not."""
    known_network: str | None
    """The name of the network, if somebody has logged in from there lately."""
    repeated: bool
    """Somebody of the same neighbourhood has failed to log in to this account lately."""


def login_delay(failures: int) -> timedelta:
    """How long after so many failures in a row the next attempt is looked at: nothing, then 30 s and ever twice it."""
    beyond = failures - FAILURES_BORNE
    return timedelta() if beyond < 0 else min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(beyond, 20))


def networks_of(address: str) -> tuple[str, str]:
    """The network and the neighbourhood of an address or network; of what is neither, it stands for both itself."""
    try:
        inner = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return address, f"{address} around"
    network, neighbourhood = (
        str(inner.supernet(new_prefix=min(bits[inner.version], inner.prefixlen)))
        for bits in (NETWORK_BITS, NEIGHBOURHOOD_BITS)
    )
    return network, neighbourhood
