"""Secrets checked: passwords against their hashes, access tokens against their signatures."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from fitness.domain.model.logins import Device
from fitness.domain.model.users import Caller, EmailAddress

ACCESS_TOKEN_TTL_S = 15 * 60
RESET_TOKEN_TTL = timedelta(hours=24)

DEVICE_TOKEN_TTL_S = 365 * 24 * 60 * 60
"""Since the last login with it, which renews it."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    token: str
    expires_in_s: int


class PasswordHasherPort(Protocol):
    """One-way hashes that are slow on purpose and never hold up the event loop.

    `hash` and `verify` raise Overloaded where too many wait already. Of those who are `known` to belong to the account,
    by their device, session or token, so many more may wait that strangers cannot keep them out.
    """

    async def hash(self, password: str, *, known: bool = False) -> str:
        """Salted: never the same twice."""

    async def verify(self, password: str, password_hash: str | None, *, known: bool = False) -> bool:
        """Whether they belong together. Against None it takes just as long and is False."""

    def outdated(self, password_hash: str) -> bool:
        """Whether `hash` would make a stronger one today."""


class AccessTokenPort(Protocol):
    """Short-lived proof of who is calling."""

    def issue(self, caller: Caller) -> AccessToken:
        """A token for `caller` from now on, for ACCESS_TOKEN_TTL_S."""

    def verify(self, token: str) -> Caller:
        """Whom it was issued to, with its expiry as `until`.

        Raises NotAuthenticated for any token that was not issued, or not lately.
        """


class ExportTokenPort(Protocol):
    """What stands in the link to an export."""

    def issue(self, export_id: int) -> str:
        """Always the same."""

    def export_of(self, token: str) -> int | None:
        """The export that it was issued for; None where it was not issued here."""


class ResetTokenPort(Protocol):
    """Proof that whoever has it may set another password: once, since it is bound to the hash of the present one."""

    def issue(self, user_id: int, password_hash: str, *, until: datetime) -> str:
        """A token that is good until then, or until the password is another one."""

    def user_of(self, token: str) -> int | None:
        """For whose account it would be. That it is good is still to be verified."""

    def verify(self, token: str, password_hash: str, *, at: datetime) -> bool:
        """Whether it was issued here, for this hash, and is still good."""


class DeviceTokenPort(Protocol):
    """Long-lived proof that a device has logged in to an account before. It opens nothing."""

    def issue(self, account: EmailAddress, device_id: str) -> str:
        """A token from now on, for DEVICE_TOKEN_TTL_S."""

    def verify(self, token: str) -> Device | None:
        """The device that it was issued to. None for any token that was not issued, or not lately."""

    def belongs(self, device: Device, account: EmailAddress) -> bool:
        """Whether the verified device's token was issued for this account."""
