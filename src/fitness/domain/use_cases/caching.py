"""The cache policy, all of it: keys, scopes and times to live; reading through; what is owed, trusted and shared.

A copy is never older than a change that was acknowledged. The generation is taken before the database is read, and a
change gives its scopes a new one after it is committed and before it is answered. What a change owes the cache is
committed with it, so that whoever finds a debt unpaid can pay it. A cache that is out of reach is gone round, and once
it has been lost it is believed again only after every debt is paid.
"""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, Generic, TypeVar

from fitness.domain.model.activities import Activity
from fitness.domain.model.listings import ActivityFilter, Listing, Page
from fitness.domain.model.users import Tier
from fitness.ports.cache import CLAIM_TTL_S, CacheKey, CachePort, Hit, Miss, Owed, Scope
from fitness.ports.outages import CacheUnavailable
from fitness.ports.outbox import MOST_AT_ONCE, OutboxPort

T = TypeVar("T")

ACTIVITY_TTL_S = 5 * 60
LISTING_TTL_S = 2 * 60
TIER_TTL_S = 60 * 60

KINDS = ("activity", "listing", "tier")
"""Of copies, as they are counted."""

FAILURES_BORNE = 5
"""So many reads in a row may fail before the cache counts as lost; an invalidation that fails loses it at once."""

ROUND_S = 0.5
"""How often each process looks after what is owed."""

RECOVERY_ROUND_S = 0.1
"""How often while the cache is lost to it."""

OVERDUE_S = 1.0
"""After this somebody else's debt is anybody's to pay."""

REMEMBERED_S = 10.0
"""How far back a cache in a new life may have forgotten what it was told."""


class Origin(StrEnum):
    """Where an answer came from, as the X-Cache header spells it."""

    HIT = "HIT"
    MISS = "MISS"
    BYPASS = "BYPASS"


@dataclass(frozen=True, slots=True)
class Copy(Generic[T]):
    value: T
    origin: Origin


def activity_scope(activity_id: int) -> Scope:
    return Scope("activity", activity_id)


def user_scope(user_id: int) -> Scope:
    """All that is made of a user's activities together: pages, filters, statistics."""
    return Scope("user", user_id)


def account_scope(user_id: int) -> Scope:
    """All that is made of a user's account: the tier."""
    return Scope("account", user_id)


def activity_key(activity_id: int) -> CacheKey[Activity]:
    return CacheKey(f"activity:{{{activity_id}}}", "activity", activity_scope(activity_id), ACTIVITY_TTL_S, Activity)


def listing_key(user_id: int, which: ActivityFilter, page: Page) -> CacheKey[Listing[Activity]]:
    name = f"activities:user:{{{user_id}}}:page:{page.number}:limit:{page.limit}"
    if which != ActivityFilter() or page.after:
        name += ":" + hashlib.sha256(repr((which, page.after)).encode()).hexdigest()[:32]
    return CacheKey(name, "listing", user_scope(user_id), LISTING_TTL_S, Listing[Activity])


def tier_key(user_id: int) -> CacheKey[Tier]:
    return CacheKey(f"user:{{{user_id}}}:tier", "tier", account_scope(user_id), TIER_TTL_S, Tier)


