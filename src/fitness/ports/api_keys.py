"""Where API keys are kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from fitness.domain.model.api_keys import ApiKey, ApiScope


class ApiKeyPort(Protocol):
    """Every method is one transaction, and raises DatabaseUnavailable."""

    async def add(
        self,
        user_id: int,
        name: str,
        scopes: Sequence[ApiScope],
        *,
        digest: bytes,
        at: datetime,
        expires_at: datetime | None,
    ) -> ApiKey | None:
        """Add a key to a living account; None if `list` returns MOST_KEYS already.

        Keys of the account that `list` does not return, because they have expired or were ended, are deleted.
        """

    async def of(self, digest: bytes, *, at: datetime) -> ApiKey | None:
        """The key with this digest, if it is kept and has not expired. The use of the key is noted."""

    async def revoke(self, key_id: int, *, owner: int) -> bool:
        """Forget one of the owner's keys."""

    async def list(self, owner: int, *, at: datetime) -> Sequence[ApiKey]:
        """The owner's keys, latest first, without those that have expired or were ended together with the sessions."""
