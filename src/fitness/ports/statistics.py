"""What a person's activities add up to."""

from typing import Protocol

from fitness.domain.model.statistics import Found, StatisticsFilter


class StatisticsRepoPort(Protocol):
    """Totals of live activities. Every method raises DatabaseUnavailable when there is no answer.

    Totals may be kept beside the activities. They are then changed within each change of an activity, so that what is
    found here is always what the live activities add up to at one moment.
    """

    async def find(self, owner: int, which: StatisticsFilter) -> Found:
        """Of the owner's live activities that `which` asks for, but for UNCOUNTED_TYPES."""

    async def rebuild(self, *, after: int = 0) -> int | None:
        """Compute the kept totals of one account anew, the first one after that id; meanwhile its changes wait.

        Its id, to go on after; None when that was all.
        """
