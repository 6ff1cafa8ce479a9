"""How a change makes cached values invalid, and how the cache recovers when an invalidation could not be confirmed.

The scopes of a change are committed with it, as an outbox entry. After the commit the writer gives each scope a new
generation, and only then answers. If Redis does not confirm this, the writer closes the cache for all processes, and
answers once no process can read from the cache. Any process carries out pending entries, and opens the cache again.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Protocol, TypeVar

from fitness.domain.model.audit import Authority
from fitness.domain.model.jobs import Job
from fitness.domain.use_cases.caching.keys import USER
from fitness.domain.use_cases.caching.lease import Lease
from fitness.ports.cache import CachePort, Era, Scope
from fitness.ports.cache_state import CacheState, CacheStatePort
from fitness.ports.messages import IdempotencyKey, Messages
from fitness.ports.outages import CacheUnavailable, DatabaseUnavailable
from fitness.ports.outbox import MOST_AT_ONCE, OutboxPort, PendingInvalidation

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

OVERDUE_S = 1.0
"""Invalidations older than this are carried out by any process, not only by their writer."""

HELD_S = 30.0
"""The outbox entries of a change in several transactions are left to their writer for this much longer."""

TRY_AGAIN_S = 0.02
TRY_UNTIL_S = 0.1
"""While the cache is open, a failed invalidation is tried again for this long: a broken connection is soon replaced,
and closing the cache costs a second."""

SCOPES_AT_ONCE = 500


class Write(Protocol[R_co]):
    """A repository method with every argument bound except `messages`."""

    def __call__(self, *, messages: Messages) -> Awaitable[R_co]: ...


class Changes:
    """The only way for a use case to change something: one call for the write and the invalidation that follows it."""

    def __init__(
        self,
        cache: CachePort,
        states: CacheStatePort,
        lease: Lease,
        *,
        try_until_s: float = TRY_UNTIL_S,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
        announce: Callable[[int], object] = lambda _: None,
    ) -> None:
        """`announce` is called with the id of each user whose activities changed, after the change is committed."""
        self._cache = cache
        self._states = states
        self._announce = announce
        self._lease = lease
        self._try_until_s = try_until_s
        self._pause = pause
        self._carried_out: dict[Era, list[int]] = {}

    async def make(
        self,
        stale: Iterable[Scope],
        write: Write[R],
        *,
        authority: Authority | None = None,
        idempotency: IdempotencyKey | None = None,
        jobs: Iterable[Job] = (),
        changed: Callable[[R], bool] = bool,
    ) -> R:
        """Have `write` commit a change together with its messages, then invalidate the scopes that it makes `stale`.

        `changed` tells from the result of `write` whether anything was changed. Exceptions of `write` are passed on.
        DatabaseUnavailable is also raised when the change is committed, but it cannot be found out whether the cache
        still shows the state before the change.
        """
        messages = Messages(
            id=secrets.randbits(63),
            invalidates=tuple(stale),
            authority=authority,
            idempotency=idempotency,
            jobs=tuple(jobs),
        )
        result = await write(messages=messages)
        if changed(result):
            await self.deliver(messages)
        return result

    @asynccontextmanager
    async def in_steps(self) -> AsyncIterator["Steps"]:
        """For one change in several transactions: one invalidation for all of them at the end, before the answer.

        The scopes of each step are committed with the step, and are invalidated even if a later step fails. Until then
        all relays leave the outbox entries of the steps alone, for up to HELD_S.
        """
        steps = Steps()
        try:
            yield steps
        finally:
            if steps.pending:
                await self._carry_out(steps.pending)

    async def deliver(self, committed: Messages) -> None:
        """Carry out the messages of a committed change, before the change is answered.

        Followers of the user's changes are told first, since that waits for nothing. The invalidation runs to its end
        even if the caller is cancelled: a client that disconnects early leaves no stale value.
        """
        await self._carry_out([PendingInvalidation(committed.id, committed.invalidates)])

    async def refresh(self, *scopes: Scope) -> None:
        """Invalidate scopes without a change, before an answer that shows what the database holds.

        The answer may show another request's change whose invalidation is still pending, because the process of that
        request is slow or has died. After the answer, no reader is shown anything older than the answer.
        """
        await self._carry_out([PendingInvalidation(secrets.randbits(63), scopes)])

    def take_carried_out(self) -> dict[Era, list[int]]:
        """Ids of carried-out outbox entries that can be acknowledged, by era; each id is returned once."""
        taken, self._carried_out = self._carried_out, {}
        return taken

    def give_back(self, era: Era, ids: list[int]) -> None:
        """Put ids back that could not be acknowledged: `take_carried_out` will return them again."""
        self._carried_out.setdefault(era, []).extend(ids)

    async def _carry_out(self, pending: Sequence[PendingInvalidation]) -> None:
        entry = _as_one(pending)
        for scope in entry.scopes:
            if scope.kind == USER:
                self._announce(scope.id)
        await asyncio.shield(asyncio.ensure_future(self._deliver(entry, [one.id for one in pending])))

    async def _deliver(self, entry: PendingInvalidation, ids: list[int]) -> None:
        """`ids` are the ids of the outbox entries that `entry` combines."""
        state = self._lease.state or await self._renewed()
        if state is not None and state.era is not None and await self._seen_by_readers(state.era, entry.scopes):
            self.give_back(state.era, ids)
            return
        closed = (await self._lease.ask(lambda: self._states.close(entry))).state
        await self._lease.until_others_expired(closed)

    async def _seen_by_readers(self, era: Era, scopes: tuple[Scope, ...]) -> bool:
        """Invalidate. True if the server confirmed the invalidation, and is the server that all processes read from.

        The lease is checked after the confirmation. A check before the confirmation would prove nothing: while the
        invalidation was under way, another process may have closed the cache and named another server.
        """
        return await self._confirmed(era, scopes) and (self._lease.readable() == era or await self._counts(era))

    async def _confirmed(self, era: Era, scopes: tuple[Scope, ...]) -> bool:
        """Sending goes on while the cache is closed: each invalidation confirmed then lets the cache open sooner."""
        tried_s = 0.0
        while True:
            try:
                await _invalidate(self._cache, era, scopes)
            except CacheUnavailable:
                if tried_s >= self._try_until_s or not self._lease.usable:
                    return False
                await self._pause(TRY_AGAIN_S)
                tried_s += TRY_AGAIN_S
            else:
                return True

    async def _counts(self, era: Era) -> bool:
        """Whether every reader sees an invalidation that the server of `era` confirmed.

        If the cache has just been closed, wait: another process may read from another server until its lease expires.
        """
        state = await self._renewed()
        if state is None or state.era != era or not self._lease.valid:
            return False
        if state.closed:
            await self._lease.until_others_expired(state)
        return True

    async def _renewed(self) -> CacheState | None:
        """The row, read now. None if it cannot be read: after an outage changes may be possible before renewals are,
        since the two have separate connections. The caller then closes the cache, which needs no lease.
        """
        with suppress(DatabaseUnavailable):
            return await self._lease.renew()
        return None


class Steps:
    """The transactions of one change; see `Changes.in_steps`."""

    def __init__(self) -> None:
        self.pending: list[PendingInvalidation] = []

    async def make(self, stale: Iterable[Scope], write: Write[R]) -> R:
        """As `Changes.make`, but the scopes are invalidated at the end, with those of the other steps.

        A false result of `write` means that the step changed nothing.
        """
        messages = Messages(id=secrets.randbits(63), invalidates=tuple(stale), held_s=HELD_S)
        result = await write(messages=messages)
        if result:
            self.pending.append(PendingInvalidation(messages.id, messages.invalidates))
        return result

    def take_over(self, pending: Iterable[PendingInvalidation]) -> None:
        """Also carry out these entries, which other processes left, with those of the steps."""
        known = {one.id for one in self.pending}
        self.pending += [one for one in pending if one.id not in known]


class OutboxRelay:
    """Carries out invalidations that their writers did not carry out, and opens the cache when it may be read again."""

    def __init__(
        self, cache: CachePort, outbox: OutboxPort, states: CacheStatePort, lease: Lease, changes: Changes
    ) -> None:
        self._cache = cache
        self._outbox = outbox
        self._states = states
        self._lease = lease
        self._changes = changes

    async def relay(self) -> None:
        """One round: renew the lease, then do what the row requires. Call it every RENEW_S.

        Raises CacheUnavailable and DatabaseUnavailable.
        """
        state = await self._lease.renew()
        state = await self._with_this_server(state)
        await self._acknowledge_carried_out()
        if state.closed:
            await self._open(state)
        elif state.era is not None:
            await self._carry_out(state.era, older_than_s=OVERDUE_S)

    async def _with_this_server(self, state: CacheState) -> CacheState:
        """If this process is connected to a server that the row does not name, have the row name that server."""
        run_id = await self._cache.run_id()
        if state.era is not None and state.era.run_id != run_id:
            await self._cache.reconnect()  # Sentinels may know the server that the row names
            run_id = await self._cache.run_id()
        if state.era is not None and state.era.run_id == run_id:
            return state
        return (await self._lease.ask(lambda: self._states.name_server(run_id, epoch=state.epoch))).state

    async def _open(self, state: CacheState) -> None:
        """The order of the steps is the proof. First, all pending entries are carried out. Then `open` locks the row,
        and an entry that a writer marked in between keeps the cache closed. Unmarked entries need not be waited for:
        before their writers answer, they look at the row, or at a valid lease on it.
        """
        if state.era is None or state.era.run_id != await self._cache.run_id():
            return
        if not state.unread:
            await self._carry_out(state.era, older_than_s=0.0)
        elif not self._lease.others_expired(state):
            return  # until its lease expires, a process may still read from the previous server
        await self._lease.ask(lambda: self._states.open(epoch=state.epoch))

    async def _carry_out(self, era: Era, *, older_than_s: float) -> None:
        """Carry out the entries that are pending at the start; newer entries are left to their writers."""
        more = True
        while more:
            entries = await self._outbox.pending(older_than_s=older_than_s)
            more = len(entries) == MOST_AT_ONCE
            await _invalidate(self._cache, era, {scope for entry in entries for scope in entry.scopes})
            if entries:
                await self._outbox.acknowledge([entry.id for entry in entries], era=era)

    async def _acknowledge_carried_out(self) -> None:
        for era, ids in self._changes.take_carried_out().items():
            try:
                await self._outbox.acknowledge(ids, era=era)
            except BaseException:
                self._changes.give_back(era, ids)
                raise


async def _invalidate(cache: CachePort, era: Era, scopes: Iterable[Scope]) -> None:
    left = iter(scopes)
    while some := [*islice(left, SCOPES_AT_ONCE)]:
        await cache.invalidate(era, *some)


def _as_one(pending: Sequence[PendingInvalidation]) -> PendingInvalidation:
    """One entry with the scopes of all entries and a new id: a process that carries out one of the original entries
    must not acknowledge the scopes of the others."""
    if len(pending) == 1:
        return pending[0]
    return PendingInvalidation(
        secrets.randbits(63), tuple(dict.fromkeys(one for each in pending for one in each.scopes))
    )
