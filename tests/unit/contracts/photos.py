"""What every PhotoRepoPort promises."""

import asyncio
from dataclasses import fields, replace
from itertools import count
from typing import Any

import pytest

from fitness.domain.model.activities import Activity, ActivityState
from fitness.domain.model.file_refusals import TooManyPhotos
from fitness.domain.model.photos import MAX_PHOTOS, NewPhoto, Photo, PhotoChanges, PhotoFile, Photos
from fitness.domain.model.users import User
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.cache import Scope
from fitness.ports.objects import ObjectNamesPort
from fitness.ports.outbox import OutboxPort
from fitness.ports.photos import FoundPhoto, PhotoRepoPort
from fitness.ports.users import UserRepoPort
from tests.builders import NOW, a_registration, an_activity, messages
from tests.unit.contracts.activities import authority

UNKNOWN_ID = 2**40

_numbers = count(1)


def a_file(width: int = 2048, height: int = 1365) -> PhotoFile:
    name = f"ab/{next(_numbers):064x}-1"
    return PhotoFile(object_name=name, content_type="image/jpeg", width=width, height=height, size_bytes=9)


def a_photo(activity: Activity, **stated: Any) -> NewPhoto:
    plain = NewPhoto(
        activity_id=activity.id,
        user_id=activity.user_id,
        caption=None,
        created_at=NOW,
        large=a_file(),
        small=a_file(400, 267),
    )
    return replace(plain, **stated)


