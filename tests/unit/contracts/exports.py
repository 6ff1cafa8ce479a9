"""What every ExportRepoPort promises."""

import asyncio
from datetime import datetime, timedelta

import pytest

from fitness.domain.model.exports import Export, ExportState
from fitness.domain.model.users import User
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.exports import ExportRepoPort
from fitness.ports.objects import ObjectNamesPort
from fitness.ports.photos import PhotoRepoPort
from fitness.ports.users import UserRepoPort
from tests.builders import NOW, a_registration, an_activity, messages
from tests.unit.contracts.activities import LATER, UNKNOWN_ID, add, authority, purge, soft_delete
from tests.unit.contracts.photos import a_photo

A_DAY = timedelta(days=1)
LONG_AGO = NOW - 100 * A_DAY


async def purge_one(repo: ActivityRepoPort, owner: int, *, at: datetime) -> None:
    activity = (await add(repo, an_activity(user_id=owner))).activity
    await soft_delete(repo, activity.id, owner=owner, at=at)
    assert await purge(repo, activity.id, authority(at=at))


async def remove_one(photos: PhotoRepoPort, repo: ActivityRepoPort, owner: int, *, at: datetime) -> None:
    activity = (await add(repo, an_activity(user_id=owner))).activity
    photo = await photos.add(a_photo(activity), messages=messages())
    assert photo is not None
    assert await photos.remove(photo.id, owner=owner, at=at, messages=messages())


