"""What every ChangeLogPort promises."""

from dataclasses import replace
from datetime import timedelta

import pytest

from fitness.domain.model.activities import Activity
from fitness.domain.model.audit import Authority
from fitness.domain.model.changes import Change, ChangeKind, ChangePage
from fitness.domain.model.refusals import DuplicateActivity
from fitness.domain.model.users import User
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.changes import ChangeLogPort
from fitness.ports.messages import IdempotencyKey
from fitness.ports.tags import TagRepoPort
from fitness.ports.users import UserRepoPort
from tests.builders import NOW, a_registration, an_activity, messages

LATER = NOW + timedelta(hours=1)
MUCH_LATER = NOW + timedelta(hours=2)


async def everything(log: ChangeLogPort, owner: User) -> tuple[Change, ...]:
    return (await log.after(owner.id, 0, most=1_000)).changes


async def told(log: ChangeLogPort, owner: User) -> list[tuple[int, ChangeKind, int, int]]:
    return [(one.seq, one.kind, one.activity_id, one.version) for one in await everything(log, owner)]


class ChangeLogContract:
    """An implementation's class gives the fixtures `log`, `repo`, `users` and `tags` over one store, new for
    each test."""

    @pytest.fixture
    async def owner(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    @pytest.fixture
    async def stranger(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    @pytest.fixture
    async def ride(self, repo: ActivityRepoPort, owner: User) -> Activity:
        return (await repo.add(an_activity(user_id=owner.id), messages=messages())).activity

    async def test_each_kind_of_change_is_one_entry_with_the_version_and_the_time_of_the_change(
        self, log: ChangeLogPort, repo: ActivityRepoPort, owner: User, ride: Activity
    ):
        changed = replace(ride, title="Hills", version=2, updated_at=LATER)
        assert await repo.update(changed, messages=messages())
        assert await repo.soft_delete(ride.id, owner=owner.id, at=LATER, messages=messages())
        assert await repo.restore(ride.id, owner=owner.id, at=MUCH_LATER, messages=messages())
        assert await repo.soft_delete(ride.id, owner=owner.id, at=MUCH_LATER, messages=messages())
        authority = Authority(actor_id=7, at=MUCH_LATER + timedelta(hours=1), reason="asked for")
        assert await repo.purge(ride.id, messages=messages(authority=authority))
        assert await told(log, owner) == [
            (1, ChangeKind.CREATED, ride.id, 1),
            (2, ChangeKind.UPDATED, ride.id, 2),
            (3, ChangeKind.TRASHED, ride.id, 3),
            (4, ChangeKind.RESTORED, ride.id, 4),
            (5, ChangeKind.TRASHED, ride.id, 5),
            (6, ChangeKind.PURGED, ride.id, 5),
        ]
        times = [one.at for one in await everything(log, owner)]
        assert times == [NOW, LATER, LATER, MUCH_LATER, MUCH_LATER, authority.at]

    async def test_an_entry_shows_the_activity_as_it_is_now(
        self, log: ChangeLogPort, repo: ActivityRepoPort, owner: User, ride: Activity
    ):
        changed = replace(ride, title="Hills", tags=("race", "ß"), version=2, updated_at=LATER)
        await repo.update(changed, messages=messages())
        assert [one.activity for one in await everything(log, owner)] == [changed, changed]

    async def test_of_an_activity_in_the_trash_and_of_a_purged_one_nothing_is_shown(
        self, log: ChangeLogPort, repo: ActivityRepoPort, owner: User, ride: Activity
    ):
        await repo.soft_delete(ride.id, owner=owner.id, at=LATER, messages=messages())
        assert [one.activity for one in await everything(log, owner)] == [None, None]
        back = await repo.restore(ride.id, owner=owner.id, at=LATER, messages=messages())
        assert [one.activity for one in await everything(log, owner)] == [back, back, back]
        await repo.soft_delete(ride.id, owner=owner.id, at=LATER, messages=messages())
        await repo.purge(ride.id, messages=messages(authority=Authority(actor_id=7, at=LATER, reason="asked for")))
        assert {one.activity for one in await everything(log, owner)} == {None}

    async def test_what_changes_nothing_is_no_entry(
        self, log: ChangeLogPort, repo: ActivityRepoPort, tags: TagRepoPort, owner: User, ride: Activity
    ):
        assert not await repo.update(replace(ride, version=7), messages=messages())
        assert not await repo.soft_delete(ride.id, owner=owner.id + 1, at=LATER, messages=messages())
        assert not await repo.restore(ride.id, owner=owner.id, at=LATER, messages=messages())
        authority = Authority(actor_id=7, at=LATER, reason="asked for")
        assert not await repo.purge(ride.id, messages=messages(authority=authority))
        assert not await tags.replace(owner.id, "x", instead="y", ids=[ride.id], at=LATER, messages=messages())
        assert len(await everything(log, owner)) == 1

    async def test_each_of_several_activities_added_together_is_an_entry_without_gaps(
        self, log: ChangeLogPort, repo: ActivityRepoPort, owner: User, ride: Activity
    ):
        three = await repo.add_all([an_activity(user_id=owner.id) for _ in range(3)], messages=messages())
        ids = [ride.id, *(one.id for one in three)]
        assert await told(log, owner) == [(seq, ChangeKind.CREATED, one, 1) for seq, one in enumerate(ids, 1)]

    async def test_what_was_refused_takes_no_number(self, log: ChangeLogPort, repo: ActivityRepoPort, owner: User):
        imported = an_activity(user_id=owner.id, source="import", external_id="x")
        for _ in range(2):
            try:
                await repo.add(imported, messages=messages())
            except DuplicateActivity:
                await repo.add(an_activity(user_id=owner.id), messages=messages())
        assert [one.seq for one in await everything(log, owner)] == [1, 2]

    async def test_a_request_that_is_sent_again_is_one_entry(
        self, log: ChangeLogPort, repo: ActivityRepoPort, owner: User
    ):
        named = IdempotencyKey("once", "-")
        first = an_activity(user_id=owner.id)
        for _ in range(2):
            await repo.add(first, messages=messages(idempotency=named))
        assert len(await everything(log, owner)) == 1

    async def test_a_tag_that_is_renamed_is_an_entry_for_each_activity_in_the_order_of_ids(
        self, log: ChangeLogPort, repo: ActivityRepoPort, tags: TagRepoPort, owner: User
    ):
        tagged = [an_activity(user_id=owner.id, tags=("race",)) for _ in range(3)]
        ids = [one.id for one in await repo.add_all(tagged, messages=messages())]
        assert await tags.replace(owner.id, "race", instead="trail", ids=ids, at=LATER, messages=messages()) == 3
        renamed = (await log.after(owner.id, 3, most=10)).changes
        assert [(one.seq, one.kind, one.activity_id, one.version) for one in renamed] == [
            (seq, ChangeKind.UPDATED, one, 2) for seq, one in enumerate(ids, 4)
        ]

    async def test_each_owner_has_numbers_of_their_own(
        self, log: ChangeLogPort, repo: ActivityRepoPort, owner: User, stranger: User, ride: Activity
    ):
        theirs = (await repo.add(an_activity(user_id=stranger.id), messages=messages())).activity
        assert await told(log, owner) == [(1, ChangeKind.CREATED, ride.id, 1)]
        assert await told(log, stranger) == [(1, ChangeKind.CREATED, theirs.id, 1)]

    async def test_a_page_goes_on_after_a_number_and_says_how_far_there_is_to_go(
        self, log: ChangeLogPort, repo: ActivityRepoPort, owner: User
    ):
        await repo.add_all([an_activity(user_id=owner.id) for _ in range(5)], messages=messages())
        page = await log.after(owner.id, 1, most=3)
        assert [one.seq for one in page.changes] == [2, 3, 4]
        assert (page.last_seq, page.trimmed_seq) == (5, 0)
        assert await log.after(owner.id, 5, most=3) == ChangePage((), 5)

    async def test_of_somebody_who_changed_nothing_yet_there_is_nothing(self, log: ChangeLogPort, owner: User):
        assert await log.after(owner.id, 0, most=3) == ChangePage((), 0)
        assert await log.last([owner.id]) == {}

    async def test_the_latest_numbers_of_several_are_read_at_once(
        self, log: ChangeLogPort, repo: ActivityRepoPort, owner: User, stranger: User
    ):
        for who, count in ((owner, 2), (stranger, 3)):
            await repo.add_all([an_activity(user_id=who.id) for _ in range(count)], messages=messages())
        assert await log.last([owner.id, stranger.id, 2**40]) == {owner.id: 2, stranger.id: 3}
        assert await log.last([]) == {}

    async def test_old_entries_are_trimmed_oldest_first_some_at_a_time_and_that_is_told(
        self, log: ChangeLogPort, repo: ActivityRepoPort, owner: User, stranger: User
    ):
        for hours in range(5):
            young = an_activity(user_id=owner.id, at=NOW + timedelta(hours=hours))
            await repo.add(young, messages=messages())
        await repo.add(an_activity(user_id=stranger.id, at=NOW + timedelta(hours=2)), messages=messages())
        before = NOW + timedelta(hours=3)
        assert await log.trim(before, most=2) == 2
        page = await log.after(owner.id, 0, most=10)
        assert ([one.seq for one in page.changes], page.last_seq, page.trimmed_seq) == ([3, 4, 5], 5, 2)
        assert await log.trim(before, most=10) == 2
        assert await log.trim(before, most=10) == 0
        assert (await log.after(owner.id, 0, most=10)).trimmed_seq == 3
        assert await log.after(stranger.id, 0, most=10) == ChangePage((), 1, 1)

    async def test_numbers_go_on_after_everything_was_trimmed(
        self, log: ChangeLogPort, repo: ActivityRepoPort, owner: User, ride: Activity
    ):
        await log.trim(LATER, most=10)
        await repo.soft_delete(ride.id, owner=owner.id, at=LATER, messages=messages())
        assert await told(log, owner) == [(2, ChangeKind.TRASHED, ride.id, 2)]

    async def test_of_a_forgotten_owner_nothing_is_left_and_others_keep_theirs(
        self, log: ChangeLogPort, repo: ActivityRepoPort, owner: User, stranger: User
    ):
        for who in (owner, stranger):
            await repo.add_all([an_activity(user_id=who.id) for _ in range(5)], messages=messages())
        assert [await log.forget(owner.id, most=3) for _ in range(3)] == [3, 2, 0]
        assert await log.after(owner.id, 0, most=10) == ChangePage((), 0)
        assert await log.last([owner.id, stranger.id]) == {stranger.id: 5}
