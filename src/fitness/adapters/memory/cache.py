"""The cache in a dictionary."""

import random
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from fitness.ports.cache import CLAIM_TTL_S, CacheKey, Era, Hit, Miss, Peeked, Scope, T
from fitness.ports.outages import CacheUnavailable
from fitness.ports.reply import Reply

MOST_KEPT = 10_000


class InMemoryCache:
    """For one process: changes by other processes go unnoticed. Keeps MOST_KEPT copies, and drops the oldest first."""

    poisoned = 0  # nothing is decoded here

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._run_id = secrets.token_hex(6)
        self._generations: OrderedDict[tuple[str, Scope], bytes] = OrderedDict()
        self._copies: OrderedDict[tuple[str, str], tuple[bytes, float, Any]] = OrderedDict()
        self._claims: OrderedDict[tuple[str, bytes], float] = OrderedDict()
        self._evicted = 0

    async def read(self, key: CacheKey[T], era: Era) -> Hit[T] | Miss:
        self._refuse_other(era)
        if (era.name, key.scope) not in self._generations:
            self._renewed(key.scope, era)
        found = self._found(key, era)
        assert found is not None
        return found

    async def peek(self, era: Era, *keys: CacheKey[Any]) -> Sequence[Peeked]:
        return self._peeked(era, keys)

    def peek_soon(self, era: Era, *keys: CacheKey[Any]) -> Reply[Sequence[Peeked]] | None:
        try:
            return Reply.of(self._peeked(era, keys))
        except CacheUnavailable:
            return None

    def _peeked(self, era: Era, keys: Sequence[CacheKey[Any]]) -> Sequence[Peeked]:
        self._refuse_other(era)
        found = [self._found(key, era) for key in keys]
        return [msgspec.json.encode(one.value) if isinstance(one, Hit) else one for one in found]

    async def begin(self, key: CacheKey[Any], era: Era) -> Miss | None:
        self._refuse_other(era)
        return None if (era.name, key.scope) in self._generations else Miss(self._renewed(key.scope, era), era)

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        self._refuse_other(miss.era)
        ttl_s = key.ttl_s * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, guards nothing
        name = miss.era.name, key.name
        self._copies[name] = (miss.generation, self._monotonic_s() + ttl_s, value)
        self._copies.move_to_end(name)
        self._evicted += _shortened(self._copies)
        self._claims.pop((key.name, miss.generation), None)

    async def invalidate(self, era: Era, *scopes: Scope) -> None:
        self._refuse_other(era)
        for scope in scopes:
            self._renewed(scope, era)

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        name, now_s = (key.name, miss.generation), self._monotonic_s()
        if self._claims.get(name, now_s) > now_s:
            return False
        self._claims[name] = now_s + CLAIM_TTL_S
        _shortened(self._claims)
        return True

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        self._claims.pop((key.name, miss.generation), None)

    async def run_id(self) -> str:
        return self._run_id

    async def reconnect(self) -> None:
        return

    async def sizes(self) -> Mapping[str, int]:
        """`keys` and `evicted` copies; `bytes` are not known."""
        return {"keys": len(self._copies), "evicted": self._evicted}

    async def check(self) -> None:
        return

    def _found(self, key: CacheKey[T], era: Era) -> Hit[T] | Miss | None:
        generation = self._generations.get((era.name, key.scope))
        if generation is None:
            return None
        made_under, expires_s, value = self._copies.get((era.name, key.name), (b"", 0.0, None))
        if made_under == generation and self._monotonic_s() < expires_s:
            return Hit(value)
        return Miss(generation, era)

    def _renewed(self, scope: Scope, era: Era) -> bytes:
        name = era.name, scope
        generation = self._generations[name] = secrets.token_bytes(12)
        self._generations.move_to_end(name)
        _shortened(self._generations)
        return generation

    def _refuse_other(self, era: Era) -> None:
        if era.run_id != self._run_id:
            raise CacheUnavailable("the era is another server's")


def _shortened(entries: OrderedDict[Any, Any]) -> int:
    """Remove the oldest entries beyond MOST_KEPT; how many there were."""
    excess = max(0, len(entries) - MOST_KEPT)
    for _ in range(excess):
        entries.popitem(last=False)
    return excess
