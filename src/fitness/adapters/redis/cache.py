"""The cache in Redis: each copy carries the generation it was made under, and one MGET reads both."""

import asyncio
import random
import secrets
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import msgspec
from redis.asyncio import RedisCluster

from fitness.adapters.redis.client import AnyRedis
from fitness.adapters.redis.deadlines import answering
from fitness.foundation.tasks import SupervisedTasks
from fitness.ports.cache import CLAIM_TTL_S, CacheKey, Hit, Miss, Scope, T
from fitness.ports.outages import CacheUnavailable

SCHEMA = "v1"
"""Raised with every change to what is kept, so that versions side by side never read each other's copies."""

GENERATION_TTL_S = 24 * 60 * 60
GENERATION_BYTES = 12
MAX_COPY_BYTES = 256 * 1024

_encode = msgspec.msgpack.Encoder().encode


class RedisCache:
    """`poisoned` counts the copies that had to be removed since they were none."""

    def __init__(self, redis: AnyRedis) -> None:
        self._redis = redis
        self.poisoned = 0
        self._silent = False
        self._invalidations = SupervisedTasks()

    async def read(self, key: CacheKey[T]) -> Hit[T] | Miss:
        async with answering(CacheUnavailable):
            found: Any = await self._redis.mget(_generation_name(key.scope), _name(key))
            generation, copy = found
            if generation is None:
                return Miss(await self._new_generation(key.scope))
            if copy is None or not copy.startswith(generation):
                return Miss(generation)
            try:
                return Hit(_decoded(copy, key.holds))
            except (msgspec.DecodeError, ValueError, RecursionError):
                self.poisoned += 1
                await self._redis.delete(_name(key))
                return Miss(generation)

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        copy = miss.generation + _encode(value)
        ttl_ms = round(key.ttl_s * random.uniform(900, 1100))  # noqa: S311 - spreads load, guards nothing
        async with answering(CacheUnavailable), self._redis.pipeline(transaction=False) as commands:
            if len(copy) <= MAX_COPY_BYTES:
                commands.set(_name(key), copy, px=ttl_ms)
            commands.delete(_claim_name(key, miss))
            await commands.execute()

    async def invalidate(self, *scopes: Scope) -> None:
        # Sent, and not taken back at the deadline: a server that was only slow then has it before it serves others.
        sent = self._invalidations.start(self._renew(scopes), log_errors=False)
        if self._silent:
            raise CacheUnavailable("Redis has not answered the last invalidation; this one is on its way to it")
        try:
            async with answering(CacheUnavailable):
                await asyncio.shield(sent)
        except CacheUnavailable:
            self._silent = not sent.done()
            raise

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        async with answering(CacheUnavailable):
            claimed = await self._redis.set(_claim_name(key, miss), b"", nx=True, px=round(CLAIM_TTL_S * 1000))
        return bool(claimed)

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        async with answering(CacheUnavailable):
            await self._redis.delete(_claim_name(key, miss))

    async def run_id(self) -> str:
        run_id = await self._run_id()
        self._silent = False
        return run_id

    async def _run_id(self) -> str:
        async with answering(CacheUnavailable):
            if isinstance(self._redis, RedisCluster):
                nodes: Any = await self._redis.info("server", target_nodes=RedisCluster.PRIMARIES)
                return ",".join(sorted(str(node["run_id"]) for node in nodes.values()))
            server: Any = await self._redis.info("server")
            return str(server["run_id"])

    async def sizes(self) -> Mapping[str, int]:
        """`bytes` and `keys` in the store, and `evicted` ones so far; of a Cluster's servers together."""
        facts = ("used_memory", "evicted_keys")
        async with answering(CacheUnavailable):
            if isinstance(self._redis, RedisCluster):
                answers: Any = await self._redis.info(target_nodes=RedisCluster.PRIMARIES)
                servers = [*answers.values()]
            else:
                servers = [await self._redis.info()]
            keys: Any = await self._redis.dbsize()
        memory, evicted = (sum(int(server[fact]) for server in servers) for fact in facts)
        return {"bytes": memory, "keys": int(keys), "evicted": evicted}

    async def _renew(self, scopes: Iterable[Scope]) -> None:
        async with self._redis.pipeline(transaction=False) as commands:
            for scope in scopes:
                commands.set(_generation_name(scope), _new_token(), ex=GENERATION_TTL_S)
            await commands.execute()
        self._silent = False

    async def check(self) -> None:
        """Returns when the server answers. Raises CacheUnavailable."""
        await self.run_id()

    async def _new_generation(self, scope: Scope) -> bytes:
        """The scope's generation, whoever made it first."""
        mine = _new_token()
        theirs: Any = await self._redis.set(_generation_name(scope), mine, nx=True, get=True, ex=GENERATION_TTL_S)
        return mine if theirs is None else bytes(theirs)


def _decoded(copy: bytes, holds: Any) -> Any:
    """Raises ValueError or one of its kind for what was never encoded by `fill`."""
    if len(copy) > MAX_COPY_BYTES:
        raise ValueError("larger than any copy")
    return _decoder(holds).decode(memoryview(copy)[GENERATION_BYTES:])


def _new_token() -> bytes:
    return secrets.token_bytes(GENERATION_BYTES)


# Braces are a cluster's hash tag: a generation and the copies under it share a slot.
def _generation_name(scope: Scope) -> str:
    return f"{SCHEMA}:generation:{scope.kind}:{{{scope.id}}}"


def _name(key: CacheKey[Any]) -> str:
    return f"{SCHEMA}:{key.name}"


def _claim_name(key: CacheKey[Any], miss: Miss) -> str:
    return f"{SCHEMA}:claim:{key.name}:{miss.generation.hex()}"


@cache
def _decoder(holds: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(holds)
