"""Sessions: a login begins one, refresh tokens carry it on, and a revocation or time ends it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from fitness.domain.model.users import Caller

IDLE_FOR = timedelta(days=30)
"""A session ends this long after its last use."""

LONGEST = timedelta(days=90)
"""A session ends this long after its login, however often it is used."""

REPEAT_WITHIN = timedelta(seconds=60)
"""In which the previous refresh token is answered with the same successor: a reply was lost, or two tabs asked."""

MOST_SESSIONS = 50
"""Of one account. Beyond that, a login ends the one that was not used for the longest time."""

MAX_DEVICE_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login, on one device."""

    id: str
    user_id: int
    logged_in_at: datetime
    last_used_at: datetime
    """Of its refresh token."""
    device: str | None
    """What the client called itself (User-Agent)."""
    network: str
    """From which it was last used."""

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
    """Of the token in its session, from 1 on."""


def device_name(user_agent: str | None) -> str | None:
    """The header's visible ASCII; None where nothing is left of it."""
    visible = "".join(letter for letter in user_agent or "" if " " <= letter <= "~")
    return visible.strip()[:MAX_DEVICE_LENGTH] or None


def microseconds(at: datetime) -> int:
    """Since 1970, as access tokens and standings tell times."""
    return round(at.timestamp() * 1_000_000)
