"""The live feed: each connection is told every change of its account's activities, once and in order, from any process.

The change log is the truth. A follower remembers the number of the last change it was given, and asks the log for later
changes. In between, it waits for a signal to ask again: the message that a process announces after its commit, or the
poll of the log that every process makes each POLL_S for all its connections. So a lost message loses no change, and
delays it by at most a second.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import islice

from fitness.domain.model.changes import Change
from fitness.domain.model.refusals import ChangesNotKept, NotAuthenticated, TooManyFollowers
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.changes import ChangeService
from fitness.ports.changes import ChangeLogPort
from fitness.ports.live import Place, PlacePort
from fitness.ports.outages import DatabaseUnavailable, Outage
from fitness.ports.wake_ups import WakeUpPort

MOST_OF_USER = 5
"""The most connections of a user in all processes; while the store of places is down, in each process."""

PAGE = 50
"""The most changes that a follower is given at once."""

POLL_S = 0.5
CHECK_S = 2.0
"""The time between two checks of each connection's token and account, so that the connection ends with them."""

LISTEN_AGAIN_S = 0.1
UNKNOWN_S = 60.0
"""After this long without an answer about the caller's standing, the connection ends."""

CHECKED_AT_ONCE = 50

MOST_NOT_FREED = 1_000
"""The most places that are kept to be freed later. The oldest are forgotten first: places become free by themselves."""

Check = Callable[[Caller], Awaitable[object]]
"""Raises NotAuthenticated where the caller's token has expired, or session, key or account has ended, and outages."""

_log = logging.getLogger(__name__)


class FeedStopped(Exception):
    """The service stops; another process has the same feed."""


class Follower:
    """One connection."""

    def __init__(self, log: ChangeLogPort, caller: Caller, seq: int, now_s: float) -> None:
        self.caller = caller
        self.seq = seq
        """The number of the last change it was given."""
        self.checked_s = now_s
        self.caught_up = False
        """Whether it has ever been given all changes that there were."""
        self.name = secrets.token_hex(8)
        self._log = log
        self._news = asyncio.Event()
        self._ended: Exception | None = None

    @property
    def place(self) -> Place:
        return self.caller.id, self.name

    def wake(self) -> None:
        self._news.set()

    def end(self, why: Exception) -> None:
        """Have `next` raise `why` from now on, unless it has another reason already."""
        self._ended = self._ended or why
        self._news.set()

    async def next(self) -> tuple[Change, ...]:
        """The changes after the last one that was given, as soon as there are any.

        Raises ChangesNotKept, or the reason why the connection has to end: NotAuthenticated, FeedStopped, an outage, or
        whatever `end` was given.
        """
        while True:
            self._news.clear()  # before the log is asked: a change committed after the log's answer sets it again
            if self._ended is not None:
                raise self._ended
            with suppress(DatabaseUnavailable):  # the next poll of the log wakes this follower again
                page = await self._log.after(self.caller.id, self.seq, most=PAGE)
                if self.seq < page.trimmed_seq:
                    raise ChangesNotKept
                if page.changes:
                    self.seq = page.changes[-1].seq
                    return page.changes
                self.caught_up = True
            await self._news.wait()