class ExportRepoContract:
    """An implementation's class gives `repo`, `users`, `exports`, `photos` and `names` over one store."""

    @pytest.fixture
    async def owner(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    @pytest.fixture
    async def made(self, exports: ExportRepoPort, owner: User) -> Export:
        """An export that is ready, and good for a day."""
        assert await exports.request(owner.id, at=NOW, given_up_before=LONG_AGO, messages=messages())
        begun = await exports.begin(owner.id, run=1)
        assert begun is not None
        for number in (2, 1):
            assert await exports.add_part(begun.id, run=1, number=number, object_name=f"part/{begun.id}-{number}")
        assert await exports.finish(begun.id, run=1, size_bytes=7, at=NOW, expires_at=NOW + A_DAY)
        latest = await exports.latest(owner.id)
        assert latest is not None
        return latest

    async def test_one_that_is_ready_is_shown_and_not_used(self, exports: ExportRepoPort, made: Export):
        assert await exports.ready(made.id, at=NOW) == made
        assert await exports.ready(made.id, at=NOW + A_DAY) is None
        assert await exports.ready(UNKNOWN_ID, at=NOW) is None
        used = await exports.use(made.id, at=NOW)
        assert used is not None
        assert used[1] == [f"part/{made.id}-1", f"part/{made.id}-2"]
        assert await exports.ready(made.id, at=NOW) is None

    async def test_of_many_who_use_it_at_once_one_gets_it(self, exports: ExportRepoPort, made: Export):
        used = await asyncio.gather(*(exports.use(made.id, at=NOW) for _ in range(10)))
        assert len([one for one in used if one is not None]) == 1

    async def test_what_was_given_back_is_used_by_the_next_one(self, exports: ExportRepoPort, made: Export):
        await exports.use(made.id, at=NOW)
        await exports.give_back(made.id, used_at=NOW)
        assert await exports.latest(made.user_id) == made
        assert await exports.use(made.id, at=NOW) is not None

    async def test_what_another_uses_is_not_given_back(self, exports: ExportRepoPort, made: Export):
        later = NOW + timedelta(seconds=1)
        await exports.use(made.id, at=later)
        for used_at in (NOW, later + timedelta(seconds=1)):
            await exports.give_back(made.id, used_at=used_at)
        await exports.give_back(UNKNOWN_ID, used_at=later)
        assert await exports.ready(made.id, at=later) is None

    async def test_what_was_given_back_is_good_no_longer_than_before(self, exports: ExportRepoPort, made: Export):
        await exports.use(made.id, at=NOW)
        await exports.give_back(made.id, used_at=NOW)
        assert await exports.use(made.id, at=NOW + A_DAY) is None

    async def test_nothing_is_used_of_a_deleted_account(
        self, exports: ExportRepoPort, users: UserRepoPort, made: Export
    ):
        assert await users.soft_delete(made.user_id, before="-", at=NOW, messages=messages())
        assert await exports.ready(made.id, at=NOW) is None
        assert await exports.use(made.id, at=NOW) is None
        assert await exports.latest(made.user_id) is None

    async def test_one_that_has_waited_too_long_is_asked_for_anew(self, exports: ExportRepoPort, owner: User):
        async def asked(*, given_up_before: datetime) -> bool:
            return await exports.request(owner.id, at=LATER, given_up_before=given_up_before, messages=messages())

        assert await exports.request(owner.id, at=NOW, given_up_before=LONG_AGO, messages=messages())
        begun = await exports.begin(owner.id, run=1)
        assert begun is not None
        assert not await asked(given_up_before=NOW - timedelta(seconds=1))
        assert await asked(given_up_before=NOW)
        latest = await exports.latest(owner.id)
        assert latest is not None
        assert (latest.id, latest.requested_at, latest.state(LATER)) == (begun.id, LATER, ExportState.WAITING)
        # Data that the run read may have been deleted for good since.
        assert not await exports.finish(begun.id, run=1, size_bytes=7, at=LATER, expires_at=LATER + A_DAY)
        assert await exports.begin(owner.id, run=2) is not None
        assert await exports.finish(begun.id, run=2, size_bytes=7, at=LATER, expires_at=LATER + A_DAY)
        assert not await asked(given_up_before=LATER)

    async def test_expires_once_an_activity_of_its_owners_is_purged_that_it_may_hold(
        self, exports: ExportRepoPort, repo: ActivityRepoPort, made: Export
    ):
        await purge_one(repo, made.user_id, at=NOW - timedelta(seconds=1))  # before the export was asked for
        assert await exports.ready(made.id, at=LATER) == made
        await purge_one(repo, made.user_id, at=LATER)
        assert await exports.ready(made.id, at=LATER) is None
        assert await exports.use(made.id, at=LATER) is None
        latest = await exports.latest(made.user_id)
        assert latest is not None
        assert latest.state(LATER) is ExportState.OVER
        assert await exports.request(made.user_id, at=LATER, given_up_before=LONG_AGO, messages=messages())
        again = await exports.latest(made.user_id)
        assert again is not None
        assert (again.state(LATER), again.expires_at) == (ExportState.WAITING, None)
        assert await exports.forget(used_before=LONG_AGO, expired_before=LATER, requested_before=LONG_AGO) == 1
        assert await exports.latest(made.user_id) == again

    async def test_expires_once_a_photo_of_its_owners_is_removed(
        self, exports: ExportRepoPort, repo: ActivityRepoPort, photos: PhotoRepoPort, made: Export
    ):
        await remove_one(photos, repo, made.user_id, at=LATER)
        assert await exports.ready(made.id, at=LATER - timedelta(seconds=1)) is not None
        assert await exports.use(made.id, at=LATER) is None
        await remove_one(photos, repo, made.user_id, at=LATER + timedelta(hours=1))
        latest = await exports.latest(made.user_id)
        assert latest is not None
        assert (latest.state(LATER), latest.expires_at) == (ExportState.OVER, LATER)
        assert await exports.request(made.user_id, at=LATER, given_up_before=LONG_AGO, messages=messages())
        assert await exports.forget(used_before=LONG_AGO, expired_before=LATER, requested_before=LONG_AGO) == 1

    async def test_has_expired_when_it_is_ready_if_a_photo_was_removed_while_it_was_made(
        self, exports: ExportRepoPort, repo: ActivityRepoPort, photos: PhotoRepoPort, owner: User
    ):
        assert await exports.request(owner.id, at=NOW, given_up_before=LONG_AGO, messages=messages())
        begun = await exports.begin(owner.id, run=1)
        assert begun is not None
        await remove_one(photos, repo, owner.id, at=LATER)
        waiting = await exports.latest(owner.id)
        assert waiting is not None
        assert (waiting.state(LATER), waiting.expires_at) == (ExportState.WAITING, None)
        assert await exports.finish(begun.id, run=1, size_bytes=7, at=LATER, expires_at=LATER + A_DAY)
        assert await exports.ready(begun.id, at=LATER) is None
        assert await exports.request(owner.id, at=LATER, given_up_before=LONG_AGO, messages=messages())

    async def test_outlives_what_others_delete(
        self,
        exports: ExportRepoPort,
        repo: ActivityRepoPort,
        photos: PhotoRepoPort,
        users: UserRepoPort,
        made: Export,
    ):
        other = await users.add(a_registration(), password_hash="-", at=NOW)
        await purge_one(repo, other.id, at=LATER)
        await remove_one(photos, repo, other.id, at=LATER)
        assert await exports.ready(made.id, at=LATER) == made
        assert not await exports.request(made.user_id, at=LATER, given_up_before=LONG_AGO, messages=messages())
        assert not await exports.forget(used_before=LONG_AGO, expired_before=LATER, requested_before=LONG_AGO)

    @pytest.mark.parametrize(
        ("used", "used_before", "expired_before", "forgotten"),
        [
            (False, NOW + A_DAY, NOW + A_DAY - timedelta(seconds=1), 0),
            (False, LONG_AGO, NOW + A_DAY, 1),
            (True, NOW - timedelta(seconds=1), NOW + A_DAY, 0),
            (True, NOW, LONG_AGO, 1),
        ],
    )
    async def test_is_forgotten_with_its_parts_once_it_is_over_and_a_download_has_had_its_time(
        self,
        exports: ExportRepoPort,
        names: ObjectNamesPort,
        made: Export,
        used: bool,
        used_before: datetime,
        expired_before: datetime,
        forgotten: int,
    ):
        if used:
            await exports.use(made.id, at=NOW)
        count = await exports.forget(used_before=used_before, expired_before=expired_before, requested_before=LONG_AGO)
        assert count == forgotten
        assert len(await names.released()) == 2 * forgotten
        assert (await exports.latest(made.user_id) is None) == bool(forgotten)

    async def test_one_that_still_waits_is_forgotten_by_when_it_was_asked_for(
        self, exports: ExportRepoPort, owner: User
    ):
        assert await exports.request(owner.id, at=NOW, given_up_before=LONG_AGO, messages=messages())
        before = NOW - timedelta(seconds=1)
        assert not await exports.forget(used_before=NOW, expired_before=NOW, requested_before=before)
        assert await exports.forget(used_before=LONG_AGO, expired_before=LONG_AGO, requested_before=NOW) == 1
