"""The cache in Redis: each copy begins with the generation it was made under; one MGET reads generation and copy."""

import random
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

import msgspec

from fitness.adapters.redis.client import AnyLine
from fitness.adapters.redis.connection import Command, Packed, facts_of, packed
from fitness.adapters.redis.line import FAILURES, LineFull
from fitness.adapters.redis.questions import Answer
from fitness.ports.cache import CLAIM_TTL_S, CacheKey, Era, Hit, Miss, Peeked, Scope, T
from fitness.ports.outages import CacheUnavailable, Overloaded
from fitness.ports.reply import Reply

SCHEMA = "v5"
"""Raised with every change of the stored format, so that versions side by side never read each other's copies."""

GENERATIONS = "v4"
"""Not raised together with SCHEMA: what one version invalidates must be invalid for another version beside it."""

GENERATION_TTL_S = 24 * 60 * 60
GENERATION_BYTES = 12
MAX_COPY_BYTES = 256 * 1024
NAMES_REMEMBERED = 10_000

_encode = msgspec.json.Encoder().encode


class RedisCache:
    """`poisoned` counts the copies that were deleted because they could not be decoded."""

    def __init__(self, line: AnyLine) -> None:
        self._line = line
        self._peeks: OrderedDict[tuple[str, ...], _Peek] = OrderedDict()
        self.poisoned = 0

    async def read(self, key: CacheKey[T], era: Era) -> Hit[T] | Miss:
        generation_name, name = _generation_name(key.scope, era), _name(key, era)
        generation, copy = (await self._ask(era, ("MGET", generation_name, name)))[0]
        if generation is None:
            return Miss(await self._new_generation(generation_name, era), era)
        if copy is None or not copy.startswith(generation):
            return Miss(generation, era)
        try:
            return Hit(_decoded(copy, key.holds))
        except (msgspec.DecodeError, ValueError, RecursionError):
            self.poisoned += 1
            await self._ask(era, ("DEL", name))
            return Miss(generation, era)

    async def peek(self, era: Era, *keys: CacheKey[Any]) -> Sequence[Peeked]:
        try:
            answers = await self._line.mget(*[_names(key, era) for key in keys])
        except FAILURES as error:
            raise _translated(error) from error
        return [one for answer in answers for one in _all_peeked(era, answer)]

    def peek_soon(self, era: Era, *keys: CacheKey[Any]) -> Reply[Sequence[Peeked]] | None:
        asked = (era.name, *[key.name for key in keys])
        peek = self._peeks.get(asked)
        if peek is None:
            command = packed(("MGET", *[name for key in keys for name in _names(key, era)]))
            peek = self._peeks[asked] = _Peek(command, partial(_all_peeked, era))
            if len(self._peeks) > NAMES_REMEMBERED:
                self._peeks.popitem(last=False)
        return self._line.ask_soon(peek.read, peek.command)

    async def begin(self, key: CacheKey[Any], era: Era) -> Miss | None:
        first = _new_token()
        name = _generation_name(key.scope, era)
        (made,) = await self._ask(era, ("SET", name, first, "NX", "EX", GENERATION_TTL_S))
        return None if made is None else Miss(first, era)

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        copy = miss.generation + _encode(value)
        ttl_ms = round(key.ttl_s * random.uniform(900, 1100))  # noqa: S311 - spreads load, guards nothing
        ended: Command = ("DEL", _claim_name(key, miss))
        kept: Command = ("SET", _name(key, miss.era), copy, "PX", ttl_ms)
        await self._ask(miss.era, *([kept, ended] if len(copy) <= MAX_COPY_BYTES else [ended]))

    async def invalidate(self, era: Era, *scopes: Scope) -> None:
        renewals: list[Command] = [
            ("SET", _generation_name(scope, era), _new_token(), "EX", GENERATION_TTL_S) for scope in scopes
        ]
        try:
            answers = await self._line.ask_each(renewals)
        except FAILURES as error:
            raise _translated(error) from error
        for answer in answers:
            _refuse_other(era, answer)

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        name = _claim_name(key, miss)
        (claimed,) = await self._ask(miss.era, ("SET", name, b"", "NX", "PX", round(CLAIM_TTL_S * 1000)))
        return claimed is not None

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        await self._ask(miss.era, ("DEL", _claim_name(key, miss)))

    async def run_id(self) -> str:
        await self.check()
        if self._line.run_id is None:
            raise CacheUnavailable("the connection to Redis was lost")
        return self._line.run_id

    async def reconnect(self) -> None:
        self._line.reconnect()

    async def check(self) -> None:
        """Returns when the server answers. Raises CacheUnavailable."""
        try:
            await self._line.ask_everywhere(("PING",))
        except FAILURES as error:
            raise _translated(error) from error

    async def sizes(self) -> Mapping[str, int]:
        """`bytes` and `keys` in the store, and keys `evicted` so far; summed over all servers of a Cluster."""
        try:
            answers = await self._line.ask_everywhere(("INFO",), ("DBSIZE",))
        except FAILURES as error:
            raise _translated(error) from error
        facts = [facts_of(answer.replies[0]) for answer in answers]
        return {
            "bytes": sum(int(one["used_memory"]) for one in facts),
            "keys": sum(int(answer.replies[1]) for answer in answers),
            "evicted": sum(int(one["evicted_keys"]) for one in facts),
        }

    async def _new_generation(self, name: str, era: Era) -> bytes:
        """The scope's generation: a new one, or the one that another process has made meanwhile."""
        mine = _new_token()
        (theirs,) = await self._ask(era, ("SET", name, mine, "NX", "GET", "EX", GENERATION_TTL_S))
        return mine if theirs is None else bytes(theirs)

    async def _ask(self, era: Era, *commands: Command) -> list[Any]:
        """The replies to `commands`, whose keys must be in one slot."""
        try:
            answer = await self._line.ask(str(commands[0][1]), *commands)
        except FAILURES as error:
            raise _translated(error) from error
        _refuse_other(era, answer)
        return answer.replies


