"""The import of recorded files as activities."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from fitness.domain.model.activities import Activity, recorded
from fitness.domain.model.originals import NewOriginal, UploadedFile, first_answer, media_type_of
from fitness.domain.model.recordings import ReadRecording
from fitness.domain.model.refusals import DuplicateActivity, IdempotencyKeyReused, MatchedOn, Refusal
from fitness.domain.model.twins import OnDuplicate
from fitness.domain.model.users import Caller, User, still_there
from fitness.domain.use_cases.caching.invalidation import Changes
from fitness.domain.use_cases.caching.keys import user_scope
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.clock import ClockPort
from fitness.ports.messages import IdempotencyKey
from fitness.ports.objects import ObjectStorePort
from fitness.ports.originals import REQUEST_KEY_KEPT_FOR, OriginalRepoPort
from fitness.ports.outages import ObjectsUnavailable
from fitness.ports.recordings import RecordingReaderPort
from fitness.ports.users import UserRepoPort

Charge = Callable[[int], Awaitable[object]]
"""Is called with the number of activities that a file makes, before any is kept. If it raises, none is kept."""

T = TypeVar("T")


async def _free_of_charge(_: int) -> None:
    return


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """The result of an import of one file."""

    activities: tuple[Activity, ...] = ()
    """The activities that the file made, in its order."""
    existing: tuple[int, ...] = ()
    """The ids of live activities that other activities of the file are the same as; the latter were skipped."""
    warnings: tuple[str, ...] = ()
    """What was left out of the file, in sentences."""
    recovered: bool = False
    """Whether some of it was made of the points of a file that is damaged or was never finished."""
    replayed: bool = False
    """Whether an earlier request with the same key made the activities, which are as they were then."""


@dataclass(frozen=True, slots=True)
class ImportService:
    """A file is known by its content: uploaded again, packed or not, it makes no second activity.

    The file is stored before its activities, and the activities are stored together with the file's name. So no
    activity is without its file, whenever the process is killed. A file without an activity may be left; the sweep
    deletes it.
    """

    repo: ActivityRepoPort
    originals: OriginalRepoPort
    objects: ObjectStorePort
    users: UserRepoPort
    changes: Changes
    reader: RecordingReaderPort
    clock: ClockPort

    async def import_file(
        self,
        upload: UploadedFile,
        *,
        by: Caller,
        charge: Charge = _free_of_charge,
        on_duplicate: OnDuplicate = OnDuplicate.REFUSE,
        idempotency: IdempotencyKey | None = None,
    ) -> ImportedFile:
        """Make an activity of each session in the file: all or none, apart from those to be skipped. One file of a user
        at a time.

        If cancelled while the file waits or is read, this ends at once and keeps nothing. After that it runs to its
        end. The fingerprint of `idempotency` is the SHA-256 of the file as it was uploaded.

        Raises a RecordingRefused, Overloaded, ReaderUnavailable, ObjectsUnavailable, DuplicateActivity,
        IdempotencyKeyReused, IdempotentRequestInFlight, InvalidFields where the device recorded impossible values, and
        what `charge` raises.
        """
        async with self.reader.turn(by.id):
            answered = await self._answered(idempotency, by)
            if answered is not None:
                return answered
            user = still_there(await self.users.get(by.id))
            identity = await self.reader.identify(upload.content)
            if on_duplicate is not OnDuplicate.SKIP:
                await self._refuse_known(identity.digest, by)
            now = self.clock.now()
            read = await self.reader.read(upload.content, identity, home_timezone=user.timezone, now=now)
            now = self.clock.now()  # reading may have taken a minute, in which nothing was made
            file = _File(upload, read, await self._recorded(read, user, now), user.timezone, idempotency)
            made = await self._without_twins(file, on_duplicate)
            await charge(len(made.places) or 1)
            if not made.places:
                return made.result()
            return await _to_its_end(self._keep(file, made, on_duplicate))

    async def _answered(self, idempotency: IdempotencyKey | None, by: Caller) -> ImportedFile | None:
        """The answer to an earlier request with the same key; None if there was none. Raises IdempotencyKeyReused."""
        if idempotency is None:
            return None
        since = self.clock.now() - REQUEST_KEY_KEPT_FOR
        original = await self.originals.of_request(by.id, idempotency.value, since=since)
        if original is None:
            return None
        if original.digest != idempotency.fingerprint:
            raise IdempotencyKeyReused
        readings = await self.originals.readings(original.id, live=False)
        await self.changes.refresh(user_scope(by.id))
        return ImportedFile(
            tuple(map(first_answer, readings)),
            original.existing_ids,
            original.warnings,
            original.recovered,
            replayed=True,
        )

    async def _refuse_known(self, digest: str, by: Caller) -> None:
        """Refuse a file that is known, so that it need not be read. Raises DuplicateActivity."""
        known = await self.repo.live_id(by.id, source="import", external_id=digest)
        if known is not None:
            raise DuplicateActivity(known, MatchedOn.FILE)

    async def _recorded(self, read: ReadRecording, user: User, now: datetime) -> list[Activity]:
        ids = await self.repo.new_ids(len(read.activities))
        return [
            recorded(new, id=id, user_id=user.id, timezone=new.timezone or user.timezone, now=now)
            for id, new in zip(ids, read.activities, strict=True)
        ]

    async def _without_twins(self, file: "_File", on_duplicate: OnDuplicate) -> "_Made":
        """What is to be made of the file. Raises DuplicateActivity."""
        twins = await self.originals.twins(file.owner, file.activities)
        if on_duplicate is OnDuplicate.SKIP:
            return file.without([None if twin is None else twin.existing_id for twin in twins])
        for twin in twins:
            if twin and (on_duplicate is OnDuplicate.REFUSE or twin.matched_on is not MatchedOn.START):
                raise DuplicateActivity(twin.existing_id, twin.matched_on)
        return file.without([None] * len(twins))

    async def _keep(self, file: "_File", made: "_Made", on_duplicate: OnDuplicate) -> ImportedFile:
        """Store the file, and then its activities."""
        name = await self.objects.put(file.upload.content)
        while True:  # ends: each further round means that somebody else's activity was committed
            try:
                return await self._keep_rows(file, made, name, refuse_twins=on_duplicate is not OnDuplicate.KEEP)
            except Refusal as refusal:
                if on_duplicate is not OnDuplicate.SKIP or not isinstance(refusal, DuplicateActivity):
                    await self._discard(name)
                    raise
            made = await self._without_twins(file, on_duplicate)
            if not made.places:
                await self._discard(name)
                return made.result()

    async def _keep_rows(self, file: "_File", made: "_Made", name: str, *, refuse_twins: bool) -> ImportedFile:
        add = partial(
            self.originals.add,
            made.activities,
            [place + 1 for place in made.places],
            original=file.original(name, made.existing),
            refuse_twins=refuse_twins,
        )
        await self.changes.make([user_scope(file.owner)], add)
        return made.result()

    async def _discard(self, name: str) -> None:
        """Delete the object of a file of which no activity was made. If that fails, the sweep deletes it later."""
        with suppress(ObjectsUnavailable):
            await self.objects.delete(name)


@dataclass(frozen=True, slots=True)
class _File:
    """A file that was read, and all activities that are in it, with their ids."""

    upload: UploadedFile
    read: ReadRecording
    activities: Sequence[Activity]
    home_timezone: str
    idempotency: IdempotencyKey | None

    @property
    def owner(self) -> int:
        return self.activities[0].user_id

    def without(self, existing: Sequence[int | None]) -> "_Made":
        """What to make of the file, without activities that exist. The remaining parts of an event share a group."""
        places = [place for place, known in enumerate(existing) if known is None]
        groups: dict[int, int] = {}
        for group in self.read.groups:
            left = [place for place in group if place in places]
            if len(left) > 1:
                groups |= dict.fromkeys(left, self.activities[left[0]].id)
        activities = [replace(self.activities[place], group_id=groups.get(place)) for place in places]
        known = dict.fromkeys(one for one in existing if one is not None)
        return _Made(self.read, tuple(places), tuple(activities), tuple(known))

    def original(self, object_name: str, existing: tuple[int, ...]) -> NewOriginal:
        content = self.upload.content
        return NewOriginal(
            object_name=object_name,
            media_type=media_type_of(content),
            file_name=self.upload.name,
            size_bytes=len(content),
            home_timezone=self.home_timezone,
            made=len(self.activities),
            warnings=self.read.warnings,
            recovered=self.read.recovered,
            existing_ids=existing,
            request_key=None if self.idempotency is None else self.idempotency.value,
        )


@dataclass(frozen=True, slots=True)
class _Made:
    """What is to be made of a file."""

    read: ReadRecording
    places: tuple[int, ...]
    """The places of the activities in the file."""
    activities: tuple[Activity, ...]
    existing: tuple[int, ...]

    def result(self) -> ImportedFile:
        return ImportedFile(self.activities, self.existing, self.read.warnings, self.read.recovered)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end even if the caller is cancelled: a stored file gets its rows committed, and a committed
    change gets its scopes invalidated.
    """
    working = asyncio.ensure_future(work)
    working.add_done_callback(lambda done: done.cancelled() or done.exception())  # if nobody awaits it any more
    return await asyncio.shield(working)
