"""A shared store of copies that can be dropped in one step, and the keys they are stored under."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from fitness.ports.reply import Reply

T = TypeVar("T")

CLAIM_TTL_S = 1.0


# Scopes, keys, eras and misses are tuples, since each request makes some: a frozen dataclass takes longer to make.


class Scope(NamedTuple):
    """What cached values are made of, and become invalid together with: an activity, or all that one user sees."""

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
    """A time in which one server's copies count. Nothing that was stored in an earlier era is ever read again."""

    run_id: str
    """Of the server; of a Cluster's primaries together, separated by commas."""
    name: str
    """Part of every name in the store; never used twice."""


@dataclass(frozen=True, slots=True)
class Hit(Generic[T]):
    value: T


class Miss(NamedTuple):
    """No valid copy; `generation` is the scope's at that moment, and dates whatever is loaded next."""

    generation: bytes
    era: Era


Peeked = bytes | Miss | None
"""What `CachePort.peek` finds under a key."""


class ReadCountsPort(Protocol):
    def count(self, kind: str, origin: str) -> None:
        """A read through the cache was answered: HIT, MISS or BYPASS."""


class CachePort(Protocol):
    """A shared, expiring store of copies.

    Every method raises CacheUnavailable when the store does not answer in time, refuses, or is not the era's server,
    and Overloaded when this process asks more than the store answers.

    Each scope has a generation, a token that names the state its copies were made of. A copy counts only while its
    scope still has the generation it was loaded under, so that a new generation drops every copy of a scope at once.
    """

    async def read(self, key: CacheKey[T], era: Era) -> Hit[T] | Miss:
        """A Hit only if a copy was made under its scope's present generation and still decodes."""

    async def peek(self, era: Era, *keys: CacheKey[Any]) -> Sequence[Peeked]:
        """As `read` for each of the keys, in one round trip, and without decoding: a copy as its JSON text.

        None where the scope has no generation: then nothing is kept, and `read` gives it one.
        """

    def peek_soon(self, era: Era, *keys: CacheKey[Any]) -> "Reply[Sequence[Peeked]] | None":
        """As `peek`, asked at once. None where that takes more than one question to the store, or it is down.

        The value of the reply raises CacheUnavailable if another server than the era's has answered.
        """

    async def begin(self, key: CacheKey[Any], era: Era) -> Miss | None:
        """Give the scope its first generation, for a `fill` with what is still to be made. None if it has one."""

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        """Keep `value` for `key.ttl_s` under the generation that `miss` saw, which is older than the load of `value`.

        The time to live is spread by a tenth either way, and a value too large to be worth it is not kept.
        """

    async def invalidate(self, era: Era, *scopes: Scope) -> None:
        """Give each scope a new generation: every copy made before is dead at once, however many there are.

        Where it raises, that may still be happening, or happen soon.
        """

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        """Whether the caller is to load the missing value. The others find it soon, or claim it CLAIM_TTL_S later.

        A claim ends with the fill under the same generation, or when it is given up.
        """

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        """End a claim without a fill: there was nothing to load, and another reader may try."""

    async def run_id(self) -> str:
        """Of the server that this process is connected to; another one after a restart or a failover."""

    async def reconnect(self) -> None:
        """Look for the server anew: where Sentinels or a Cluster know of another one, `run_id` is that one's then."""
