"""Recorded files made into activities."""

import hashlib
from dataclasses import dataclass
from functools import partial

from fitness.domain.model.activities import Activity, checked, recorded
from fitness.domain.model.recordings import imported
from fitness.domain.model.refusals import DuplicateActivity
from fitness.domain.model.users import Caller, still_there
from fitness.domain.use_cases.caching.invalidation import Changes
from fitness.domain.use_cases.caching.keys import user_scope
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.clock import ClockPort
from fitness.ports.recordings import RecordingReaderPort
from fitness.ports.users import UserRepoPort


@dataclass(frozen=True, slots=True)
class ImportService:
    """A file is known by its content: uploaded again, packed or not, it makes no second activity."""

    repo: ActivityRepoPort
    users: UserRepoPort
    changes: Changes
    reader: RecordingReaderPort
    clock: ClockPort

    async def import_file(self, data: bytes, *, by: Caller) -> list[Activity]:
        """An activity for each session in the file, all or none.

        Raises a RecordingRefused, ReaderUnavailable, DuplicateActivity, InvalidFields where the device recorded
        impossible values.
        """
        user = still_there(await self.users.get(by.id))
        content = await self.reader.unpack(data)
        digest = hashlib.sha256(content).hexdigest()
        known = await self.repo.live_id(by.id, source="import", external_id=digest)
        if known is not None:
            raise DuplicateActivity(known)
        now = self.clock.now()
        activities = []
        for number, recording in enumerate(await self.reader.read(content), start=1):
            origin = digest if number == 1 else f"{digest}#{number}"
            new = checked(imported(recording, home_timezone=user.timezone, external_id=origin), now=now)
            zone = new.timezone or user.timezone
            activities.append(recorded(new, user_id=by.id, timezone=zone, now=now))
        return await self.changes.make([user_scope(by.id)], partial(self.repo.add_all, activities))