class _Peek(NamedTuple):
    """A packed MGET of generations and copies, and the function that reads its answer."""

    command: Packed
    read: Callable[[Answer], list[Peeked]]


def _all_peeked(era: Era, answer: Answer) -> list[Peeked]:
    _refuse_other(era, answer)
    values = iter(answer.replies[0])
    return [_peeked(generation, copy, era) for generation, copy in zip(values, values, strict=True)]


def _peeked(generation: bytes | None, copy: bytes | None, era: Era) -> Peeked:
    if generation is None:
        return None
    if copy is None or not copy.startswith(generation):
        return Miss(generation, era)
    return copy[GENERATION_BYTES:]


def _refuse_other(era: Era, answer: Answer) -> None:
    """Refuse the answer of another server than the era's: readers use only the era's server."""
    if answer.run_id not in era.run_id:
        raise CacheUnavailable("another Redis answered than the one that counts")


def _translated(error: Exception) -> CacheUnavailable | Overloaded:
    if isinstance(error, LineFull):
        return Overloaded(str(error))
    return CacheUnavailable(f"Redis does not answer: {error}")


def _decoded(copy: bytes, holds: Any) -> Any:
    """Raises ValueError, or a subclass of it, for bytes that `fill` did not encode."""
    if len(copy) > MAX_COPY_BYTES:
        raise ValueError("larger than any copy")
    return _decoder(holds).decode(memoryview(copy)[GENERATION_BYTES:])


def _new_token() -> bytes:
    return secrets.token_bytes(GENERATION_BYTES)


# Braces are a cluster's hash tag: a generation and the copies under it share a slot.
def _generation_name(scope: Scope, era: Era) -> str:
    return f"{GENERATIONS}:{era.name}:generation:{scope.kind}:{{{scope.id}}}"


def _name(key: CacheKey[Any], era: Era) -> str:
    return f"{SCHEMA}:{era.name}:{key.name}"


def _claim_name(key: CacheKey[Any], miss: Miss) -> str:
    return f"{SCHEMA}:{miss.era.name}:claim:{key.name}:{miss.generation.hex()}"


@lru_cache(maxsize=NAMES_REMEMBERED)
def _names(key: CacheKey[Any], era: Era) -> tuple[str, str]:
    """The names of the scope's generation and of the copy."""
    return _generation_name(key.scope, era), _name(key, era)


@cache
def _decoder(holds: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(holds)
