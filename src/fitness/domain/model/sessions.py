"""Sessions: a login begins a session, refresh tokens continue it, and a revocation or time ends it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from fitness.domain.model.users import Caller

IDLE_FOR = timedelta(days=30)
"""A session ends this long after its last use."""

LONGEST = timedelta(days=90)
"""A session ends this long after its login, however often it is used."""

REPEAT_WITHIN = timedelta(seconds=60)
"""How long the previous refresh token gets the same successor again: a reply was lost, or two tabs asked."""

MOST_SESSIONS = 50
"""The most sessions of one account. A further login ends the session that was not used for the longest time."""

MAX_DEVICE_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login, on one device."""

    id: str
    user_id: int
    logged_in_at: datetime
    last_used_at: datetime
    """The last use of its refresh token."""
    device: str | None
    """The client's name for itself (User-Agent)."""
    network: str
    """The network from which it was last used."""

    @property
    def caller(self) -> Caller:
        return Caller(self.user_id, self.id, microseconds(self.logged_in_at))

    def over(self, at: datetime) -> bool:
        """Whether it has ended by itself."""
        return at - self.last_used_at >= IDLE_FOR or at - self.logged_in_at >= LONGEST


@dataclass(frozen=True, slots=True)
class RefreshClaim:
    """What a refresh token says."""

    caller: Caller
    number: int
    """The number of the token in its session, from 1 on."""


def device_name(user_agent: str | None) -> str | None:
    """The header's visible ASCII; None if nothing is left of it."""
    visible = "".join(letter for letter in user_agent or "" if " " <= letter <= "~")
    return visible.strip()[:MAX_DEVICE_LENGTH] or None


def microseconds(at: datetime) -> int:
    """Microseconds since 1970, as access tokens and standings give times."""
    return round(at.timestamp() * 1_000_000)
