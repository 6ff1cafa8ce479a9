"""Recorded files made into activities."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from fitness.domain.model.activities import Activity, recorded
from fitness.domain.model.refusals import DuplicateActivity
from fitness.domain.model.users import Caller, still_there
from fitness.domain.use_cases.caching.invalidation import Changes
from fitness.domain.use_cases.caching.keys import user_scope
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.clock import ClockPort
from fitness.ports.recordings import RecordingReaderPort
from fitness.ports.users import UserRepoPort

Charge = Callable[[int], Awaitable[object]]
"""Is told how many activities a file makes, before any is kept. What it raises keeps them from being kept."""


async def _free_of_charge(_: int) -> None:
    return


@dataclass(frozen=True, slots=True)
class ImportService:
    """A file is known by its content: uploaded again, packed or not, it makes no second activity."""

    repo: ActivityRepoPort
    users: UserRepoPort
    changes: Changes
    reader: RecordingReaderPort
    clock: ClockPort

    async def import_file(self, data: bytes, *, by: Caller, charge: Charge = _free_of_charge) -> list[Activity]:
        """An activity for each session in the file, all or none. One file of a user at a time.

        Cancelled while the file waits or is read, it ends at once and keeps nothing. From then on it is carried out.

        Raises a RecordingRefused, Overloaded, ReaderUnavailable, DuplicateActivity, InvalidFields where the device
        recorded impossible values, and what `charge` raises.
        """
        async with self.reader.turn(by.id):
            user = still_there(await self.users.get(by.id))
            identity = await self.reader.identify(data)
            known = await self.repo.live_id(by.id, source="import", external_id=identity.digest)
            if known is not None:
                raise DuplicateActivity(known)
            now = self.clock.now()
            read = await self.reader.read(data, identity, home_timezone=user.timezone, now=now)
            await charge(len(read.activities))
            activities = [
                recorded(new, user_id=by.id, timezone=new.timezone or user.timezone, now=now) for new in read.activities
            ]
            return await self._keep(activities, by)

    async def _keep(self, activities: Sequence[Activity], by: Caller) -> list[Activity]:
        """To its end, also where the caller is cancelled: what is committed is invalidated."""
        keeping = asyncio.ensure_future(self.changes.make([user_scope(by.id)], partial(self.repo.add_all, activities)))
        keeping.add_done_callback(lambda kept: kept.cancelled() or kept.exception())  # if nobody awaits it any more
        return await asyncio.shield(keeping)
