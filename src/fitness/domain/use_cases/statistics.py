"""What a person's activities add up to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from fitness.domain.model.activities import ActivityType
from fitness.domain.model.periods import Period
from fitness.domain.model.statistics import Statistics, StatisticsFilter, statistics_filter, statistics_of
from fitness.domain.model.time_zones import local_date
from fitness.domain.model.users import Calendar, Caller, still_there
from fitness.domain.use_cases.caching.keys import calendar_key, statistics_key
from fitness.domain.use_cases.caching.reads import CachedReads, Copy
from fitness.ports.clock import ClockPort
from fitness.ports.statistics import StatisticsRepoPort
from fitness.ports.users import UserRepoPort


@dataclass(frozen=True, slots=True)
class StatisticsService:
    repo: StatisticsRepoPort
    users: UserRepoPort
    cached: CachedReads
    clock: ClockPort

    async def find(
        self,
        *,
        period: Period,
        by: Caller,
        since: date | None = None,
        until: date | None = None,
        activity_types: Sequence[ActivityType] = (),
        tags: Sequence[str] = (),
        excluded_tags: Sequence[str] = (),
    ) -> Copy[Statistics]:
        """Statistics of the caller's activities; if no last day is given, up to today in the profile's time zone.

        Raises InvalidFields, NotAuthenticated when the account is gone.
        """
        calendar = await self._calendar(by)
        today = local_date(self.clock.now(), calendar.timezone)
        which = statistics_filter(
            period=period,
            week_start=calendar.week_start,
            since=since,
            until=until,
            today=today,
            activity_types=activity_types,
            tags=tags,
            excluded_tags=excluded_tags,
        )
        # The key names the day, so that no copy is shown after midnight in the person's zone: a streak may end with the
        # day.
        key = statistics_key(by.id, which, today)
        return await self.cached.read_through(key, lambda: self._load(by, which, today))

    async def rebuild(self, *, after: int = 0) -> int | None:
        """For the command line: see StatisticsRepoPort. No copy is invalidated: right totals stay as they are, and
        copies of wrong totals are gone after five minutes.
        """
        return await self.repo.rebuild(after=after)

    async def _load(self, by: Caller, which: StatisticsFilter, today: date) -> Statistics:
        return statistics_of(await self.repo.find(by.id, which), which, today=today)

    async def _calendar(self, by: Caller) -> Calendar:
        async def load() -> Calendar:
            user = still_there(await self.users.get(by.id))
            return Calendar(user.timezone, user.week_start)

        return (await self.cached.read_through(calendar_key(by.id), load)).value
