"""Where sessions are kept, and the tokens that carry them on."""

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
    """Of the refresh token that is good now; 0 where the token was reused."""


class SessionStorePort(Protocol):
    """Living sessions, each with the number of the refresh token that is good now. No token is kept.

    Every method raises SessionsUnavailable when the store does not answer, and Overloaded when this process asks more
    than the store answers. A crash of the store may lose what it did in its last second: a session that began then, or
    a rotation.
    """

    async def begin(self, session: Session) -> None:
        """Its first refresh token has the number 1. Of more than MOST_SESSIONS the least recently used one ends."""

    async def rotate(self, claim: RefreshClaim, *, at: datetime, network: str) -> Rotation | None:
        """Use a refresh token that was issued for the session, in one step. None where there is no such session.

        The token that is good now is replaced by the next one. So is one with a higher number: it was issued, and the
        store lost that. The one before, within REPEAT_WITHIN of its use, changes nothing. An older one is REUSED, and
        so is every token of the session from then on.
        """

    async def list(self, user_id: int, *, at: datetime) -> Sequence[Session]:
        """The account's living sessions, the last used first."""

    async def end(self, user_id: int, session_id: str) -> None:
        """Forget the session, if it is there."""

    async def end_all(self, user_id: int, *, spared: str | None = None) -> None:
        """Forget every session of the account but the `spared` one."""


class RefreshTokenPort(Protocol):
    """Opaque proof that a session is the client's. No store is asked, so a token that was made up costs nothing."""

    def issue(self, claim: RefreshClaim) -> str:
        """The very same token for the same claim, as long as the same key signs."""

    def verify(self, token: str) -> RefreshClaim | None:
        """What it was issued for; None for any token that was not issued here."""
