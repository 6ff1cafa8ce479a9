"""Imports, the sweep and reading again, on the in-memory adapters: what is stored when, and what is left."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import NoReturn

import pytest

from fitness.adapters.memory.activities import InMemoryActivityRepo
from fitness.adapters.memory.cache import InMemoryCache
from fitness.adapters.memory.clock import ManualClock
from fitness.adapters.memory.objects import InMemoryObjectNames, InMemoryObjectStore
from fitness.adapters.memory.originals import InMemoryOriginalRepo
from fitness.adapters.memory.recordings import InMemoryRecordingReader
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.memory.users import InMemoryUserRepo
from fitness.domain.model.activities import Activity, ActivityType
from fitness.domain.model.objects import UNNAMED_FOR
from fitness.domain.model.originals import UploadedFile
from fitness.domain.model.recordings import ReadRecording, Recording
from fitness.domain.model.refusals import (
    ActivityExpired,
    ActivityInTrash,
    ActivityNotFound,
    DuplicateActivity,
    IdempotencyKeyReused,
    RecordingNotFound,
)
from fitness.domain.model.tags import TagCount, Tags
from fitness.domain.model.twins import OnDuplicate, Twin
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.activities import ActivityService
from fitness.domain.use_cases.caching.keys import tags_key
from fitness.domain.use_cases.caching.reads import CachedReads, Copy, Origin
from fitness.domain.use_cases.importing import ImportService
from fitness.domain.use_cases.originals import FAILED_BEFORE_DOWN, ObjectSweep, OriginalService
from fitness.domain.use_cases.rereading import RereadFile, RereadService
from fitness.ports.messages import IdempotencyKey
from fitness.ports.outages import DatabaseUnavailable, ObjectsUnavailable
from fitness.ports.recordings import FileIdentity
from tests.builders import NOW, a_registration, an_activity, messages
from tests.files import MORNING
from tests.unit.contracts.activities import authority
from tests.unit.processes import CachingProcess

TRASH_DAYS = 30

RUN = Recording(
    activity_type=ActivityType.RUN,
    started_at=MORNING,
    utc_offset=None,
    duration_s=900,
    elapsed_s=900,
    title="Loop",
    distance_m=3000,
)
SWIM = replace(RUN, activity_type=ActivityType.SWIM, title="Lanes", event=1)
RIDE = replace(RUN, activity_type=ActivityType.RIDE, started_at=MORNING + timedelta(hours=1), event=1)
OTHER_FORMAT = replace(RUN, started_at=MORNING + timedelta(seconds=20))

FILES: dict[bytes, Sequence[Recording]] = {
    b"run": [RUN],
    b"run, as gpx": [OTHER_FORMAT],
    b"triathlon": [SWIM, RIDE, OTHER_FORMAT],
}


@dataclass
class House:
    store: InMemoryStore
    clock: ManualClock
    objects: InMemoryObjectStore
    imports: ImportService
    originals: OriginalService
    rereading: RereadService
    sweep: ObjectSweep
    reads: CachedReads
    ann: Caller

    async def imported(self, content: bytes, on_duplicate: OnDuplicate = OnDuplicate.REFUSE) -> tuple[Activity, ...]:
        made = await self.imports.import_file(UploadedFile(content), by=self.ann, on_duplicate=on_duplicate)
        return made.activities

    async def trash(self, activity: Activity) -> None:
        repo = InMemoryActivityRepo(self.store)
        assert await repo.soft_delete(activity.id, owner=self.ann.id, at=NOW, messages=messages())

    async def purge(self, activity: Activity) -> None:
        await self.trash(activity)
        assert await InMemoryActivityRepo(self.store).purge(activity.id, messages=messages(authority=authority()))

    async def stored(self) -> list[str]:
        return [one.name async for some in self.objects.list() for one in some]

    def rules_become(self, **read: Sequence[Recording]) -> None:
        """What the files say from now on."""
        rules = FILES | {name.encode(): found for name, found in read.items()}
        self.rereading = replace(self.rereading, reader=InMemoryRecordingReader(rules))

    async def reread(self, *, dry_run: bool = False) -> list[RereadFile]:
        return [file async for file in self.rereading.reread(owner=self.ann.id, dry_run=dry_run)]

    def kept(self, activity: Activity) -> Activity:
        return self.store.activities[activity.id]

    def edit(self, activity: Activity, **stated: object) -> None:
        self.store.activities[activity.id] = replace(self.kept(activity), **stated)  # type: ignore[arg-type]


@pytest.fixture
async def house() -> House:
    store, clock = InMemoryStore(), ManualClock()
    repo, users, process = InMemoryActivityRepo(store), InMemoryUserRepo(store), CachingProcess(InMemoryCache(), store)
    await process.relay.relay()
    originals, objects = InMemoryOriginalRepo(store), InMemoryObjectStore(clock)
    reader = InMemoryRecordingReader(FILES)
    activities = ActivityService(repo, users, process.reads, process.changes, clock, TRASH_DAYS)
    user = await users.add(a_registration(timezone="Europe/Paris"), password_hash="-", at=clock.now())
    return House(
        store=store,
        clock=clock,
        objects=objects,
        imports=ImportService(repo, originals, objects, users, process.changes, reader, clock),
        originals=OriginalService(activities, originals, objects),
        rereading=RereadService(originals, objects, process.changes, reader, clock),
        sweep=ObjectSweep(objects, InMemoryObjectNames(store), clock),
        reads=process.reads,
        ann=Caller(user.id, "session"),
    )


class SlowReader(InMemoryRecordingReader):
    """Takes a minute for each file."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(FILES)
        self._clock = clock

    async def read(self, data: bytes, identity: FileIdentity, *, home_timezone: str, now: datetime) -> ReadRecording:
        self._clock.advance(timedelta(minutes=1))
        return await super().read(data, identity, home_timezone=home_timezone, now=now)


