"""Where sessions are kept, and the refresh tokens that continue them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from fitness.domain.model.sessions import RefreshClaim, Session


class Outcome(StrEnum):
    ROTATED = "rotated"
    REPEATED = "repeated"
    """The token was used a moment ago; its successor is the same as then."""
    REUSED = "reused"
    """The token was replaced longer ago: it was stolen, or its successor was."""


@dataclass(frozen=True, slots=True)
class Rotation:
    outcome: Outcome
    number: int
    """The number of the refresh token that is valid now; 0 if the token was reused."""


class SessionStorePort(Protocol):
    """Living sessions, each with the number of the refresh token that is valid now. No token is kept.

    Every method raises SessionsUnavailable when the store does not answer, and Overloaded when this process asks more
    than the store can answer. A crash of the store may lose what it did in its last second: a session that began then,
    or a rotation.
    """

    async def begin(self, session: Session) -> None:
        """Add a session, whose first refresh token has the number 1. If the account then has more than MOST_SESSIONS,
        the least recently used session ends.
        """

    async def rotate(self, claim: RefreshClaim, *, at: datetime, network: str) -> Rotation | None:
        """Use a refresh token that was issued for the session, in one step. None if there is no such session.

        The token that is valid now is replaced by the next one. So is a token with a higher number: it was issued, and
        the store lost that. The previous token changes nothing within REPEAT_WITHIN of its use. An older token is
        REUSED, and so is every token of the session from then on.
        """

    async def list(self, user_id: int, *, at: datetime) -> Sequence[Session]:
        """The account's living sessions, the last used first."""

    async def end(self, user_id: int, session_id: str) -> None:
        """Forget the session, if it is there."""

    async def end_all(self, user_id: int, *, spared: str | None = None) -> None:
        """Forget every session of the account but the `spared` one."""


class RefreshTokenPort(Protocol):
    """Opaque proof that a session is the client's. No store is asked, so a made-up token costs nothing."""

    def issue(self, claim: RefreshClaim) -> str:
        """The very same token for the same claim, as long as the same key signs."""

    def verify(self, token: str) -> RefreshClaim | None:
        """The claim that the token was issued for; None for a token that was not issued here."""
