"""What every ActivityRepoPort promises, except for its lists, which are in activity_lists.py."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from fitness.domain.model.activities import Activity, ActivityState, DetailsChanges, revised
from fitness.domain.model.audit import AuditAction, Authority
from fitness.domain.model.listings import ActivityFilter, Page
from fitness.domain.model.refusals import (
    DuplicateActivity,
    IdempotencyKeyReused,
    IdempotentRequestInFlight,
    UserNotFound,
)
from fitness.domain.model.users import User
from fitness.domain.model.versions import ANY_VERSION, Versions
from fitness.ports.activities import ActivityRepoPort, Created
from fitness.ports.audit import AuditLogPort
from fitness.ports.cache import Scope
from fitness.ports.messages import IdempotencyKey
from fitness.ports.outbox import OutboxPort
from fitness.ports.users import UserRepoPort
from tests.builders import LUNCH, NOW, a_registration, an_activity, messages

LATER = NOW + timedelta(hours=1)
EVERYTHING = ActivityFilter()
UNKNOWN_ID = 2**40


def authority(**stated: object) -> Authority:
    return Authority(**({"actor_id": 7, "at": LATER, "reason": "asked for"} | stated))  # type: ignore[arg-type]


# The same calls without invalidations, for the tests that are not about messages.


async def add(repo: ActivityRepoPort, activity: Activity, idempotency: IdempotencyKey | None = None) -> Created:
    return await repo.add(activity, messages=messages(idempotency=idempotency))


async def add_all(repo: ActivityRepoPort, activities: Sequence[Activity]) -> list[Activity]:
    return await repo.add_all(activities, messages=messages())


async def update(repo: ActivityRepoPort, activity: Activity) -> bool:
    return await repo.update(activity, messages=messages())


async def soft_delete(
    repo: ActivityRepoPort, activity_id: int, *, owner: int, at: datetime, versions: Versions = ANY_VERSION
) -> bool:
    return await repo.soft_delete(activity_id, owner=owner, at=at, versions=versions, messages=messages())


async def restore(
    repo: ActivityRepoPort, activity_id: int, *, owner: int, at: datetime, versions: Versions = ANY_VERSION
) -> Activity | None:
    return await repo.restore(activity_id, owner=owner, at=at, versions=versions, messages=messages())


async def purge(repo: ActivityRepoPort, activity_id: int, authority: Authority) -> bool:
    return await repo.purge(activity_id, messages=messages(authority=authority))


class ActivityRepoContract:
    """An implementation's class gives the fixtures `repo`, `users`, `audit` and `outbox` over one store, new for each
    test."""

    @pytest.fixture
    async def owner(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    @pytest.fixture
    async def stranger(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    # add

    async def test_new_ids_are_given_once_each(self, repo: ActivityRepoPort, owner: User):
        given = await asyncio.gather(*(repo.new_ids(3) for _ in range(50)))
        ids = [one for some in given for one in some]
        added = [(await repo.add(an_activity(user_id=owner.id), messages=messages())).activity.id for _ in range(3)]
        assert len({*ids, *added}) == 153

    async def test_an_activity_is_added_under_an_id_that_was_given_for_it(self, repo: ActivityRepoPort, owner: User):
        (number,) = await repo.new_ids(1)
        named = replace(an_activity(user_id=owner.id), id=number)
        assert (await repo.add(named, messages=messages())).activity == named
        assert await repo.get(number) == named

    async def test_of_many_added_at_once_each_has_its_own_outcome(self, repo: ActivityRepoPort, owner: User):
        """Valid activities, some with the origin of a live one, and some of an account that does not exist."""
        known = await repo.add(an_activity(user_id=owner.id, source="import", external_id="x"), messages=messages())
        sound = [an_activity(user_id=owner.id, notes=f"{number} 'héllo' \\ \n {{}}") for number in range(20)]
        twins = [an_activity(user_id=owner.id, source="import", external_id="x") for _ in range(3)]
        orphans = [an_activity(user_id=UNKNOWN_ID) for _ in range(3)]
        asked = [*sound, *twins, *orphans]
        random.shuffle(asked)
        outcomes = await asyncio.gather(
            *(repo.add(one, messages=messages(Scope("user", one.user_id))) for one in asked), return_exceptions=True
        )
        for one, outcome in zip(asked, outcomes, strict=True):
            if one in twins:
                assert isinstance(outcome, DuplicateActivity)
                assert outcome.existing_id == known.activity.id
            elif one in orphans:
                assert isinstance(outcome, UserNotFound)
            else:
                assert isinstance(outcome, Created)
                assert await repo.get(outcome.activity.id) == replace(one, id=outcome.activity.id)

    async def test_an_added_activity_is_read_back_whole_under_its_new_id(self, repo: ActivityRepoPort, owner: User):
        full = an_activity(
            user_id=owner.id,
            timezone="Europe/Paris",
            title="Höhenweg ☀ 跑步",
            distance_km=10.123,
            elevation_gain_m=812.5,
            calories_kcal=640,
            average_heart_rate_bpm=141,
            max_heart_rate_bpm=178,
            elapsed_minutes=47.5,
            is_indoor=False,
            notes="wind\n\ttailwind",
            tags=("race", "trail"),
            source="watch",
            external_id="a-1",
            activity_date=LUNCH + timedelta(microseconds=123456),
        )
        full = replace(full, group_id=2**62)
        created = await add(repo, full)
        assert created.activity == replace(full, id=created.activity.id)
        assert not created.replayed
        assert await repo.get(created.activity.id) == created.activity

    async def test_what_is_unknown_stays_unknown_and_zero_stays_zero(self, repo: ActivityRepoPort, owner: User):
        created = await add(repo, an_activity(user_id=owner.id, distance_km=0.0))
        kept = await repo.get(created.activity.id)
        assert kept is not None
        assert (kept.distance_km, kept.elevation_gain_m, kept.title) == (0.0, None, None)

    async def test_ids_are_never_shared(self, repo: ActivityRepoPort, owner: User):
        ids = {(await add(repo, an_activity(user_id=owner.id))).activity.id for _ in range(5)}
        assert len(ids) == 5

    async def test_the_same_origin_is_refused_among_a_users_living(self, repo: ActivityRepoPort, owner: User):
        first = await add(repo, an_activity(user_id=owner.id, source="watch", external_id="x"))
        with pytest.raises(DuplicateActivity) as refusal:
            await add(repo, an_activity(user_id=owner.id, source="watch", external_id="x"))
        assert refusal.value.existing_id == first.activity.id

    async def test_the_same_origin_is_welcome_from_another_user_or_source_or_after_a_delete(
        self, repo: ActivityRepoPort, owner: User, stranger: User
    ):
        first = await add(repo, an_activity(user_id=owner.id, source="watch", external_id="x"))
        await add(repo, an_activity(user_id=stranger.id, source="watch", external_id="x"))
        await add(repo, an_activity(user_id=owner.id, source="phone", external_id="x"))
        await soft_delete(repo, first.activity.id, owner=owner.id, at=LATER)
        await add(repo, an_activity(user_id=owner.id, source="watch", external_id="x"))

    async def test_nobodys_activity_is_refused(self, repo: ActivityRepoPort):
        with pytest.raises(UserNotFound):
            await add(repo, an_activity(user_id=UNKNOWN_ID))
        with pytest.raises(UserNotFound):
            await add(repo, an_activity(user_id=UNKNOWN_ID), idempotency=IdempotencyKey("k", "body"))

    # add with an idempotency key

    async def test_a_key_replays_the_activity_as_it_was_created(self, repo: ActivityRepoPort, owner: User):
        key = IdempotencyKey("k", "body")
        first = await add(repo, an_activity(user_id=owner.id, title="as sent", tags=("a",)), idempotency=key)
        await update(repo, revised(first.activity, {"title": "changed"}, home_timezone="UTC", now=LATER))
        again = await add(repo, an_activity(user_id=owner.id, title="as sent", tags=("a",)), idempotency=key)
        assert again.replayed
        assert again.activity == first.activity
        assert (await repo.list(owner.id, EVERYTHING, Page())).total == 1

    async def test_a_key_with_another_body_is_refused(self, repo: ActivityRepoPort, owner: User):
        await add(repo, an_activity(user_id=owner.id), idempotency=IdempotencyKey("k", "body"))
        with pytest.raises(IdempotencyKeyReused):
            await add(repo, an_activity(user_id=owner.id), idempotency=IdempotencyKey("k", "another"))

    async def test_a_key_is_one_users_own(self, repo: ActivityRepoPort, owner: User, stranger: User):
        key = IdempotencyKey("k", "body")
        await add(repo, an_activity(user_id=owner.id), idempotency=key)
        assert not (await add(repo, an_activity(user_id=stranger.id), idempotency=key)).replayed

    async def test_a_key_is_forgotten_after_24_hours(self, repo: ActivityRepoPort, owner: User):
        key = IdempotencyKey("k", "body")
        await add(repo, an_activity(user_id=owner.id, at=NOW), idempotency=key)
        almost = NOW + timedelta(hours=24) - timedelta(microseconds=1)
        assert (await add(repo, an_activity(user_id=owner.id, at=almost), idempotency=key)).replayed
        after = NOW + timedelta(hours=24)
        assert not (await add(repo, an_activity(user_id=owner.id, at=after), idempotency=key)).replayed

    async def test_a_refused_activity_does_not_use_its_key_up(self, repo: ActivityRepoPort, owner: User):
        key = IdempotencyKey("k", "body")
        first = await add(repo, an_activity(user_id=owner.id, external_id="x"))
        with pytest.raises(DuplicateActivity):
            await add(repo, an_activity(user_id=owner.id, external_id="x"), idempotency=key)
        await soft_delete(repo, first.activity.id, owner=owner.id, at=LATER)
        assert not (await add(repo, an_activity(user_id=owner.id, external_id="x"), idempotency=key)).replayed

    async def test_of_many_at_once_with_one_key_one_is_created(self, repo: ActivityRepoPort, owner: User):
        key = IdempotencyKey("k", "body")
        attempts = [add(repo, an_activity(user_id=owner.id), idempotency=key) for _ in range(50)]
        answers = await asyncio.gather(*attempts, return_exceptions=True)
        created = [one for one in answers if not isinstance(one, BaseException)]
        assert sum(not one.replayed for one in created) == 1
        assert len({one.activity.id for one in created}) == 1
        refused = [one for one in answers if isinstance(one, BaseException)]
        assert {type(one) for one in refused} <= {IdempotentRequestInFlight}
        assert (await repo.list(owner.id, EVERYTHING, Page())).total == 1

    # add_all

    async def test_several_are_added_in_their_order(self, repo: ActivityRepoPort, owner: User):
        titles = ["swim", "bike", "run"]
        kept = await add_all(repo, [an_activity(user_id=owner.id, title=title) for title in titles])
        assert [one.title for one in kept] == titles
        assert [one.id for one in kept] == sorted({one.id for one in kept})
        assert [await repo.get(one.id) for one in kept] == kept

    async def test_several_are_added_all_or_none(self, repo: ActivityRepoPort, owner: User):
        known = await add(repo, an_activity(user_id=owner.id, external_id="two"))
        with pytest.raises(DuplicateActivity) as refusal:
            await add_all(repo, [an_activity(user_id=owner.id, external_id=name) for name in ("one", "two")])
        assert refusal.value.existing_id == known.activity.id
        assert (await repo.list(owner.id, EVERYTHING, Page())).total == 1

    # get, state, live_id

    async def test_an_unknown_id_is_nothing(self, repo: ActivityRepoPort):
        assert await repo.get(UNKNOWN_ID) is None
        assert await repo.state(UNKNOWN_ID) is None

    async def test_get_returns_a_live_one_whoevers_it_is_and_no_deleted_one(self, repo: ActivityRepoPort, owner: User):
        kept = (await add(repo, an_activity(user_id=owner.id))).activity
        assert await repo.get(kept.id) == kept
        await soft_delete(repo, kept.id, owner=owner.id, at=LATER)
        assert await repo.get(kept.id) is None

    async def test_state_follows_the_life_of_an_activity(self, repo: ActivityRepoPort, owner: User, stranger: User):
        kept = (await add(repo, an_activity(user_id=owner.id))).activity
        assert await repo.state(kept.id) is ActivityState.LIVE
        await soft_delete(repo, kept.id, owner=owner.id, at=LATER)
        assert await repo.state(kept.id) is ActivityState.TRASHED
        assert await repo.state(kept.id, owner=owner.id) is ActivityState.TRASHED
        assert await repo.state(kept.id, owner=stranger.id) is None

    async def test_live_id_finds_the_owners_live_activity_of_an_origin(
        self, repo: ActivityRepoPort, owner: User, stranger: User
    ):
        kept = (await add(repo, an_activity(user_id=owner.id, source="watch", external_id="x"))).activity
        assert await repo.live_id(owner.id, source="watch", external_id="x") == kept.id
        assert await repo.live_id(owner.id, source="phone", external_id="x") is None
        assert await repo.live_id(stranger.id, source="watch", external_id="x") is None
        await soft_delete(repo, kept.id, owner=owner.id, at=LATER)
        assert await repo.live_id(owner.id, source="watch", external_id="x") is None

    # update

    async def test_an_update_replaces_the_version_right_before(self, repo: ActivityRepoPort, owner: User):
        kept = (await add(repo, an_activity(user_id=owner.id, notes="first"))).activity
        changes: DetailsChanges = {"notes": None, "tags": ("new",), "elapsed_minutes": 31.5, "is_indoor": True}
        changed = revised(kept, changes, home_timezone="UTC", now=LATER)
        assert await update(repo, changed)
        assert await repo.get(kept.id) == changed

    async def test_an_update_of_a_later_version_changes_nothing(self, repo: ActivityRepoPort, owner: User):
        kept = (await add(repo, an_activity(user_id=owner.id))).activity
        ours = revised(kept, {"title": "ours"}, home_timezone="UTC", now=LATER)
        theirs = revised(kept, {"title": "theirs"}, home_timezone="UTC", now=LATER)
        assert await update(repo, theirs)
        assert not await update(repo, ours)
        assert await repo.get(kept.id) == theirs

    async def test_of_many_updates_at_once_one_goes_through(self, repo: ActivityRepoPort, owner: User):
        kept = (await add(repo, an_activity(user_id=owner.id))).activity
        changes = [revised(kept, {"title": f"no {n}"}, home_timezone="UTC", now=LATER) for n in range(20)]
        won = await asyncio.gather(*(update(repo, change) for change in changes))
        assert won.count(True) == 1
        assert await repo.get(kept.id) == changes[won.index(True)]

    async def test_an_update_spares_the_deleted_the_unknown_and_what_is_anothers(
        self, repo: ActivityRepoPort, owner: User, stranger: User
    ):
        kept = (await add(repo, an_activity(user_id=owner.id))).activity
        changed = revised(kept, {"title": "new"}, home_timezone="UTC", now=LATER)
        assert not await update(repo, replace(changed, user_id=stranger.id))
        assert not await update(repo, replace(changed, id=UNKNOWN_ID))
        await soft_delete(repo, kept.id, owner=owner.id, at=LATER)
        assert not await update(repo, replace(changed, version=kept.version + 2))

    # soft_delete, trash, restore

    async def test_a_soft_delete_takes_it_once_from_its_owner(
        self, repo: ActivityRepoPort, owner: User, stranger: User
    ):
        kept = (await add(repo, an_activity(user_id=owner.id))).activity
        assert not await soft_delete(repo, kept.id, owner=stranger.id, at=LATER)
        assert not await soft_delete(repo, kept.id, owner=owner.id, at=LATER, versions=Versions(frozenset({2, 9})))
        assert not await soft_delete(repo, kept.id, owner=owner.id, at=LATER, versions=Versions(but=frozenset({1})))
        assert not await soft_delete(repo, UNKNOWN_ID, owner=owner.id, at=LATER)
        assert await soft_delete(
            repo, kept.id, owner=owner.id, at=LATER, versions=Versions(frozenset({1, 9}), frozenset({2}))
        )
        assert not await soft_delete(repo, kept.id, owner=owner.id, at=LATER)

    async def test_the_trash_shows_ones_own_latest_deleted_first(
        self, repo: ActivityRepoPort, owner: User, stranger: User
    ):
        kept = [(await add(repo, an_activity(user_id=owner.id))).activity for _ in range(4)]
        theirs = (await add(repo, an_activity(user_id=stranger.id))).activity
        await soft_delete(repo, theirs.id, owner=stranger.id, at=LATER)
        for one, minute in zip(kept[:3], [1, 3, 1], strict=True):
            await soft_delete(repo, one.id, owner=owner.id, at=LATER + timedelta(minutes=minute))
        found = await repo.trash(owner.id, Page(limit=2))
        assert [one.id for one in found.items] == [kept[1].id, kept[2].id]
        assert found.total == 3
        assert found.items[0].deleted_at == LATER + timedelta(minutes=3)
        rest = await repo.trash(owner.id, Page(limit=2, after=found.next))
        assert [one.id for one in rest.items] == [kept[0].id]

    async def test_a_restored_activity_is_what_it_was_two_versions_on(self, repo: ActivityRepoPort, owner: User):
        kept = (await add(repo, an_activity(user_id=owner.id, tags=("a",), notes="all of it"))).activity
        await soft_delete(repo, kept.id, owner=owner.id, at=LATER)
        back = await restore(repo, kept.id, owner=owner.id, at=LATER)
        assert back == replace(kept, version=3, updated_at=LATER)
        assert await repo.get(kept.id) == back
        assert (await repo.trash(owner.id, Page())).total == 0

    async def test_restore_takes_from_the_owners_trash_alone(self, repo: ActivityRepoPort, owner: User, stranger: User):
        kept = (await add(repo, an_activity(user_id=owner.id))).activity
        assert await restore(repo, kept.id, owner=owner.id, at=LATER) is None
        await soft_delete(repo, kept.id, owner=owner.id, at=LATER)
        assert await restore(repo, kept.id, owner=stranger.id, at=LATER) is None
        assert await restore(repo, UNKNOWN_ID, owner=owner.id, at=LATER) is None

    async def test_restore_takes_only_the_versions_that_are_meant(self, repo: ActivityRepoPort, owner: User):
        kept = (await add(repo, an_activity(user_id=owner.id))).activity
        await soft_delete(repo, kept.id, owner=owner.id, at=LATER)
        for versions in (Versions(frozenset({1})), Versions(but=frozenset({2})), Versions(frozenset())):
            assert await restore(repo, kept.id, owner=owner.id, at=LATER, versions=versions) is None
        meant = Versions(frozenset({2}), frozenset({1}))
        assert await restore(repo, kept.id, owner=owner.id, at=LATER, versions=meant) is not None

    async def test_restore_is_refused_while_a_living_one_has_the_same_origin(self, repo: ActivityRepoPort, owner: User):
        kept = (await add(repo, an_activity(user_id=owner.id, external_id="x"))).activity
        await soft_delete(repo, kept.id, owner=owner.id, at=LATER)
        twin = (await add(repo, an_activity(user_id=owner.id, external_id="x"))).activity
        with pytest.raises(DuplicateActivity) as refusal:
            await restore(repo, kept.id, owner=owner.id, at=LATER)
        assert refusal.value.existing_id == twin.id
        assert await repo.state(kept.id) is ActivityState.TRASHED

    # purge

    async def test_purge_takes_it_from_the_trash_and_writes_the_audit_log(
        self, repo: ActivityRepoPort, audit: AuditLogPort, owner: User
    ):
        kept = (await add(repo, an_activity(user_id=owner.id, title="private"))).activity
        await soft_delete(repo, kept.id, owner=owner.id, at=LATER)
        assert await purge(repo, kept.id, authority(actor_id=99, reason="spam"))
        assert await repo.state(kept.id) is None
        (entry,) = (await audit.list(Page())).items
        assert (entry.actor_id, entry.at, entry.reason) == (99, LATER, "spam")
        assert (entry.action, entry.subject_id, entry.owner_id) == (AuditAction.ACTIVITY_PURGED, kept.id, owner.id)

    async def test_purge_leaves_the_living_and_the_unknown_and_writes_nothing(
        self, repo: ActivityRepoPort, audit: AuditLogPort, owner: User
    ):
        kept = (await add(repo, an_activity(user_id=owner.id))).activity
        assert not await purge(repo, kept.id, authority())
        assert not await purge(repo, UNKNOWN_ID, authority())
        assert await repo.state(kept.id) is ActivityState.LIVE
        assert (await audit.list(Page())).total == 0

    async def test_purge_takes_the_kept_answer_of_its_idempotency_key_along(self, repo: ActivityRepoPort, owner: User):
        key = IdempotencyKey("k", "body")
        kept = (await add(repo, an_activity(user_id=owner.id), idempotency=key)).activity
        await soft_delete(repo, kept.id, owner=owner.id, at=LATER)
        await purge(repo, kept.id, authority())
        assert not (await add(repo, an_activity(user_id=owner.id), idempotency=key)).replayed

    async def test_of_a_restore_and_a_purge_at_once_exactly_one_wins(
        self, repo: ActivityRepoPort, audit: AuditLogPort, owner: User
    ):
        for _ in range(20):
            kept = (await add(repo, an_activity(user_id=owner.id))).activity
            await soft_delete(repo, kept.id, owner=owner.id, at=LATER)
            back, purged = await asyncio.gather(
                restore(repo, kept.id, owner=owner.id, at=LATER), purge(repo, kept.id, authority())
            )
            assert (back is not None) != purged
            assert await repo.state(kept.id) is (ActivityState.LIVE if back else None)

    # messages

    async def test_every_change_writes_its_invalidations_into_the_outbox(
        self, repo: ActivityRepoPort, outbox: OutboxPort, owner: User
    ):
        sent = [
            messages(Scope("user", number), Scope("activity", number), authority=authority()) for number in range(6)
        ]
        one = (await repo.add(an_activity(user_id=owner.id), messages=sent[0])).activity
        await repo.add_all([an_activity(user_id=owner.id) for _ in range(3)], messages=sent[1])
        changed = revised(one, {"title": "new"}, home_timezone="UTC", now=LATER)
        assert await repo.update(changed, messages=sent[2])
        assert await repo.soft_delete(one.id, owner=owner.id, at=LATER, messages=sent[3])
        assert await repo.restore(one.id, owner=owner.id, at=LATER, messages=sent[4])
        await soft_delete(repo, one.id, owner=owner.id, at=LATER)
        assert await repo.purge(one.id, messages=sent[5])
        found = {entry.id: entry.scopes for entry in await outbox.pending()}
        assert [found.get(one.id) for one in sent] == [one.invalidates for one in sent]

    async def test_of_changes_made_at_once_those_that_are_made_write_their_messages(
        self, repo: ActivityRepoPort, outbox: OutboxPort, owner: User
    ):
        kept = [(await add(repo, an_activity(user_id=owner.id))).activity for _ in range(40)]
        changes = [revised(one, {"title": "new"}, home_timezone="UTC", now=LATER) for one in kept]
        changes = [replace(one, version=7) if number % 4 == 0 else one for number, one in enumerate(changes)]
        sent = [messages(Scope("activity", one.id)) for one in changes]
        made = await asyncio.gather(*(repo.update(one, messages=each) for one, each in zip(changes, sent, strict=True)))
        assert made == [number % 4 != 0 for number in range(40)]
        found = {entry.id for entry in await outbox.pending()}
        assert [one.id in found for one in sent] == made

    async def test_what_changes_nothing_writes_no_message(
        self, repo: ActivityRepoPort, outbox: OutboxPort, owner: User, stranger: User
    ):
        kept = (await add(repo, an_activity(user_id=owner.id, external_id="x"))).activity
        before = list(await outbox.pending())
        stale, keyed = Scope("user", 1), IdempotencyKey("k", "body")
        with pytest.raises(DuplicateActivity):
            await repo.add(an_activity(user_id=owner.id, external_id="x"), messages=messages(stale, idempotency=keyed))
        twins = [an_activity(user_id=owner.id), an_activity(user_id=owner.id, external_id="x")]
        with pytest.raises(DuplicateActivity):
            await repo.add_all(twins, messages=messages(stale))
        assert not await repo.update(replace(kept, version=7), messages=messages(stale))
        assert not await repo.soft_delete(kept.id, owner=stranger.id, at=LATER, messages=messages(stale))
        assert await repo.restore(kept.id, owner=owner.id, at=LATER, messages=messages(stale)) is None
        assert not await repo.purge(kept.id, messages=messages(stale, authority=authority()))
        assert list(await outbox.pending()) == before

    async def test_a_replayed_answer_writes_no_message(self, repo: ActivityRepoPort, outbox: OutboxPort, owner: User):
        key = IdempotencyKey("k", "body")
        await add(repo, an_activity(user_id=owner.id), idempotency=key)
        before = await outbox.pending()
        again = await repo.add(an_activity(user_id=owner.id), messages=messages(Scope("user", 1), idempotency=key))
        assert again.replayed
        assert await outbox.pending() == before

    async def test_two_of_one_origin_in_one_batch_are_refused_together(
        self, repo: ActivityRepoPort, outbox: OutboxPort, owner: User
    ):
        twins = [an_activity(user_id=owner.id, external_id="x") for _ in range(2)]
        with pytest.raises(DuplicateActivity) as refusal:
            await repo.add_all([an_activity(user_id=owner.id), *twins], messages=messages(Scope("user", 1)))
        assert refusal.value.existing_id is None
        assert (await repo.list(owner.id, EVERYTHING, Page())).total == 0
        assert list(await outbox.pending()) == []

    async def test_two_of_no_origin_in_one_batch_are_two(self, repo: ActivityRepoPort, owner: User):
        await add_all(repo, [an_activity(user_id=owner.id) for _ in range(2)])
        assert (await repo.list(owner.id, EVERYTHING, Page())).total == 2

    async def test_whose_an_activity_is_is_known_in_every_state(self, repo: ActivityRepoPort, owner: User):
        kept = (await add(repo, an_activity(user_id=owner.id))).activity
        assert await repo.owner(kept.id) == owner.id
        await soft_delete(repo, kept.id, owner=owner.id, at=LATER)
        assert await repo.owner(kept.id) == owner.id
        assert await repo.owner(UNKNOWN_ID) is None
