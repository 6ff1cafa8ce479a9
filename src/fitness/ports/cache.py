"""A shared store of copies that can be dropped in one step, and the keys they are stored under."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from fitness.ports.reply import Reply

T = TypeVar("T")

CLAIM_TTL_S = 1.0


# Scopes, keys, eras and misses are tuples, since each request makes some: a frozen dataclass takes longer to make.


class Scope(NamedTuple):
    """The data that cached values are made from and become invalid with: an activity, or all that one user sees."""

    kind: str
    id: int


class CacheKey(NamedTuple, Generic[T]):
    """Where one value is cached, for how long, and of what type it is. `kind` is the name it is counted under."""

    name: str
    scope: Scope
    ttl_s: int
    holds: type[T]
    kind: str


class Era(NamedTuple):
    """A period in which one server's copies count. Nothing that was stored in an earlier era is ever read again."""

    run_id: str
    """The run id of the server; for a Cluster, the run ids of its primaries, separated by commas."""
    name: str
    """The era's name, which is part of every key's name in the store; never used twice."""


@dataclass(frozen=True, slots=True)
class Hit(Generic[T]):
    value: T


class Miss(NamedTuple):
    """No valid copy. `generation` is the scope's generation at that moment: a value loaded next is stored under it."""

    generation: bytes
    era: Era


Peeked = bytes | Miss | None
"""What `CachePort.peek` finds under a key."""


INTERNAL_KINDS = ("tier", "timezone", "calendar")
"""Kinds of copies that the service reads for itself. In a hit ratio they would hide the reads of clients."""


class ReadCountsPort(Protocol):
    def count(self, kind: str, origin: str) -> None:
        """Count one read through the cache; `origin` is HIT, MISS or BYPASS."""


class CachePort(Protocol):
    """A shared, expiring store of copies.

    Every method raises CacheUnavailable when the store does not answer in time, refuses, or is not the era's server,
    and Overloaded when this process asks more than the store can answer.

    Each scope has a generation, a token that names the state its copies were made of. A copy counts only while its
    scope still has the generation it was loaded under, so that a new generation drops every copy of a scope at once.
    """

    async def read(self, key: CacheKey[T], era: Era) -> Hit[T] | Miss:
        """A Hit only if a copy was made under its scope's present generation and still decodes."""

    async def peek(self, era: Era, *keys: CacheKey[Any]) -> Sequence[Peeked]:
        """As `read` for each of the keys, in one round trip and without decoding: a copy is returned as its JSON text.

        None for a key whose scope has no generation: no valid copy is kept then, and `read` makes a generation.
        """

    def peek_soon(self, era: Era, *keys: CacheKey[Any]) -> "Reply[Sequence[Peeked]] | None":
        """As `peek`, but sent at once. None if the store is down, or if it takes more than one question to the store.

        The value of the reply raises CacheUnavailable if a server other than the era's has answered.
        """

    async def begin(self, key: CacheKey[Any], era: Era) -> Miss | None:
        """Give the scope its first generation, for a `fill` with a value still to be made. None if it has one."""

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        """Keep `value` for `key.ttl_s` under the generation that `miss` saw, which is older than the load of `value`.

        The time to live is spread by a tenth either way. A value that is too large is not kept.
        """

    async def invalidate(self, era: Era, *scopes: Scope) -> None:
        """Give each scope a new generation: every copy made before is invalid at once, however many there are.

        If this raises, the scopes may still get their new generations, now or soon.
        """

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        """Whether the caller has to load the missing value. Others find it soon, or can claim it CLAIM_TTL_S later.

        A claim ends with the fill under the same generation, or when it is given up.
        """

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        """End a claim without a fill: the load gave no value, and another reader may try."""

    async def run_id(self) -> str:
        """The run id of the server that this process is connected to; it is another one after a restart or failover."""

    async def reconnect(self) -> None:
        """Look for the server again. If Sentinels or a Cluster know another server, `run_id` is then that server's."""
