"""API keys in a dictionary."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from fitness.adapters.memory.store import InMemoryStore
from fitness.domain.model.api_keys import MOST_KEYS, USE_NOTED_EVERY, ApiKey, ApiScope


class InMemoryApiKeys:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

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
        self._forget_dead(user_id, at)
        if user_id not in self._store.users or len(await self.list(user_id, at=at)) >= MOST_KEYS:
            return None
        key = ApiKey(
            id=next(self._store.ids),
            user_id=user_id,
            name=name,
            scopes=tuple(scopes),
            created_at=at,
            expires_at=expires_at,
            last_used_at=None,
        )
        self._store.api_keys[digest] = key
        return key

    async def of(self, digest: bytes, *, at: datetime) -> ApiKey | None:
        key = self._store.api_keys.get(digest)
        if key is None or (key.expires_at is not None and at >= key.expires_at):
            return None
        if key.last_used_at is None or at - key.last_used_at >= USE_NOTED_EVERY:
            key = self._store.api_keys[digest] = replace(key, last_used_at=at)
        return key

    async def revoke(self, key_id: int, *, owner: int) -> bool:
        for digest, key in self._store.api_keys.items():
            if key.id == key_id and key.user_id == owner:
                del self._store.api_keys[digest]
                return True
        return False

    async def list(self, owner: int, *, at: datetime) -> Sequence[ApiKey]:
        living = [key for key in self._store.api_keys.values() if key.user_id == owner and self._lives(key, at)]
        return sorted(living, key=lambda key: (key.created_at, key.id), reverse=True)

    def _forget_dead(self, owner: int, at: datetime) -> None:
        kept = self._store.api_keys
        for digest in [digest for digest, key in kept.items() if key.user_id == owner and not self._lives(key, at)]:
            del kept[digest]

    def _lives(self, key: ApiKey, at: datetime) -> bool:
        ended = self._store.sessions_ended.get(key.user_id)
        before = None if ended is None else ended.before
        return (key.expires_at is None or at < key.expires_at) and (before is None or key.created_at >= before)