async def test_an_activity_is_made_when_its_file_has_been_read(house: House):
    imports = replace(house.imports, reader=SlowReader(house.clock))
    began = house.clock.now()
    made = await imports.import_file(UploadedFile(b"run"), by=house.ann)
    assert [one.created_at for one in made.activities] == [began + timedelta(minutes=1)]


class TestImport:
    async def test_the_file_is_stored_and_given_back_to_its_owner(self, house: House):
        (run,) = await house.imported(b"run")
        original = await house.originals.original(run.id, by=house.ann)
        content = await house.originals.content(original, run.id)
        assert b"".join([chunk async for chunk in content]) == b"run"
        with pytest.raises(ActivityNotFound):
            await house.originals.original(run.id, by=Caller(999, "session"))

    async def test_what_has_no_file_says_so(self, house: House):
        added = await InMemoryActivityRepo(house.store).add(an_activity(user_id=house.ann.id), messages=messages())
        with pytest.raises(RecordingNotFound):
            await house.originals.original(added.activity.id, by=house.ann)
        (run,) = await house.imported(b"run")
        await house.trash(run)
        with pytest.raises(ActivityInTrash):
            await house.originals.original(run.id, by=house.ann)
        house.clock.advance(timedelta(days=TRASH_DAYS))
        with pytest.raises(ActivityExpired):
            await house.originals.original(run.id, by=house.ann)

    async def test_a_file_that_is_lost_is_not_found(self, house: House):
        (run,) = await house.imported(b"run")
        original = await house.originals.original(run.id, by=house.ann)
        await house.objects.delete(original.object_name)
        with pytest.raises(RecordingNotFound):
            await house.originals.content(original, run.id)

    async def test_the_parts_of_an_event_share_the_id_of_the_first(self, house: House):
        swim, ride, run = await house.imported(b"triathlon")
        assert (swim.group_id, ride.group_id, run.group_id) == (swim.id, swim.id, None)
        assert house.kept(ride) == ride

    async def test_the_same_recording_in_another_file_is_refused_skipped_or_kept(self, house: House):
        (run,) = await house.imported(b"run")
        for content in (b"run", b"run, as gpx", b"triathlon"):
            with pytest.raises(DuplicateActivity) as refusal:
                await house.imported(content)
            assert refusal.value.existing_id == run.id
        for content in (b"run", b"run, as gpx"):
            assert await house.imported(content, OnDuplicate.SKIP) == ()
        assert len(await house.stored()) == 1
        made = await house.imports.import_file(UploadedFile(b"triathlon"), by=house.ann, on_duplicate=OnDuplicate.SKIP)
        assert ([one.activity_type for one in made.activities], made.existing) == (["swim", "ride"], (run.id,))
        assert len(await house.imported(b"run, as gpx", OnDuplicate.KEEP)) == 1
        with pytest.raises(DuplicateActivity):
            await house.imported(b"run", OnDuplicate.KEEP)
        assert len(await house.stored()) == 3

    async def test_what_of_an_event_is_left_is_a_group_only_if_it_is_several(self, house: House):
        await house.imported(b"triathlon")
        swim, ride, _ = [*house.store.activities.values()]
        house.edit(swim, external_id=None)
        house.edit(ride, external_id=None, activity_date=MORNING)
        made = await house.imported(b"triathlon", OnDuplicate.SKIP)
        assert [(one.activity_type, one.group_id) for one in made] == [("ride", None)]

    @pytest.mark.parametrize("on_duplicate", [OnDuplicate.SKIP, OnDuplicate.REFUSE])
    async def test_an_activity_that_somebody_adds_meanwhile_counts_as_well(
        self, house: House, on_duplicate: OnDuplicate
    ):
        class Late(InMemoryOriginalRepo):
            """Another process imports the same ride, after this one has looked."""

            others = 1

            async def twins(self, owner: int, activities: Sequence[Activity]) -> list[Twin | None]:
                found = await super().twins(owner, activities)
                if self.others:
                    self.others = 0
                    await house.imported(b"run")
                return found

        late = replace(house.imports, originals=Late(house.store), reader=InMemoryRecordingReader(FILES))
        importing = late.import_file(UploadedFile(b"run, as gpx"), by=house.ann, on_duplicate=on_duplicate)
        if on_duplicate is OnDuplicate.REFUSE:
            with pytest.raises(DuplicateActivity):
                await importing
        else:
            made = await importing
            assert (made.activities, len(made.existing)) == ((), 1)
        assert len(await house.stored()) == 1

    async def test_a_file_that_may_have_been_named_is_left_to_the_sweep(self, house: House):
        class Silent(InMemoryOriginalRepo):
            async def add(self, *_: object, **__: object) -> NoReturn:
                raise DatabaseUnavailable

        silent = replace(house.imports, originals=Silent(house.store))
        with pytest.raises(DatabaseUnavailable):
            await silent.import_file(UploadedFile(b"run"), by=house.ann)
        assert len(await house.stored()) == 1
        assert await house.sweep.sweep() == 0
        house.clock.advance(UNNAMED_FOR + timedelta(seconds=1))
        assert await house.sweep.sweep() == 1
        assert await house.stored() == []

    async def test_a_request_that_is_sent_again_is_answered_as_it_was(self, house: House):
        def keyed(content: bytes) -> IdempotencyKey:
            return IdempotencyKey("k", sha256(content).hexdigest())

        importing = partial(house.imports.import_file, by=house.ann)
        first = await importing(UploadedFile(b"triathlon"), idempotency=keyed(b"triathlon"))
        house.edit(first.activities[0], title="Mine", version=2)
        await house.trash(first.activities[1])
        again = await importing(UploadedFile(b"triathlon"), idempotency=keyed(b"triathlon"))
        assert again == replace(first, replayed=True)
        with pytest.raises(IdempotencyKeyReused):
            await importing(UploadedFile(b"run"), idempotency=keyed(b"run"))
        await house.purge(first.activities[2])
        again = await importing(UploadedFile(b"triathlon"), idempotency=keyed(b"triathlon"))
        assert again.activities == first.activities[:2]
        house.clock.advance(timedelta(hours=24))
        with pytest.raises(DuplicateActivity):
            await importing(UploadedFile(b"triathlon"), idempotency=keyed(b"triathlon"))

    async def test_the_answer_says_again_what_was_skipped(self, house: House):
        (run,) = await house.imported(b"run")
        key = IdempotencyKey("k", sha256(b"triathlon").hexdigest())
        importing = partial(
            house.imports.import_file, UploadedFile(b"triathlon"), by=house.ann, on_duplicate=OnDuplicate.SKIP
        )
        first = await importing(idempotency=key)
        assert (len(first.activities), first.existing) == (2, (run.id,))
        assert await importing(idempotency=key) == replace(first, replayed=True)

    async def test_the_next_list_shows_what_a_request_that_is_sent_again_was_answered(self, house: House):
        """Whoever imported it may have died before its invalidation."""

        async def tags(value: str) -> Copy[Tags]:
            async def load() -> Tags:
                return Tags((TagCount(value, 1),))

            return await house.reads.read_through(tags_key(house.ann.id), load)

        key = IdempotencyKey("k", sha256(b"run").hexdigest())
        await house.imports.import_file(UploadedFile(b"run"), by=house.ann, idempotency=key)
        assert (await tags("before")).origin is Origin.MISS
        assert (await tags("after")).origin is Origin.HIT
        await house.imports.import_file(UploadedFile(b"run"), by=house.ann, idempotency=key)
        assert (await tags("after")).origin is Origin.MISS


