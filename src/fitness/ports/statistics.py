"""What a person's activities add up to."""

from typing import Protocol

from fitness.domain.model.statistics import Found, StatisticsFilter


class StatisticsRepoPort(Protocol):
    """Totals of live activities. Every method raises DatabaseUnavailable when there is no answer.

    Totals may be kept beside the activities. Each change of an activity then changes them in the same transaction, so
    that the totals found are always those of the live activities at one moment.
    """

    async def find(self, owner: int, which: StatisticsFilter) -> Found:
        """Totals of the owner's live activities that `which` asks for, without UNCOUNTED_TYPES."""

    async def rebuild(self, *, after: int = 0) -> int | None:
        """Compute the kept totals of one account anew: the first account after that id, whose changes wait meanwhile.

        Returns the account's id, to go on after it; None when there is no further account.
        """
