"""How secrets are checked: passwords against their hashes, tokens against their signatures."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from fitness.domain.model.logins import Device
from fitness.domain.model.users import Caller, EmailAddress

ACCESS_TOKEN_TTL_S = 15 * 60
RESET_TOKEN_TTL = timedelta(hours=24)

DEVICE_TOKEN_TTL_S = 365 * 24 * 60 * 60
"""The lifetime of a device token since the last login with it; each login renews the token."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    token: str
    expires_in_s: int


class PasswordHasherPort(Protocol):
    """One-way hashes that are slow on purpose and never hold up the event loop.

    `hash` and `verify` raise Overloaded when too many calls wait already. Calls for people who are `known` to belong to
    the account, by device, session or token, have places of their own beyond that: strangers cannot keep them out.
    """

    async def hash(self, password: str, *, known: bool = False) -> str:
        """A salted hash: never the same twice."""

    async def verify(self, password: str, password_hash: str | None, *, known: bool = False) -> bool:
        """Whether the hash is this password's. With None instead of a hash it takes just as long, and is False."""

    def outdated(self, password_hash: str) -> bool:
        """Whether `hash` would make a stronger hash today."""


class AccessTokenPort(Protocol):
    """Short-lived proof of who is calling."""

    def issue(self, caller: Caller) -> AccessToken:
        """A token for `caller`, valid from now on for ACCESS_TOKEN_TTL_S."""

    def verify(self, token: str) -> Caller:
        """The caller that the token was issued to, with the token's expiry as `until`.

        Raises NotAuthenticated for a token that was not issued here, or has expired.
        """


class ExportTokenPort(Protocol):
    """The token in the link to an export."""

    def issue(self, export_id: int) -> str:
        """The export's token, which is always the same."""

    def export_of(self, token: str) -> int | None:
        """The id of the export that the token was issued for; None if it was not issued here."""


class ResetTokenPort(Protocol):
    """Proof that its holder may set another password, once: a token is bound to the hash of the present password."""

    def issue(self, user_id: int, password_hash: str, *, until: datetime) -> str:
        """A token that is valid until that time, or until the password is changed."""

    def user_of(self, token: str) -> int | None:
        """The id of the account that the token names; None if it names none. The token is not verified yet."""

    def verify(self, token: str, password_hash: str, *, at: datetime) -> bool:
        """Whether the token was issued here, for this hash, and is still valid."""


class DeviceTokenPort(Protocol):
    """Long-lived proof that a device has logged in to an account before. It gives access to nothing."""

    def issue(self, account: EmailAddress, device_id: str) -> str:
        """A token that is valid from now on for DEVICE_TOKEN_TTL_S."""

    def verify(self, token: str) -> Device | None:
        """The device that the token was issued to. None for a token that was not issued here, or has expired."""

    def belongs(self, device: Device, account: EmailAddress) -> bool:
        """Whether the verified device's token was issued for this account."""