class TestSweep:
    async def test_a_named_file_is_never_swept(self, house: House):
        (run,) = await house.imported(b"run")
        house.clock.advance(UNNAMED_FOR * 2)
        assert await house.sweep.sweep() == 0
        await house.trash(run)
        assert await house.sweep.sweep() == 0
        assert len(await house.stored()) == 1

    async def test_the_file_of_what_was_purged_is_deleted_at_once(self, house: House):
        swim, ride, run = await house.imported(b"triathlon")
        for one in (swim, ride):
            await house.purge(one)
            assert await house.sweep.delete_released() == 0
        await house.purge(run)
        assert await house.sweep.delete_released() == 1
        assert await house.stored() == []
        assert await house.sweep.delete_released() == 0


class Refusing(InMemoryObjectStore):
    """Deletes all but some, or nothing."""

    refused: frozenset[str] | None = None

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.asked: list[str] = []

    async def delete(self, name: str) -> None:
        self.asked.append(name)
        if self.refused is None or name in self.refused:
            raise ObjectsUnavailable(f"{name} is locked")
        await super().delete(name)


class TestObjectsThatAreNotDeleted:
    @pytest.fixture
    def store(self) -> InMemoryStore:
        store = InMemoryStore()
        store.released += [str(number) for number in range(250)]
        return store

    async def test_they_keep_no_others_and_stay_to_be_deleted(self, store: InMemoryStore):
        objects = Refusing(ManualClock())
        objects.refused = frozenset(["0", "1", "2", "3", "120"])
        with pytest.raises(ObjectsUnavailable, match="0 is locked"):
            await ObjectSweep(objects, InMemoryObjectNames(store), ManualClock()).delete_released()
        assert {*store.released} == objects.refused

    async def test_a_store_that_is_down_is_not_asked_for_each(self, store: InMemoryStore):
        objects = Refusing(ManualClock())
        with pytest.raises(ObjectsUnavailable):
            await ObjectSweep(objects, InMemoryObjectNames(store), ManualClock()).delete_released()
        assert len(objects.asked) == FAILED_BEFORE_DOWN
        assert len(store.released) == 250


