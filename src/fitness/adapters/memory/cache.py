"""The cache in a dictionary."""

import random
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from fitness.ports.cache import CLAIM_TTL_S, CacheKey, Hit, Miss, Scope, T

MOST_KEPT = 10_000
"""Copies, generations and claims, of each. The oldest go first: without its generation a copy is dead, never wrong."""


class InMemoryCache:
    """For one process: what another one changes is not noticed here."""

    poisoned = 0

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._generations: OrderedDict[Scope, bytes] = OrderedDict()
        self._copies: OrderedDict[str, tuple[bytes, float, Any]] = OrderedDict()
        self._claims: OrderedDict[tuple[str, bytes], float] = OrderedDict()
        self._evicted = 0

    async def read(self, key: CacheKey[T]) -> Hit[T] | Miss:
        generation = self._generations.get(key.scope) or self._renewed(key.scope)
        made_under, expires_s, value = self._copies.get(key.name, (b"", 0.0, None))
        if made_under == generation and self._monotonic_s() < expires_s:
            return Hit(value)
        return Miss(generation)

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        ttl_s = key.ttl_s * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, guards nothing
        self._copies[key.name] = (miss.generation, self._monotonic_s() + ttl_s, value)
        self._copies.move_to_end(key.name)
        self._evicted += _shortened(self._copies)
        self._claims.pop((key.name, miss.generation), None)

    async def invalidate(self, *scopes: Scope) -> None:
        for scope in scopes:
            self._renewed(scope)

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        name, now_s = (key.name, miss.generation), self._monotonic_s()
        if self._claims.get(name, now_s) > now_s:
            return False
        self._claims[name] = now_s + CLAIM_TTL_S
        self._claims.move_to_end(name)
        _shortened(self._claims)
        return True

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        self._claims.pop((key.name, miss.generation), None)

    async def run_id(self) -> str:
        return str(id(self))

    async def sizes(self) -> Mapping[str, int]:
        """`keys` and `evicted` copies; nobody knows how many `bytes` they take."""
        return {"keys": len(self._copies), "evicted": self._evicted}

    async def check(self) -> None:
        return

    def _renewed(self, scope: Scope) -> bytes:
        generation = self._generations[scope] = secrets.token_bytes(12)
        self._generations.move_to_end(scope)
        _shortened(self._generations)
        return generation


def _shortened(entries: OrderedDict[Any, Any]) -> int:
    """How many of the oldest had to go."""
    excess = max(0, len(entries) - MOST_KEPT)
    for _ in range(excess):
        entries.popitem(last=False)
    return excess
