"""A shared store of copies that can be dropped in one step, and the keys they are kept under."""

import secrets
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

CLAIM_TTL_S = 1.0


@dataclass(frozen=True, slots=True)
class Scope:
    """What copies are made of and become invalid with: one activity, or all that one user sees."""

    kind: str
    id: int


@dataclass(frozen=True, slots=True)
class CacheKey(Generic[T]):
    """Where the copy of one answer is kept, for how long, and of what type it is."""

    name: str
    kind: str
    """Of what the copy is, `activity` or `listing`; copies are counted by it."""
    scope: Scope
    ttl_s: int
    holds: type[T]


@dataclass(frozen=True, slots=True)
class Owed:
    """Scopes that a change makes stale, under a number of their own. A debt until their copies are dropped."""

    id: int
    scopes: tuple[Scope, ...]

    @classmethod
    def to(cls, *scopes: Scope) -> "Owed":
        return cls(secrets.randbits(63), scopes)


@dataclass(frozen=True, slots=True)
class Hit(Generic[T]):
    value: T


@dataclass(frozen=True, slots=True)
class Miss:
    """Nothing to be had; `generation` is the scope's at that moment and dates whatever is loaded next."""

    generation: bytes


class CachePort(Protocol):
    """A shared, expiring store of copies. Every method raises CacheUnavailable when it does not answer in time.

    Each scope has a generation, a token that names the state its copies were made of. A copy counts only while its
    scope still has the generation it was loaded under, so that a new generation drops every copy of a scope at once.
    """

    async def read(self, key: CacheKey[T]) -> Hit[T] | Miss:
        """A Hit only if a copy was made under its scope's present generation and still decodes."""

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        """Keep `value` for `key.ttl_s` under the generation that `miss` saw, which is older than the load of `value`.

        The time to live is spread by a tenth either way, and a value too large to be worth it is not kept.
        """

    async def invalidate(self, *scopes: Scope) -> None:
        """Give each scope a new generation: every copy made before is dead at once, however many there are.

        Where it raises, that may still be happening, or happen soon.
        """

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        """Whether the caller is the one to load what `miss` lacked; for others it is soon there, or CLAIM_TTL_S past.

        A claim ends with the fill under the same generation, or is given up.
        """

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        """End a claim without a fill: there was nothing to be loaded, and somebody else may try."""

    async def incarnation(self) -> str:
        """Names the store's present life: another one when it restarted or another server took its place.

        A new life may have forgotten what was invalidated last.
        """