class CachedReads:
    """One process's use of the cache: reads through it, tells it of writes, and knows whether to believe it.

    It starts out unbelieved; `look_after_debts`, called every ROUND_S, is what restores belief, and every
    RECOVERY_ROUND_S without it.
    """

    def __init__(
        self,
        cache: CachePort,
        outbox: OutboxPort,
        *,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._outbox = outbox
        self._pause = pause
        self._monotonic_s = monotonic_s
        self._believed = False
        self._failures = 0
        self._losses = 0
        self._incarnation: str | None = None
        self._paid: list[int] = []
        self._told: deque[tuple[float, tuple[Scope, ...]]] = deque()
        self._flights: dict[tuple[str, bytes], asyncio.Task[Any]] = {}

    @property
    def believed(self) -> bool:
        return self._believed

    async def through(self, key: CacheKey[T], load: Callable[[], Coroutine[Any, Any, T]]) -> Copy[T]:
        """The copy under `key`, or what `load` returns, which is kept. What `load` raises goes on."""
        if not self._believed:
            return Copy(await load(), Origin.BYPASS)
        try:
            found = await self._cache.read(key)
        except CacheUnavailable:
            self._failed()
            return Copy(await load(), Origin.BYPASS)
        self._failures = 0
        if isinstance(found, Hit):
            return Copy(found.value, Origin.HIT)
        return Copy(await self._together(key, found, load), Origin.MISS)

    async def settle(self, owed: Owed) -> None:
        """Make every copy in the debt's scopes stale; between a commit and its answer.

        Carried to its end even where the caller is cancelled. Where the cache cannot be told, the debt stays.
        """
        await asyncio.shield(asyncio.ensure_future(self._settle(owed)))

    async def look_after_debts(self) -> None:
        """Strike out what was paid, pay what others left behind, and believe a lost cache again once all is paid.

        Raises CacheUnavailable, after which the cache counts as lost, and DatabaseUnavailable.
        """
        try:
            incarnation = await self._cache.incarnation()
            if incarnation != self._incarnation:
                self._lose()
                self._incarnation = incarnation
            self._failures = 0
            losses = self._losses
            if not self._believed:
                await self._tell(scope for _, scopes in self._told for scope in scopes)
            await self._strike_out()
            await self._pay(older_than_s=OVERDUE_S if self._believed else 0.0)
            # What was lost in the meantime has to be found again first.
            self._believed = losses == self._losses
        except CacheUnavailable:
            self._lose()
            raise

    async def _settle(self, owed: Owed) -> None:
        # Told even while this process counts it as lost: others may be reading from it.
        try:
            await self._cache.invalidate(*owed.scopes)
        except CacheUnavailable:
            self._failed()
            self._lose()
            return
        self._paid.append(owed.id)
        self._remember(owed.scopes)

    async def _pay(self, *, older_than_s: float) -> None:
        """All that is owed now; what others come to owe in the meantime is theirs."""
        more = True
        while more:
            debts = await self._outbox.unsettled(older_than_s=older_than_s)
            more = len(debts) == MOST_AT_ONCE
            await self._tell(scope for debt in debts for scope in debt.scopes)
            if debts:
                await self._outbox.settle([debt.id for debt in debts])

    async def _strike_out(self) -> None:
        paid, self._paid = self._paid, []
        if paid:
            try:
                await self._outbox.settle(paid)
            except BaseException:
                self._paid += paid
                raise

    async def _tell(self, scopes: Iterable[Scope]) -> None:
        everything = iter(set(scopes))
        while some := [*islice(everything, 500)]:
            await self._cache.invalidate(*some)

    def _remember(self, scopes: tuple[Scope, ...]) -> None:
        now_s = self._monotonic_s()
        self._told.append((now_s, scopes))
        while self._told[0][0] < now_s - REMEMBERED_S:
            self._told.popleft()

    def _failed(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES_BORNE:
            self._lose()

    def _lose(self) -> None:
        self._believed = False
        self._losses += 1

    async def _together(self, key: CacheKey[T], miss: Miss, load: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What one load brings to all who miss the same copy under the same generation.

        Under the same generation nothing was acknowledged since that load began, so none of them gets anything old.
        """
        name = (key.name, miss.generation)
        flight = self._flights.get(name)
        if flight is None:
            flight = self._flights[name] = asyncio.create_task(self._load(key, miss, load))
            flight.add_done_callback(lambda done: self._landed(name, done))
        value: T = await asyncio.shield(flight)
        return value

    def _landed(self, name: tuple[str, bytes], flight: asyncio.Task[Any]) -> None:
        del self._flights[name]
        if not flight.cancelled():
            flight.exception()  # those who wait have it

    async def _load(self, key: CacheKey[T], miss: Miss, load: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            if not await self._cache.claim(key, miss):
                found = await self._wait_for(key, miss)
                if found is not None:
                    return found.value
        except CacheUnavailable:
            self._failed()
            return await load()
        try:
            value = await load()
        except BaseException:
            with suppress(CacheUnavailable):
                await self._cache.give_up(key, miss)
            raise
        try:
            await self._cache.fill(key, value, miss)
        except CacheUnavailable:
            self._failed()
        return value

    async def _wait_for(self, key: CacheKey[T], miss: Miss) -> Hit[T] | None:
        """The copy that another process is loading; None when the caller is to load it after all."""
        waited_s, pause_s = 0.0, 0.005
        while waited_s < CLAIM_TTL_S / 4:
            await self._pause(pause_s)
            waited_s, pause_s = waited_s + pause_s, pause_s * 2
            found = await self._cache.read(key)
            if isinstance(found, Hit):
                return found
            if found != miss or await self._cache.claim(key, miss):
                return None
        return None
