"""The standing of accounts, and the revocation of their sessions."""

from datetime import datetime, timedelta
from typing import Protocol

from fitness.domain.model.users import Caller, Standing
from fitness.ports.credentials import ACCESS_TOKEN_TTL_S
from fitness.ports.messages import Messages

REVOCATIONS_TOLD_FOR = timedelta(seconds=ACCESS_TOKEN_TTL_S) + timedelta(minutes=1)
"""How long a standing names a revoked session: after it the session's access tokens have expired, even by a clock that
is behind."""


class StandingPort(Protocol):
    """Standings are kept with the accounts, so that a revocation outlives the store of sessions.

    Every method is one transaction, and raises DatabaseUnavailable. Methods that change something return whether there
    is such an account, and write the `messages` only if there is.
    """

    async def of(self, user_id: int, *, at: datetime) -> Standing:
        """The account's standing, which names sessions revoked in the last REVOCATIONS_TOLD_FOR; NOBODY if there is no
        living account.
        """

    async def ended(self, caller: Caller) -> bool:
        """Whether the session may not be continued: it was revoked, however long ago, or the account is gone."""

    async def revoke(self, user_id: int, session_id: str, *, at: datetime, messages: Messages) -> bool:
        """End one session. The revocation is kept until the session would have ended by itself."""

    async def revoke_all(self, user_id: int, *, at: datetime, spared: str | None = None, messages: Messages) -> bool:
        """End every session whose login began before `at`, but the `spared` one."""
