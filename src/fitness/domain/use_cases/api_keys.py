"""API keys: made and revoked by their owner, and verified with each request."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fitness.domain.model.api_keys import ApiKey, ApiScope, checked_key, key_digest, new_key
from fitness.domain.model.refusals import KeyNotFound, NotAuthenticated, TooManyKeys
from fitness.domain.model.users import Caller
from fitness.ports.api_keys import ApiKeyPort
from fitness.ports.clock import ClockPort

MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class ApiKeyService:
    """A key is looked up in the database with each request: a revoked key is refused from the next request on."""

    keys: ApiKeyPort
    clock: ClockPort
    _known: "OrderedDict[bytes, None]" = field(default_factory=OrderedDict)

    async def create(
        self, name: str, scopes: Sequence[ApiScope], expires_at: datetime | None, *, by: Caller
    ) -> tuple[ApiKey, str]:
        """The key as it is kept, and the key itself, which nobody can look up later.

        Raises InvalidFields, TooManyKeys.
        """
        now, key = self.clock.now(), new_key()
        name, expires_at = checked_key(name, scopes, expires_at, now=now)
        kept = await self.keys.add(
            by.id, name, sorted({*scopes}), digest=key_digest(key), at=now, expires_at=expires_at
        )
        if kept is None:
            raise TooManyKeys
        return kept, key

    async def list(self, *, by: Caller) -> Sequence[ApiKey]:
        """The caller's keys, the latest first."""
        return await self.keys.list(by.id, at=self.clock.now())

    async def revoke(self, key_id: int, *, by: Caller) -> None:
        """Raises KeyNotFound."""
        if not await self.keys.revoke(key_id, owner=by.id):
            raise KeyNotFound(key_id)

    def is_known(self, key: str) -> bool:
        """Whether this process has verified the key before. The key may have been revoked since."""
        return key_digest(key) in self._known

    async def verify(self, key: str) -> ApiKey:
        """Raises NotAuthenticated."""
        digest = key_digest(key)
        kept = await self.keys.of(digest, at=self.clock.now())
        if kept is None:
            self._known.pop(digest, None)
            raise NotAuthenticated("the API key is invalid, has expired, or was revoked")
        self._known[digest] = None
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return kept
