"""What every OriginalRepoPort and ObjectNamesPort promise."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields, replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from fitness.domain.model.activities import Activity, ActivityType, revised
from fitness.domain.model.listings import Page
from fitness.domain.model.originals import NewOriginal, Original, details_of
from fitness.domain.model.refusals import (
    DuplicateActivity,
    IdempotentRequestInFlight,
    MatchedOn,
    UserNotFound,
)
from fitness.domain.model.twins import Twin
from fitness.domain.model.users import User
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.cache import Scope
from fitness.ports.objects import ObjectNamesPort
from fitness.ports.originals import REQUEST_KEY_KEPT_FOR, OriginalRepoPort
from fitness.ports.outbox import OutboxPort
from fitness.ports.users import UserRepoPort
from tests.builders import LUNCH, NOW, a_registration, an_activity, messages
from tests.unit.contracts.activities import EVERYTHING, LATER, UNKNOWN_ID, authority, purge, soft_delete

_numbers = count(1)

Keep = Callable[..., Awaitable[tuple[Original, list[Activity]]]]


def an_original(**stated: Any) -> NewOriginal:
    plain: dict[str, Any] = {
        "object_name": f"ab/{next(_numbers)}",
        "media_type": "application/gpx+xml",
        "file_name": "Höhenweg.gpx",
        "size_bytes": 7,
        "home_timezone": "Europe/Paris",
        "made": 3,
        "warnings": ("a point without a time was left out",),
    }
    return NewOriginal(**plain | stated)


class OriginalRepoContract:
    """An implementation's class gives `repo`, `users`, `originals`, `names` and `outbox` over one store."""

    @pytest.fixture
    async def owner(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    @pytest.fixture
    async def stranger(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    @pytest.fixture
    def keep(self, repo: ActivityRepoPort, originals: OriginalRepoPort, owner: User) -> Keep:
        async def keep(
            *activities: Activity, refuse_twins: bool = False, stale: Sequence[Scope] = (), **stated: Any
        ) -> tuple[Original, list[Activity]]:
            """Keep the given activities, or two new ones of the owner, as the first activities of a file."""
            new = activities or [imported(owner), imported(owner)]
            ids = await repo.new_ids(len(new))
            named = [replace(one, id=id) for one, id in zip(new, ids, strict=True)]
            places = range(1, len(named) + 1)
            added = await originals.add(
                named, places, original=an_original(**stated), refuse_twins=refuse_twins, messages=messages(*stale)
            )
            original = await originals.of_activity(named[0].id, owner=named[0].user_id)
            assert original is not None
            return original, added

        return keep

    # add

    async def test_what_is_added_is_read_back_whole(
        self, repo: ActivityRepoPort, originals: OriginalRepoPort, owner: User, keep: Keep
    ):
        stated = {"request_key": "k 2", "file_name": None, "recovered": True, "existing_ids": (7, 2**40)}
        original, (first, second) = await keep(**stated)
        assert (original.user_id, original.stored_at, original.made) == (owner.id, first.created_at, 3)
        expected = an_original(**stated, object_name=original.object_name)
        assert all(getattr(original, field.name) == getattr(expected, field.name) for field in fields(expected))
        assert await originals.of_activity(second.id, owner=owner.id) == original
        assert await repo.get(first.id) == first
        readings = await originals.readings(original.id, live=True)
        assert [(one.number, one.details, one.activity) for one in readings] == [
            (1, details_of(first), first),
            (2, details_of(second), second),
        ]

    async def test_it_carries_its_messages(self, outbox: OutboxPort, keep: Keep):
        stale = Scope("user", 7)
        await keep(stale=[stale])
        assert [one.scopes for one in await outbox.pending()] == [(stale,)]

    async def test_of_an_unknown_user_nothing_is_kept(
        self, originals: OriginalRepoPort, outbox: OutboxPort, keep: Keep
    ):
        with pytest.raises(UserNotFound):
            await keep(an_activity(user_id=UNKNOWN_ID), stale=[Scope("user", 7)])
        assert await originals.after(0) == []
        assert list(await outbox.pending()) == []

    async def test_the_same_file_again_is_refused_and_nothing_of_it_kept(
        self, repo: ActivityRepoPort, originals: OriginalRepoPort, owner: User, keep: Keep
    ):
        _, (known,) = await keep(imported(owner, external_id="x"))
        with pytest.raises(DuplicateActivity) as refusal:
            await keep(imported(owner), imported(owner, external_id="x"))
        assert (refusal.value.existing_id, refusal.value.matched_on) == (known.id, MatchedOn.FILE)
        assert (await repo.list(owner.id, EVERYTHING, Page())).total == 1
        assert len(await originals.after(0)) == 1

    async def test_a_twin_is_refused_only_where_twins_are(
        self, repo: ActivityRepoPort, owner: User, stranger: User, keep: Keep
    ):
        _, (known,) = await keep(imported(owner, activity_date=LUNCH))
        later = LUNCH + timedelta(seconds=60)
        with pytest.raises(DuplicateActivity) as refusal:
            await keep(imported(owner, activity_date=later), refuse_twins=True)
        assert (refusal.value.existing_id, refusal.value.matched_on) == (known.id, MatchedOn.START)
        await keep(imported(stranger, activity_date=LUNCH), refuse_twins=True)
        await keep(imported(owner, activity_date=later))
        assert (await repo.list(owner.id, EVERYTHING, Page())).total == 2

    async def test_of_one_ride_in_many_formats_at_once_one_is_kept(
        self, repo: ActivityRepoPort, originals: OriginalRepoPort, owner: User, keep: Keep
    ):
        formats = [imported(owner, activity_date=LUNCH + timedelta(seconds=number)) for number in range(10)]
        outcomes = await asyncio.gather(*(keep(one, refuse_twins=True) for one in formats), return_exceptions=True)
        assert sum(isinstance(one, DuplicateActivity) for one in outcomes) == 9
        assert (await repo.list(owner.id, EVERYTHING, Page())).total == 1
        assert len(await originals.after(0)) == 1

    # request keys

    async def test_a_request_is_known_by_its_key_for_a_day(
        self, originals: OriginalRepoPort, owner: User, stranger: User, keep: Keep
    ):
        original, _ = await keep(request_key="k")
        before = original.stored_at - timedelta(seconds=1)
        assert await originals.of_request(owner.id, "k", since=before) == original
        assert await originals.of_request(owner.id, "k", since=original.stored_at) is None
        assert await originals.of_request(owner.id, "j", since=before) is None
        assert await originals.of_request(stranger.id, "k", since=before) is None
        with pytest.raises(IdempotentRequestInFlight):
            await keep(request_key="k")
        much_later = original.stored_at + REQUEST_KEY_KEPT_FOR
        again, _ = await keep(imported(owner, at=much_later), request_key="k")
        assert await originals.of_request(owner.id, "k", since=before) == again

    async def test_of_many_requests_with_one_key_at_once_one_is_carried_out(
        self, originals: OriginalRepoPort, keep: Keep
    ):
        outcomes = await asyncio.gather(*(keep(request_key="k") for _ in range(10)), return_exceptions=True)
        assert sum(isinstance(one, IdempotentRequestInFlight) for one in outcomes) == 9
        assert len(await originals.after(0)) == 1

    # twins

    async def test_a_twin_is_live_and_the_owners_and_of_the_file_before_one_of_the_start(
        self, repo: ActivityRepoPort, originals: OriginalRepoPort, owner: User, stranger: User, keep: Keep
    ):
        _, (by_start, by_file) = await keep(imported(owner, activity_date=LUNCH), imported(owner, external_id="x"))
        _, (trashed,) = await keep(imported(owner, activity_date=LUNCH - timedelta(days=400)))
        await soft_delete(repo, trashed.id, owner=owner.id, at=LATER)
        asked = [
            imported(owner, activity_date=LUNCH),
            imported(owner, activity_date=LUNCH, external_id="x"),
            imported(owner, activity_date=LUNCH + timedelta(seconds=61)),
            imported(owner, activity_date=LUNCH, activity_type=ActivityType.SWIM),
            imported(owner, activity_date=LUNCH, activity_type=ActivityType.WORKOUT),
            imported(owner, activity_date=trashed.activity_date),
        ]
        start, file = Twin(by_start.id, MatchedOn.START), Twin(by_file.id, MatchedOn.FILE)
        assert await originals.twins(owner.id, asked) == [start, file, None, None, start, None]
        assert await originals.twins(stranger.id, asked) == [None] * 6

    # looking

    async def test_a_file_is_found_by_its_owners_live_activities(
        self, repo: ActivityRepoPort, originals: OriginalRepoPort, owner: User, stranger: User, keep: Keep
    ):
        original, (first, second) = await keep()
        assert await originals.of_activity(first.id, owner=stranger.id) is None
        await soft_delete(repo, first.id, owner=owner.id, at=LATER)
        assert await originals.of_activity(first.id, owner=owner.id) is None
        assert await originals.of_activity(second.id, owner=owner.id) == original
        assert [one.number for one in await originals.readings(original.id, live=True)] == [2]
        assert [one.number for one in await originals.readings(original.id, live=False)] == [1, 2]
        assert await originals.reading(first.id) is None
        found = await originals.reading(second.id)
        assert found is not None
        assert (found.number, found.activity) == (2, second)
        assert await originals.of_activity(UNKNOWN_ID, owner=owner.id) is None

    async def test_originals_come_one_after_the_other(
        self, originals: OriginalRepoPort, owner: User, stranger: User, keep: Keep
    ):
        kept = [(await keep())[0] for _ in range(3)]
        theirs, _ = await keep(imported(stranger))
        assert await originals.after(0) == [*kept, theirs]
        assert await originals.after(kept[0].id, limit=1) == [kept[1]]
        assert await originals.after(0, owner=owner.id) == kept
        assert await originals.after(theirs.id) == []

    # update

    async def test_an_update_changes_the_activity_and_what_was_read_of_it_together(
        self, repo: ActivityRepoPort, originals: OriginalRepoPort, keep: Keep
    ):
        _, (first, second) = await keep()
        changed = revised(first, {"title": "anew"}, home_timezone="UTC", now=LATER)
        details = replace(details_of(first), title="anew", is_indoor=True)
        assert await originals.update(changed, details, messages=messages())
        found = await originals.reading(first.id)
        assert found is not None
        assert (found.activity, found.details) == (changed, details)
        assert not await originals.update(changed, details_of(second), messages=messages())
        assert (await originals.reading(first.id)) == found
        await originals.read_anew(first.id, details_of(second))
        found = await originals.reading(first.id)
        assert found is not None
        assert (found.activity, found.details) == (changed, details_of(second))

    # files of purged activities

    async def test_a_file_is_released_when_the_last_of_its_activities_is_purged(
        self, repo: ActivityRepoPort, originals: OriginalRepoPort, names: ObjectNamesPort, owner: User, keep: Keep
    ):
        original, activities = await keep()
        other, _ = await keep()
        for number, one in enumerate(activities):
            assert await names.released() == []
            assert await names.named([original.object_name, "ab/unknown"]) == {original.object_name}
            assert len(await originals.readings(original.id, live=False)) == 2 - number
            await soft_delete(repo, one.id, owner=owner.id, at=LATER)
            await purge(repo, one.id, authority())
        assert await originals.after(0) == [other]
        assert await names.released() == [original.object_name]
        assert await names.named([original.object_name, other.object_name]) == {other.object_name}
        await names.forget(["ab/unknown"])
        assert await names.released() == [original.object_name]
        await names.forget([original.object_name])
        assert await names.released() == []

    async def test_of_the_last_two_purged_at_once_one_releases_the_file(
        self, repo: ActivityRepoPort, names: ObjectNamesPort, owner: User, keep: Keep
    ):
        for number in range(1, 11):
            _, activities = await keep()
            for one in activities:
                await soft_delete(repo, one.id, owner=owner.id, at=LATER)
            await asyncio.gather(*(purge(repo, one.id, authority()) for one in activities))
            assert len(await names.released()) == number
        assert len(await names.released(limit=3)) == 3
        first, *others = await names.released()
        assert await names.released(but=[first]) == others


def imported(owner: User, **stated: Any) -> Activity:
    """An imported activity, which differs from all others unless something is stated."""
    number = next(_numbers)
    plain: dict[str, Any] = {
        "source": "import",
        "external_id": f"digest {number}",
        "activity_date": LUNCH - timedelta(days=number),
        "title": "Été",
        "distance_km": 10.123,
        "tags": ("lake",),
    }
    return an_activity(user_id=owner.id, **plain | stated)
