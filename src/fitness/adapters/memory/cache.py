"""The cache in a dictionary."""

import random
import secrets
import time
from collections.abc import Callable
from typing import Any

from fitness.ports.cache import CLAIM_TTL_S, CacheKey, Hit, Miss, Scope, T


class InMemoryCache:
    """For one process: what another one changes is not noticed here."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._generations: dict[Scope, bytes] = {}
        self._copies: dict[str, tuple[bytes, float, Any]] = {}
        self._claims: dict[tuple[str, bytes], float] = {}

    async def read(self, key: CacheKey[T]) -> Hit[T] | Miss:
        generation = self._generations.setdefault(key.scope, secrets.token_bytes(12))
        made_under, expires_s, value = self._copies.get(key.name, (b"", 0.0, None))
        if made_under == generation and self._monotonic_s() < expires_s:
            return Hit(value)
        return Miss(generation)

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        ttl_s = key.ttl_s * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, guards nothing
        self._copies[key.name] = (miss.generation, self._monotonic_s() + ttl_s, value)
        self._claims.pop((key.name, miss.generation), None)

    async def invalidate(self, *scopes: Scope) -> None:
        for scope in scopes:
            self._generations[scope] = secrets.token_bytes(12)

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        name, now_s = (key.name, miss.generation), self._monotonic_s()
        if self._claims.get(name, now_s) > now_s:
            return False
        self._claims[name] = now_s + CLAIM_TTL_S
        return True

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        self._claims.pop((key.name, miss.generation), None)

    async def run_id(self) -> str:
        return str(id(self))
