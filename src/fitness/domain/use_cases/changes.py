"""The changes of a person's activities, which can be followed from any place in their order."""

from dataclasses import dataclass

from fitness.domain.model.changes import ChangePage
from fitness.domain.model.refusals import ChangesNotKept, FieldProblem, InvalidFields
from fitness.domain.model.users import Caller
from fitness.ports.changes import ChangeLogPort


@dataclass(frozen=True, slots=True)
class ChangeService:
    """The change log is not cached: a follower asks for changes that nobody has asked for yet."""

    log: ChangeLogPort

    async def after(self, seq: int | None, *, most: int, by: Caller) -> ChangePage:
        """The caller's first changes after that number; None means from the beginning of the log.

        Raises ChangesNotKept, and InvalidFields for a number that the caller's changes have not reached.
        """
        page = await self.log.after(by.id, seq or 0, most=most)
        if seq is None:
            return page
        if seq > page.last_seq:
            raise InvalidFields(FieldProblem("cursor", "was not given for your changes; ask for one with from=now"))
        if seq < page.trimmed_seq:
            raise ChangesNotKept
        return page

    async def last(self, *, by: Caller) -> int:
        """The number of the caller's latest change; 0 before the first."""
        return (await self.log.last([by.id])).get(by.id, 0)