class LiveFeed:
    """All followers that are connected to this process."""

    def __init__(
        self, changes: ChangeService, wake_ups: WakeUpPort, places: PlacePort, check: Check, now_s: Callable[[], float]
    ) -> None:
        self._changes = changes
        self._wake_ups = wake_ups
        self._places = places
        self._check = check
        self._now_s = now_s
        self._followers: dict[int, set[Follower]] = {}
        self._anybody = asyncio.Event()
        self._stopped = False
        self._not_freed: deque[Place] = deque(maxlen=MOST_NOT_FREED)
        """Places that were left while their store did not answer."""
        self._failed: set[type[Exception]] = set()
        """The kinds of errors, but for outages, that the last round of checks met: they are logged already."""

    async def admit(self, caller: Caller, after: int | None) -> int:
        """The number after which the caller's changes follow: the given one, or that of the latest change.

        Raises NotAuthenticated, ChangesNotKept, InvalidFields, outages.
        """
        await self._check(caller)
        if after is None:
            return await self._changes.last(by=caller)
        await self._changes.after(after, most=0, by=caller)
        return after

    @asynccontextmanager
    async def following(self, caller: Caller, seq: int) -> AsyncIterator[Follower]:
        """A follower of the caller's changes after that number. Raises TooManyFollowers, FeedStopped."""
        if self._stopped:
            raise FeedStopped
        follower = Follower(self._changes.log, caller, seq, self._now_s())
        await self._take_place(follower)
        try:
            yield follower
        finally:
            await self._leave(follower)

    def wake(self, user_id: int) -> None:
        """Wake the user's followers: an activity of the user has changed, or may have."""
        for follower in self._followers.get(user_id, ()):
            follower.wake()

    def stop(self) -> None:
        """End all connections, and accept no more."""
        self._stopped = True
        for follower in self._all():
            follower.end(FeedStopped())

    async def run(self) -> None:
        """Listen, poll and check, until cancelled."""
        await asyncio.gather(
            _every(LISTEN_AGAIN_S, self._listen),
            _every(POLL_S, self.poll),
            _every(CHECK_S, self.check_standings),
        )

    async def _listen(self) -> None:
        """Listen while anybody is connected: a process without followers need not bear the cost of every change."""
        await self._anybody.wait()
        listening = asyncio.ensure_future(self._wake_ups.listen(self.wake))
        try:
            while self._followers and not listening.done():
                await asyncio.wait({listening}, timeout=CHECK_S)
        finally:
            listening.cancel()
            await asyncio.wait({listening})
        if not listening.cancelled():
            listening.result()  # why it ended by itself

    async def poll(self) -> None:
        """Wake every follower that is behind the log, by one query for all. Raises DatabaseUnavailable."""
        if not self._followers:
            return
        last = await self._changes.log.last([*self._followers])
        for user_id, seq in last.items():
            for follower in self._followers.get(user_id, ()):
                if follower.seq < seq:
                    follower.wake()

    async def check_standings(self) -> None:
        """End the connections whose tokens or sessions have ended, and keep the places of the others.

        Raises TicketsUnavailable.
        """
        left, errors = iter(self._all()), list[Exception | None]()
        while some := [*islice(left, CHECKED_AT_ONCE)]:
            errors += await asyncio.gather(*(self._check_one(follower) for follower in some))
        self._log_new({type(error): error for error in errors if error is not None})
        for _ in range(len(self._not_freed)):
            await self._free(self._not_freed.popleft())
        # Lazily: a place that is left meanwhile must not be taken again for a connection that is gone.
        await self._places.keep(follower.place for follower in self._all() if self._follows(follower))

    async def _check_one(self, follower: Follower) -> Exception | None:
        """Returns the error of a check that failed for another reason than an outage."""
        try:
            await self._check(follower.caller)
        except NotAuthenticated as ended:
            follower.end(ended)
        except Exception as error:  # noqa: BLE001 - the others of the round have to be checked
            if self._now_s() - follower.checked_s > UNKNOWN_S:
                follower.end(error)
            return None if isinstance(error, Outage) else error
        else:
            follower.checked_s = self._now_s()
        return None

    def _log_new(self, errors: Mapping[type[Exception], Exception]) -> None:
        for kind in errors.keys() - self._failed:
            _log.error(
                "a connection to the live feed cannot be checked; the next round tries again", exc_info=errors[kind]
            )
        self._failed = {*errors}

    async def _take_place(self, follower: Follower) -> None:
        of_user = self._followers.setdefault(follower.caller.id, set())
        self._anybody.set()
        of_user.add(follower)  # first, so that no two that begin at once both find room here
        free = len(of_user) <= MOST_OF_USER
        try:
            with suppress(Outage):
                free = free and await self._places.take(follower.place, most=MOST_OF_USER)
        except BaseException:
            await self._leave(follower)
            raise
        if not free:
            self._forget(follower)
            raise TooManyFollowers(MOST_OF_USER)

    async def _leave(self, follower: Follower) -> None:
        self._forget(follower)
        with suppress(Outage):
            await asyncio.shield(asyncio.ensure_future(self._free(follower.place)))

    async def _free(self, place: Place) -> None:
        """Free the place now, or with the next round of checks. Raises TicketsUnavailable."""
        try:
            await self._places.leave(place)
        except Outage:
            self._not_freed.append(place)
            raise

    def _follows(self, follower: Follower) -> bool:
        return follower in self._followers.get(follower.caller.id, ())

    def _forget(self, follower: Follower) -> None:
        of_user = self._followers.get(follower.caller.id, set())
        of_user.discard(follower)
        if not of_user:
            self._followers.pop(follower.caller.id, None)
        if not self._followers:
            self._anybody.clear()

    def _all(self) -> list[Follower]:
        return [follower for of_user in self._followers.values() for follower in of_user]


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Outage:
            pass
        except Exception:  # noqa: BLE001 - the rounds have to go on
            _log.exception("a round of the live feed failed; the next one tries again")
