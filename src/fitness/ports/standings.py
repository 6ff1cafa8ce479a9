"""The standing of accounts, and what ends their sessions before their time."""

from datetime import datetime, timedelta
from typing import Protocol

from fitness.domain.model.users import Caller, Standing
from fitness.ports.credentials import ACCESS_TOKEN_TTL_S
from fitness.ports.messages import Messages

REVOCATIONS_TOLD_FOR = timedelta(seconds=ACCESS_TOKEN_TTL_S) + timedelta(minutes=1)
"""So long a standing names a revoked session: its access tokens have expired then, on a clock that is behind, too."""


class StandingPort(Protocol):
    """Kept with the accounts, so that a revocation outlives the store of sessions.

    Every method is one transaction, and raises DatabaseUnavailable. Those that change something write the `messages`,
    and return whether there is such an account; otherwise they write nothing.
    """

    async def of(self, user_id: int, *, at: datetime) -> Standing:
        """NOBODY where there is no living account. Sessions revoked in the last REVOCATIONS_TOLD_FOR are named."""

    async def ended(self, caller: Caller) -> bool:
        """Whether the session may not be carried on: it was revoked, however long ago, or the account is gone."""

    async def revoke(self, user_id: int, session_id: str, *, at: datetime, messages: Messages) -> bool:
        """End one session. That is kept until the session would have ended by itself."""

    async def revoke_all(self, user_id: int, *, at: datetime, spared: str | None = None, messages: Messages) -> bool:
        """End every session whose login began before `at`, but the `spared` one."""
