"""Who makes a request, and under what name each policy counts the request."""

from dataclasses import dataclass

from fitness.domain.model.logins import Device, Guess
from fitness.domain.model.rate_limits import USER, Policy, Subject
from fitness.domain.model.users import Caller


@dataclass(frozen=True, slots=True)
class Requester:
    """Where a request comes from; `caller` is None if nobody is logged in."""

    address: str
    caller: Caller | None = None
    device: Device | None = None
    """At a login, the device, if it has logged in before: maybe to another account."""
    guess: Guess | None = None
    """At a login, the guess, once the account is known, unless the account is the device's own."""


def subject(policy: Policy, who: Requester) -> str | None:
    """The name under which the policy counts the request; None if the policy does not apply to it."""
    guess, device, address = who.guess, who.device, f"address:{who.address}"
    match policy.subject:
        case Subject.CALLER if who.caller is not None:
            return f"{USER}{who.caller.id}"
        case Subject.CALLER:
            return address if device is None else f"devices:{device.account}"
        case Subject.ADDRESS:
            return address if device is None else None
        case Subject.DEVICE:
            return None if device is None else f"device:{device.account}:{device.id}"
        case Subject.NETWORK if guess is not None and guess.known_network is not None:
            return f"network:{guess.account}:{guess.known_network}"
        case Subject.STRANGERS if guess is not None and guess.known_network is None:
            return f"account:{guess.account}"
        case Subject.REPEATED_STRANGERS if guess is not None and guess.known_network is None and guess.repeated:
            return f"account:{guess.account}"
    return None