class TestReread:
    async def test_todays_rules_change_what_nobody_has_edited(self, house: House):
        (run,) = await house.imported(b"run")
        house.edit(run, title="Mine", version=2)
        house.rules_become(run=[replace(RUN, title="Round", duration_s=840, calories_kcal=300)])
        (file,) = await house.reread(dry_run=True)
        ((reading, result),) = file.changes
        assert (result.differing, result.edited) == (("duration_minutes", "calories_kcal"), ("title",))
        assert house.kept(run) == reading.activity
        (again,) = await house.reread()
        assert again.changes == file.changes
        after = house.kept(run)
        assert (after.title, after.duration_minutes, after.calories_kcal, after.version) == ("Mine", 14, 300, 3)
        (second,) = await house.reread()
        assert [result.differing for _, result in second.changes] == [()]
        assert house.kept(run) == after

    async def test_rules_that_did_not_change_change_nothing(self, house: House):
        for content in (b"run", b"triathlon"):
            await house.imported(content, OnDuplicate.SKIP)
        before = {**house.store.activities}
        assert [file.changes for file in await house.reread()] == [(), ()]
        assert house.store.activities == before

    async def test_a_file_is_read_in_the_zone_of_its_import(self, house: House):
        (run,) = await house.imported(b"run")
        house.store.users[house.ann.id] = replace(house.store.users[house.ann.id], timezone="Asia/Tokyo")
        assert [file.changes for file in await house.reread()] == [()]
        assert house.kept(run).timezone == "Europe/Paris"

    async def test_each_activity_is_changed_as_its_part_of_the_file_says(self, house: House):
        await house.imported(b"run")
        swim, ride = await house.imported(b"triathlon", OnDuplicate.SKIP)
        house.rules_become(triathlon=[replace(SWIM, distance_m=1), replace(RIDE, distance_m=2), OTHER_FORMAT])
        await house.reread()
        assert (house.kept(swim).distance_km, house.kept(ride).distance_km) == (0.001, 0.002)

    async def test_what_is_in_the_trash_is_left_alone(self, house: House):
        (run,) = await house.imported(b"run")
        await house.trash(run)
        trashed = house.kept(run)
        house.rules_become(run=[replace(RUN, duration_s=1)])
        assert [file.changes for file in await house.reread()] == [()]
        assert house.kept(run) == trashed

    async def test_a_file_that_makes_other_activities_today_or_none_is_told_and_left(self, house: House):
        (run,) = await house.imported(b"run")
        for rules in ([RUN, RIDE], []):
            house.rules_become(run=rules)
            (file,) = await house.reread()
            assert file.failed
            assert file.changes == ()
        await house.objects.delete(next(iter(house.store.originals.values())).object_name)
        (file,) = await house.reread()
        assert file.failed == "the file is not in the store"
        assert house.kept(run) == run

    async def test_a_change_that_comes_meanwhile_is_kept(self, house: House):
        (run,) = await house.imported(b"run")

        class Busy(InMemoryOriginalRepo):
            """Somebody edits the title between the look and the update."""

            edits = 1

            async def update(self, activity: Activity, *args: object, **given: object) -> bool:
                if self.edits:
                    self.edits = 0
                    house.edit(run, title="Mine", version=2)
                return await super().update(activity, *args, **given)  # type: ignore[arg-type]

        house.rules_become(run=[replace(RUN, title="Round", distance_m=3100)])
        house.rereading = replace(house.rereading, originals=Busy(house.store))
        await house.reread()
        after = house.kept(run)
        assert (after.title, after.distance_km, after.version) == ("Mine", 3.1, 3)
