"""The cache in a dictionary."""

import random
import secrets
import time
from collections.abc import Callable
from typing import Any

from fitness.ports.cache import CLAIM_TTL_S, CacheKey, Era, Hit, Miss, Scope, T
from fitness.ports.outages import CacheUnavailable


class InMemoryCache:
    """For one process: another process's changes are not noticed here."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._run_id = secrets.token_hex(6)
        self._generations: dict[tuple[str, Scope], bytes] = {}
        self._copies: dict[tuple[str, str], tuple[bytes, float, Any]] = {}
        self._claims: dict[tuple[str, bytes], float] = {}

    async def read(self, key: CacheKey[T], era: Era) -> Hit[T] | Miss:
        self._refuse_other(era)
        generation = self._generations.setdefault((era.name, key.scope), secrets.token_bytes(12))
        made_under, expires_s, value = self._copies.get((era.name, key.name), (b"", 0.0, None))
        if made_under == generation and self._monotonic_s() < expires_s:
            return Hit(value)
        return Miss(generation, era)

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        self._refuse_other(miss.era)
        ttl_s = key.ttl_s * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, guards nothing
        self._copies[miss.era.name, key.name] = (miss.generation, self._monotonic_s() + ttl_s, value)
        self._claims.pop((key.name, miss.generation), None)

    async def invalidate(self, era: Era, *scopes: Scope) -> None:
        self._refuse_other(era)
        for scope in scopes:
            self._generations[era.name, scope] = secrets.token_bytes(12)

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        name, now_s = (key.name, miss.generation), self._monotonic_s()
        if self._claims.get(name, now_s) > now_s:
            return False
        self._claims[name] = now_s + CLAIM_TTL_S
        return True

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        self._claims.pop((key.name, miss.generation), None)

    async def run_id(self) -> str:
        return self._run_id

    async def reconnect(self) -> None:
        return

    def _refuse_other(self, era: Era) -> None:
        if era.run_id != self._run_id:
            raise CacheUnavailable("the era is another server's")