class PhotoRepoContract:
    """An implementation's class gives the fixtures `repo`, `users`, `photos`, `names` and `outbox` over one store."""

    @pytest.fixture
    async def owner(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    @pytest.fixture
    async def activity(self, repo: ActivityRepoPort, owner: User) -> Activity:
        return (await repo.add(an_activity(user_id=owner.id), messages=messages())).activity

    @pytest.fixture
    async def add(self, photos: PhotoRepoPort, activity: Activity) -> Any:
        async def add(**stated: Any) -> Photo:
            kept = await photos.add(a_photo(activity, **stated), messages=messages())
            assert kept is not None
            return kept

        return add

    async def order(self, photos: PhotoRepoPort, activity: Activity) -> list[str | None]:
        """The captions by position, after a check that the positions have no gap."""
        kept = await photos.list(activity.id)
        assert kept is not None
        assert [one.position for one in kept.items] == list(range(1, len(kept.items) + 1))
        return [one.caption for one in kept.items]

    async def test_photos_are_kept_as_they_are_given_one_behind_the_other(
        self, photos: PhotoRepoPort, activity: Activity, owner: User
    ):
        assert await photos.list(activity.id) == Photos(owner.id, ())
        new = [a_photo(activity, caption="first"), a_photo(activity)]
        kept = [await photos.add(one, messages=messages()) for one in new]
        for photo, one, position in zip(kept, new, (1, 2), strict=True):
            assert photo is not None
            assert photo.position == position
            assert {field.name: getattr(photo, field.name) for field in fields(NewPhoto)} == {
                field.name: getattr(one, field.name) for field in fields(NewPhoto)
            }
            assert await photos.find(photo.id, owner=owner.id) == FoundPhoto(photo, ActivityState.LIVE)
        assert await photos.list(activity.id) == Photos(owner.id, tuple(one for one in kept if one is not None))

    async def test_of_an_activity_that_is_not_there_or_another_users_none_is_kept(
        self, photos: PhotoRepoPort, activity: Activity, outbox: OutboxPort
    ):
        before = len(await outbox.pending())
        for wrong in ({"activity_id": UNKNOWN_ID}, {"user_id": UNKNOWN_ID}):
            photo = a_photo(activity, **wrong)
            assert await photos.add(photo, messages=messages(Scope("activity", activity.id))) is None
        assert await photos.list(UNKNOWN_ID) is None
        assert len(await outbox.pending()) == before

    async def test_there_are_never_more_than_there_may_be_however_many_are_added_at_once(
        self, photos: PhotoRepoPort, activity: Activity
    ):
        new = [a_photo(activity) for _ in range(2 * MAX_PHOTOS)]
        answers = await asyncio.gather(*(photos.add(one, messages=messages()) for one in new), return_exceptions=True)
        assert [type(one) for one in answers if not isinstance(one, Photo)] == [TooManyPhotos] * MAX_PHOTOS
        assert len(await self.order(photos, activity)) == MAX_PHOTOS

    async def test_the_owner_alone_finds_and_changes_them(self, photos: PhotoRepoPort, owner: User, add: Any):
        photo, other = await add(), owner.id + 1_000
        assert await photos.find(photo.id, owner=other) is None
        assert await photos.find(UNKNOWN_ID, owner=owner.id) is None
        for photo_id, by in ((photo.id, other), (UNKNOWN_ID, owner.id)):
            assert await photos.change(photo_id, {"caption": "stolen"}, owner=by, messages=messages()) is None
            assert not await photos.remove(photo_id, owner=by, at=NOW, messages=messages())
        assert await photos.find(photo.id, owner=owner.id) == FoundPhoto(photo, ActivityState.LIVE)

    async def test_the_owners_photos_are_told_by_their_ids(
        self, photos: PhotoRepoPort, repo: ActivityRepoPort, users: UserRepoPort, activity: Activity, add: Any
    ):
        own = [await add() for _ in range(3)]
        stranger = await users.add(a_registration(), password_hash="-", at=NOW)
        theirs = (await repo.add(an_activity(user_id=stranger.id), messages=messages())).activity
        assert await photos.add(a_photo(theirs), messages=messages())
        await repo.soft_delete(activity.id, owner=activity.user_id, at=NOW, messages=messages())
        assert list(await photos.after(0, owner=activity.user_id)) == own
        assert list(await photos.after(own[0].id, owner=activity.user_id, limit=1)) == own[1:2]

    @pytest.mark.parametrize(
        ("which", "to", "after"),
        [
            (0, 3, ["b", "c", "a", "d"]),
            (3, 1, ["d", "a", "b", "c"]),
            (1, 2, ["a", "b", "c", "d"]),
            (0, MAX_PHOTOS, ["b", "c", "d", "a"]),
        ],
    )
    async def test_at_another_position_it_moves_those_in_between(
        self, photos: PhotoRepoPort, activity: Activity, owner: User, add: Any, which: int, to: int, after: list[str]
    ):
        kept = [await add(caption=name) for name in "abcd"]
        moved = await photos.change(kept[which].id, {"position": to}, owner=owner.id, messages=messages())
        assert moved == replace(kept[which], position=min(to, 4))
        assert await self.order(photos, activity) == after

    async def test_a_caption_is_set_kept_or_cleared(self, photos: PhotoRepoPort, owner: User, add: Any):
        photo, beside = await add(caption="before"), await add(caption="beside")
        steps: list[tuple[PhotoChanges, str | None]] = [
            ({}, "before"),
            ({"caption": "after"}, "after"),
            ({"position": 2}, "after"),
            ({"caption": None, "position": 1}, None),
        ]
        for changes, caption in steps:
            changed = await photos.change(photo.id, changes, owner=owner.id, messages=messages())
            assert changed is not None
            assert changed.caption == caption
        found = await photos.find(beside.id, owner=owner.id)
        assert found == FoundPhoto(beside, ActivityState.LIVE)

    async def test_a_removed_one_is_gone_and_those_behind_it_move_up(
        self, photos: PhotoRepoPort, activity: Activity, owner: User, add: Any
    ):
        kept = [await add(caption=name) for name in "abc"]
        assert await photos.remove(kept[0].id, owner=owner.id, at=NOW, messages=messages())
        assert await self.order(photos, activity) == ["b", "c"]
        assert not await photos.remove(kept[0].id, owner=owner.id, at=NOW, messages=messages())
        assert (await add(caption="d")).position == 3

    async def test_only_what_is_still_as_it_was_seen_is_changed_or_removed(
        self, photos: PhotoRepoPort, activity: Activity, owner: User, add: Any
    ):
        first, seen = await add(caption="a"), await add(caption="b")
        moved = await photos.change(first.id, {"position": 2}, owner=owner.id, messages=messages())
        assert moved is not None
        change: PhotoChanges = {"caption": "late"}
        assert await photos.change(seen.id, change, owner=owner.id, seen=seen, messages=messages()) is None
        assert not await photos.remove(seen.id, owner=owner.id, at=NOW, seen=seen, messages=messages())
        assert await self.order(photos, activity) == ["b", "a"]
        assert await photos.change(first.id, change, owner=owner.id, seen=moved, messages=messages())
        seen = replace(seen, position=1)
        assert await photos.remove(seen.id, owner=owner.id, at=NOW, seen=seen, messages=messages())
        assert await self.order(photos, activity) == ["late"]

    async def test_of_many_changes_of_one_seen_photo_at_once_one_is_made(
        self, photos: PhotoRepoPort, owner: User, add: Any
    ):
        seen = await add(caption="a")
        changes: list[PhotoChanges] = [{"caption": f"b{number}"} for number in range(10)]
        made = [photos.change(seen.id, one, owner=owner.id, seen=seen, messages=messages()) for one in changes]
        assert sum(one is not None for one in await asyncio.gather(*made)) == 1

    async def test_moves_and_removals_at_once_leave_no_gap(
        self, photos: PhotoRepoPort, activity: Activity, owner: User, add: Any
    ):
        kept = [await add(caption=str(number)) for number in range(12)]
        moves = (photos.change(one.id, {"position": 1}, owner=owner.id, messages=messages()) for one in kept[:6])
        gone = (photos.remove(one.id, owner=owner.id, at=NOW, messages=messages()) for one in kept[3:9])
        await asyncio.gather(*moves, *gone)
        assert sorted(await self.order(photos, activity), key=str) == ["0", "1", "10", "11", "2", "9"]

    async def test_a_change_carries_its_messages_and_none_where_there_is_none(
        self, photos: PhotoRepoPort, activity: Activity, owner: User, outbox: OutboxPort, add: Any
    ):
        photo, scope = await add(), Scope("activity", activity.id)
        before = len(await outbox.pending())
        await photos.add(a_photo(activity), messages=messages(scope))
        await photos.change(photo.id, {"caption": "new"}, owner=owner.id, messages=messages(scope))
        await photos.remove(photo.id, owner=owner.id, at=NOW, messages=messages(scope))
        assert len(await outbox.pending()) == before + 3
        await photos.change(photo.id, {"caption": "late"}, owner=owner.id, messages=messages(scope))
        await photos.remove(photo.id, owner=owner.id, at=NOW, messages=messages(scope))
        assert len(await outbox.pending()) == before + 3

    async def test_they_are_hidden_and_fixed_with_the_trash_back_with_a_restore_and_gone_with_a_purge(
        self,
        photos: PhotoRepoPort,
        repo: ActivityRepoPort,
        names: ObjectNamesPort,
        activity: Activity,
        owner: User,
        add: Any,
    ):
        photo = await add(caption="kept")
        await repo.soft_delete(activity.id, owner=owner.id, at=NOW, messages=messages())
        assert await photos.list(activity.id) is None
        assert await photos.find(photo.id, owner=owner.id) == FoundPhoto(photo, ActivityState.TRASHED)
        assert await photos.add(a_photo(activity), messages=messages()) is None
        assert await photos.change(photo.id, {"caption": "late"}, owner=owner.id, messages=messages()) is None
        assert not await photos.remove(photo.id, owner=owner.id, at=NOW, messages=messages())
        assert await names.named(photo.object_names) == {*photo.object_names}
        await repo.restore(activity.id, owner=owner.id, at=NOW, messages=messages())
        assert await photos.list(activity.id) == Photos(owner.id, (photo,))
        await repo.soft_delete(activity.id, owner=owner.id, at=NOW, messages=messages())
        assert await repo.purge(activity.id, messages=messages(authority=authority()))
        assert await photos.find(photo.id, owner=owner.id) is None
        assert await names.named(photo.object_names) == frozenset()
        assert {*await names.released()} == {*photo.object_names}

    async def test_objects_of_a_photo_that_is_there_are_named_and_those_of_one_that_is_gone_are_released(
        self, photos: PhotoRepoPort, names: ObjectNamesPort, owner: User, add: Any
    ):
        kept, gone = await add(), await add()
        assert await names.released() == []
        await photos.remove(gone.id, owner=owner.id, at=NOW, messages=messages())
        assert await names.named([*kept.object_names, *gone.object_names, "ab/other"]) == {*kept.object_names}
        assert {*await names.released()} == {*gone.object_names}
