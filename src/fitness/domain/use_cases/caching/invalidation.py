"""How a change makes cached values invalid: with the change by its writer, and by the relay where the writer could not.

The scopes of a change are committed with it, as an outbox entry. After the commit the writer gives them a new
generation, and only then answers. An entry whose writer died, or could not reach the cache, is carried out by any
process's relay.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Protocol, TypeVar

from fitness.domain.model.audit import Authority
from fitness.domain.use_cases.caching.lease import Lease
from fitness.ports.cache import CachePort, Scope
from fitness.ports.messages import IdempotencyKey, Messages
from fitness.ports.outages import CacheUnavailable
from fitness.ports.outbox import MOST_AT_ONCE, OutboxPort

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

RELAY_S = 0.5
"""How often each process relays pending invalidations while the cache is usable."""

RECOVERY_RELAY_S = 0.1
"""How often while it is not usable."""

OVERDUE_S = 1.0
"""An invalidation older than this is carried out by any process, not only by its writer."""

RESENT_S = 10.0
"""After a restart of Redis, invalidations of this many last seconds are sent again: the restart may have lost them."""

SCOPES_AT_ONCE = 500


class Write(Protocol[R_co]):
    """A method of a repository, with all its arguments but the messages."""

    def __call__(self, *, messages: Messages) -> Awaitable[R_co]: ...


class Changes:
    """The only way for a use case to change something: the write and the invalidation that follows it in one call."""

    def __init__(self, cache: CachePort, lease: Lease, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._cache = cache
        self._lease = lease
        self._monotonic_s = monotonic_s
        self._carried_out: list[int] = []
        self._recent: deque[tuple[float, tuple[Scope, ...]]] = deque()

    async def make(
        self,
        stale: Iterable[Scope],
        write: Write[R],
        *,
        authority: Authority | None = None,
        idempotency: IdempotencyKey | None = None,
        changed: Callable[[R], bool] = bool,
    ) -> R:
        """Have `write` commit a change together with its messages, then invalidate the scopes that it makes `stale`.

        `changed` says of the result whether anything was changed. What `write` raises is passed on.
        """
        messages = Messages(
            id=secrets.randbits(63), invalidates=tuple(stale), authority=authority, idempotency=idempotency
        )
        result = await write(messages=messages)
        if changed(result):
            await self.deliver(messages)
        return result

    async def deliver(self, messages: Messages) -> None:
        """Carry out what a committed change carries, before the change is answered.

        It runs to its end even where the caller is cancelled: a client that leaves early leaves no stale value. Where
        the cache cannot be reached, the outbox entry stays, and this process stops to read from the cache.
        """
        await asyncio.shield(asyncio.ensure_future(self._deliver(messages)))

    def take_carried_out(self) -> list[int]:
        """Ids of outbox entries that are carried out and can be acknowledged; each is returned once."""
        taken, self._carried_out = self._carried_out, []
        return taken

    def give_back(self, ids: list[int]) -> None:
        """The ids that could not be acknowledged, to be taken again."""
        self._carried_out += ids

    def recent_scopes(self) -> set[Scope]:
        """What this process invalidated in the last RESENT_S."""
        return {scope for _, scopes in self._recent for scope in scopes}

    async def _deliver(self, messages: Messages) -> None:
        # Sent even while this process does not use the cache: other processes may read from it.
        try:
            await self._cache.invalidate(*messages.invalidates)
        except CacheUnavailable:
            self._lease.failed()
            self._lease.disable()
            return
        self._carried_out.append(messages.id)
        now_s = self._monotonic_s()
        self._recent.append((now_s, messages.invalidates))
        while self._recent[0][0] < now_s - RESENT_S:
            self._recent.popleft()


class OutboxRelay:
    """Carries out the invalidations that no writer did, and enables the cache once none is pending."""

    def __init__(self, cache: CachePort, outbox: OutboxPort, lease: Lease, changes: Changes) -> None:
        self._cache = cache
        self._outbox = outbox
        self._lease = lease
        self._changes = changes
        self._run_id: str | None = None

    async def relay(self) -> None:
        """One round; call it every RELAY_S, or every RECOVERY_RELAY_S while the cache is not usable.

        Raises CacheUnavailable, after which the cache is not usable, and DatabaseUnavailable.
        """
        try:
            await self._relay()
        except CacheUnavailable:
            self._lease.disable()
            raise

    async def _relay(self) -> None:
        # The order is the proof. The count of disablings is read before the outbox is: an invalidation of this process
        # that fails after that look disables the cache again, and its entry may have been missed by the look.
        await self._notice_restart()
        self._lease.answered()
        disablings = self._lease.disablings
        if not self._lease.usable:
            await self._invalidate(self._changes.recent_scopes())
        await self._acknowledge_carried_out()
        await self._carry_out_pending(older_than_s=OVERDUE_S if self._lease.usable else 0.0)
        self._lease.enable(unless_disabled_since=disablings)

    async def _notice_restart(self) -> None:
        run_id = await self._cache.run_id()
        if run_id != self._run_id:
            self._lease.disable()
            self._run_id = run_id

    async def _carry_out_pending(self, *, older_than_s: float) -> None:
        """Handles what is pending at the start; newer entries are left to the processes that wrote them."""
        more = True
        while more:
            entries = await self._outbox.pending(older_than_s=older_than_s)
            more = len(entries) == MOST_AT_ONCE
            await self._invalidate({scope for entry in entries for scope in entry.scopes})
            if entries:
                await self._outbox.acknowledge([entry.id for entry in entries])

    async def _acknowledge_carried_out(self) -> None:
        ids = self._changes.take_carried_out()
        if ids:
            try:
                await self._outbox.acknowledge(ids)
            except BaseException:
                self._changes.give_back(ids)
                raise

    async def _invalidate(self, scopes: set[Scope]) -> None:
        left = iter(scopes)
        while some := [*islice(left, SCOPES_AT_ONCE)]:
            await self._cache.invalidate(*some)
