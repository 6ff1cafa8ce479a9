"""Secrets checked: passwords against their hashes, access tokens against their signatures."""

from dataclasses import dataclass
from typing import Protocol

from fitness.domain.model.logins import Device
from fitness.domain.model.users import Caller, EmailAddress

ACCESS_TOKEN_TTL_S = 15 * 60
DEVICE_TOKEN_TTL_S = 365 * 24 * 60 * 60
"""Since the last login with it, which renews it."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    token: str
    expires_in_s: int


class PasswordHasherPort(Protocol):
    """One-way hashes that are slow on purpose and never hold up the event loop."""

    async def hash(self, password: str) -> str:
        """Salted: never the same twice."""

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether they belong together. Against None it takes just as long and is False."""

    def outdated(self, password_hash: str) -> bool:
        """Whether `hash` would make a stronger one today."""


class AccessTokenPort(Protocol):
    """Short-lived proof of who is calling."""

    def issue(self, caller: Caller) -> AccessToken:
        """A token for `caller` from now on, for ACCESS_TOKEN_TTL_S."""

    def verify(self, token: str) -> Caller:
        """Whom it was issued to. Raises NotAuthenticated for any token that was not, or not lately."""


class DeviceTokenPort(Protocol):
    """Long-lived proof that a device has logged in to an account before. It opens nothing."""

    def issue(self, account: EmailAddress, device_id: str) -> str:
        """A token from now on, for DEVICE_TOKEN_TTL_S."""

    def verify(self, token: str) -> Device | None:
        """The device that it was issued to. None for any token that was not issued, or not lately."""

    def belongs(self, device: Device, account: EmailAddress) -> bool:
        """Whether the verified device's token was issued for this account."""
