"""The cache in Redis: each copy carries the generation it was made under, and one MGET reads both."""

import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from fitness.ports.cache import CacheKey, Hit, Miss, Scope, T
from fitness.ports.outages import CacheUnavailable

SCHEMA = "v1"
"""Raised with every change to what is kept, so that versions side by side never read each other's copies."""

GENERATION_TTL_S = 24 * 60 * 60
GENERATION_BYTES = 12
MAX_COPY_BYTES = 256 * 1024

_encode = msgspec.msgpack.Encoder().encode


class RedisCache:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self, key: CacheKey[T]) -> Hit[T] | Miss:
        async with _answering():
            found: Any = await self._redis.mget(_generation_name(key.scope), _name(key))
            generation, copy = found
            if generation is None:
                return Miss(await self._new_generation(key.scope))
            if copy is None or not copy.startswith(generation):
                return Miss(generation)
            try:
                holds: Any = key.holds
                return Hit(_decoder(holds).decode(memoryview(copy)[GENERATION_BYTES:]))
            except (msgspec.DecodeError, ValueError):  # ValueError: a date that is none
                await self._redis.delete(_name(key))
                return Miss(generation)

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        copy = miss.generation + _encode(value)
        if len(copy) > MAX_COPY_BYTES:
            return
        ttl_ms = round(key.ttl_s * random.uniform(900, 1100))  # noqa: S311 - spreads load, guards nothing
        async with _answering():
            await self._redis.set(_name(key), copy, px=ttl_ms)

    async def invalidate(self, *scopes: Scope) -> None:
        async with _answering(), self._redis.pipeline(transaction=False) as commands:
            for scope in scopes:
                commands.set(_generation_name(scope), secrets.token_bytes(GENERATION_BYTES), ex=GENERATION_TTL_S)
            await commands.execute()

    async def check(self) -> None:
        """Returns when the server answers. Raises CacheUnavailable."""
        async with _answering():
            await self._redis.ping()

    async def _new_generation(self, scope: Scope) -> bytes:
        """The scope's generation, whoever made it first."""
        mine = secrets.token_bytes(GENERATION_BYTES)
        theirs: Any = await self._redis.set(_generation_name(scope), mine, nx=True, get=True, ex=GENERATION_TTL_S)
        return mine if theirs is None else bytes(theirs)


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise CacheUnavailable(f"Redis does not answer: {error}") from error


# Braces are a cluster's hash tag: a generation and the copies under it share a slot.
def _generation_name(scope: Scope) -> str:
    return f"{SCHEMA}:generation:{scope.kind}:{{{scope.id}}}"


def _name(key: CacheKey[Any]) -> str:
    return f"{SCHEMA}:{key.name}"


@cache
def _decoder(holds: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(holds)
