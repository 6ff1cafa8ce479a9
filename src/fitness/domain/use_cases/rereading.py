"""Uploaded files read again with today's rules."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from fitness.domain.model.activities import NewActivity
from fitness.domain.model.originals import Original, Reading, Reread, details_of, reread
from fitness.domain.model.refusals import Refusal
from fitness.domain.use_cases.caching.invalidation import Changes
from fitness.domain.use_cases.caching.keys import activity_scope, user_scope
from fitness.ports.clock import ClockPort
from fitness.ports.objects import ObjectMissing, ObjectStorePort
from fitness.ports.originals import OriginalRepoPort
from fitness.ports.recordings import RecordingReaderPort


@dataclass(frozen=True, slots=True)
class RereadFile:
    """The result of reading one file again."""

    original: Original
    changes: tuple[tuple[Reading, Reread], ...] = ()
    """What each live activity of the file was and is now, if it changes or keeps an edited field."""
    failed: str | None = None
    """Why the file could not be read again; its activities stay as they are."""


@dataclass(frozen=True, slots=True)
class RereadService:
    """For operators. What a person has changed since the import is kept, and what is in the trash is left alone."""

    originals: OriginalRepoPort
    objects: ObjectStorePort
    changes: Changes
    reader: RecordingReaderPort
    clock: ClockPort

    async def reread(self, *, owner: int | None = None, dry_run: bool = False) -> AsyncIterator[RereadFile]:
        """Read each file again, the owner's or everybody's, in the order of their ids. Raises outages."""
        last = 0
        while some := await self.originals.after(last, owner=owner):
            for original in some:
                yield await self._reread_file(original, dry_run=dry_run)
            last = some[-1].id

    async def _reread_file(self, original: Original, *, dry_run: bool) -> RereadFile:
        readings = await self.originals.readings(original.id, live=True)
        if not readings:
            return RereadFile(original)
        try:
            anew = await self._read(original)
        except ObjectMissing:
            return RereadFile(original, failed="the file is not in the store")
        except Refusal as refusal:
            return RereadFile(original, failed=str(refusal))
        if len(anew) != original.made:
            return RereadFile(original, failed=f"it made {original.made} activities, and would make {len(anew)} today")
        found = [(reading, await self._take_over(reading, anew[reading.number - 1], dry_run)) for reading in readings]
        return RereadFile(original, tuple(one for one in found if one[1].differing or one[1].edited))

    async def _read(self, original: Original) -> tuple[NewActivity, ...]:
        content = await self.objects.get(original.object_name)
        identity = await self.reader.identify(content)
        now = self.clock.now()
        read = await self.reader.read(content, identity, home_timezone=original.home_timezone, now=now)
        return read.activities

    async def _take_over(self, reading: Reading, anew: NewActivity, dry_run: bool) -> Reread:
        details = details_of(anew)
        while True:  # ends: each further round means that somebody else's change was committed
            result = reread(reading, details, now=self.clock.now())
            if dry_run:
                return result
            if result.activity is reading.activity:
                if details != reading.details:
                    await self.originals.read_anew(reading.activity.id, details)
                return result
            activity = result.activity
            stale = activity_scope(activity.id), user_scope(activity.user_id)
            if await self.changes.make(stale, partial(self.originals.update, activity, details)):
                return result
            present = await self.originals.reading(activity.id)
            if present is None:  # trashed or purged meanwhile
                return Reread(reading.activity)
            reading = present
