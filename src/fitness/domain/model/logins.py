"""Logins: the networks that they come from, and how long failures delay those that are not known."""

import ipaddress
from dataclasses import dataclass
from datetime import timedelta

FAILURES_BORNE = 5
FIRST_DELAY = timedelta(seconds=30)
LONGEST_DELAY = timedelta(minutes=15)

NETWORK_BITS = {4: 24, 6: 48}
"""The prefix length of a network, as a customer or a site has it. A login makes a network known; failures delay it."""
NEIGHBOURHOOD_BITS = {4: 16, 6: 32}
"""The prefix length of a neighbourhood, as a provider has it; one stranger seldom has several. After a failure from a
neighbourhood, its strangers count as repeated."""


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
    """The account's name, whether or not the account exists."""
    known_network: str | None
    """The name of the network, if somebody has logged in from it lately; else None."""
    repeated: bool
    """Whether somebody from the same neighbourhood has failed to log in to this account lately."""


def login_delay(failures: int) -> timedelta:
    """How long the next attempt has to wait after so many failures in a row: at first not at all, then FIRST_DELAY, and
    twice as long after each further failure, up to LONGEST_DELAY.
    """
    beyond = failures - FAILURES_BORNE
    return timedelta() if beyond < 0 else min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(beyond, 20))


def networks_of(address: str) -> tuple[str, str]:
    """The network and the neighbourhood of an address or network; a text that is neither stands for both."""
    try:
        inner = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return address, f"{address} around"
    network, neighbourhood = (
        str(inner.supernet(new_prefix=min(bits[inner.version], inner.prefixlen)))
        for bits in (NETWORK_BITS, NEIGHBOURHOOD_BITS)
    )
    return network, neighbourhood
