"""What every UpkeepRepoPort promises."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from fitness.domain.model.activities import Activity
from fitness.domain.model.audit import AuditAction, Authority
from fitness.domain.model.changes import ChangeKind
from fitness.domain.model.listings import Page
from fitness.domain.model.users import AccountFilter, AccountState, User
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.audit import AuditLogPort
from fitness.ports.cache import Scope
from fitness.ports.changes import ChangeLogPort
from fitness.ports.messages import IdempotencyKey, Messages
from fitness.ports.outbox import OutboxPort
from fitness.ports.upkeep import Departed, Doomed, UpkeepRepoPort
from fitness.ports.users import UserRepoPort
from tests.builders import NOW, a_registration, an_activity, messages

LATER = NOW + timedelta(hours=1)
BEFORE = NOW - timedelta(microseconds=1)


def sent(*stale: Scope) -> Messages:
    return messages(*stale, authority=Authority(actor_id=None, at=LATER, reason="too old"))


async def purge(upkeep: UpkeepRepoPort, ids: Sequence[int], before: datetime = NOW) -> Sequence[int]:
    return await upkeep.purge_expired(ids, before=before, messages=sent())


class UpkeepRepoContract:
    """An implementation's class gives the fixtures `upkeep`, `repo`, `users`, `audit`, `outbox` and `log` over one
    store, new for each test."""

    @pytest.fixture
    async def owner(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    @pytest.fixture
    async def gone(self, users: UserRepoPort) -> User:
        """An account that was deleted at NOW."""
        user = await users.add(a_registration(), password_hash="-", at=NOW)
        await users.soft_delete(user.id, before="-", at=NOW, messages=messages())
        return user

    async def kept(self, repo: ActivityRepoPort, owner: User, key: IdempotencyKey | None = None) -> Activity:
        return (await repo.add(an_activity(user_id=owner.id), messages=messages(idempotency=key))).activity

    async def trashed(self, repo: ActivityRepoPort, owner: User, at: datetime = NOW) -> int:
        one = await self.kept(repo, owner)
        await repo.soft_delete(one.id, owner=owner.id, at=at, messages=messages())
        return one.id

    async def test_the_longest_in_the_trash_are_found_first(
        self, upkeep: UpkeepRepoPort, repo: ActivityRepoPort, owner: User
    ):
        await self.kept(repo, owner)
        late, early, latest = [
            await self.trashed(repo, owner, at=NOW + timedelta(minutes=minutes)) for minutes in (2, 1, 3)
        ]
        two = NOW + timedelta(minutes=2)
        assert await upkeep.expired(before=two, most=10) == [Doomed(early, owner.id), Doomed(late, owner.id)]
        assert await upkeep.expired(before=two, most=1) == [Doomed(early, owner.id)]
        assert latest not in [one.id for one in await upkeep.expired(before=two, most=10)]

    async def test_what_is_too_long_in_the_trash_is_purged_logged_and_counted_as_a_change(
        self,
        upkeep: UpkeepRepoPort,
        repo: ActivityRepoPort,
        owner: User,
        audit: AuditLogPort,
        log: ChangeLogPort,
        outbox: OutboxPort,
    ):
        ids = [await self.trashed(repo, owner) for _ in range(3)]
        seen = (await log.last([owner.id]))[owner.id]
        carried = sent(Scope("user", owner.id))
        assert sorted(await upkeep.purge_expired(ids, before=NOW, messages=carried)) == ids
        assert [await repo.state(one) for one in ids] == [None] * 3
        entries = (await audit.list(Page())).items
        assert sorted(entry.subject_id for entry in entries) == ids
        assert {(entry.action, entry.owner_id, entry.actor_id, entry.reason) for entry in entries} == {
            (AuditAction.ACTIVITY_PURGED, owner.id, None, "too old")
        }
        entered = (await log.after(owner.id, seen, most=10)).changes
        assert [(one.kind, one.activity_id) for one in entered] == [(ChangeKind.PURGED, one) for one in ids]
        assert [one.scopes for one in await outbox.pending() if one.id == carried.id] == [carried.invalidates]

    async def test_what_is_live_restored_younger_or_unknown_is_left_and_nothing_is_written(
        self, upkeep: UpkeepRepoPort, repo: ActivityRepoPort, owner: User, audit: AuditLogPort, outbox: OutboxPort
    ):
        live, young = await self.kept(repo, owner), await self.trashed(repo, owner, at=LATER)
        restored = await self.trashed(repo, owner)
        await repo.restore(restored, owner=owner.id, at=NOW, messages=messages())
        carried = sent(Scope("user", owner.id))
        assert list(await upkeep.purge_expired([live.id, young, restored, 2**40], before=NOW, messages=carried)) == []
        assert (await audit.list(Page())).items == ()
        assert carried.id not in [one.id for one in await outbox.pending()]

    async def test_of_many_purges_at_once_each_activity_has_one(
        self, upkeep: UpkeepRepoPort, repo: ActivityRepoPort, owner: User, audit: AuditLogPort
    ):
        ids = [await self.trashed(repo, owner) for _ in range(20)]
        done = await asyncio.gather(*(purge(upkeep, ids) for _ in range(5)))
        left = await purge(upkeep, ids)  # each may have left activities to the others, and they to it
        assert sorted(one for purged in [*done, left] for one in purged) == ids
        assert (await audit.list(Page(limit=100))).total == len(ids)

    async def test_accounts_deleted_long_enough_ago_have_departed(
        self, upkeep: UpkeepRepoPort, users: UserRepoPort, owner: User, gone: User
    ):
        assert await upkeep.departed(before=NOW, most=10) == [Departed(gone.id, gone.email)]
        assert await upkeep.departed(before=BEFORE, most=10) == []

    async def test_the_address_of_a_departed_account_is_told_only_while_it_is_nobody_elses(
        self, upkeep: UpkeepRepoPort, users: UserRepoPort, gone: User
    ):
        await users.add(a_registration(email=gone.email), password_hash="-", at=NOW)
        assert await upkeep.departed(before=NOW, most=10) == [Departed(gone.id, None)]

    async def test_a_departed_accounts_activities_are_purged_live_or_not(
        self, upkeep: UpkeepRepoPort, users: UserRepoPort, repo: ActivityRepoPort, owner: User, audit: AuditLogPort
    ):
        ids = [(await self.kept(repo, owner)).id, await self.trashed(repo, owner, at=LATER)]
        assert list(await upkeep.purge_of_departed(ids, before=NOW, messages=sent())) == []
        await users.soft_delete(owner.id, before="-", at=NOW, messages=messages())
        assert list(await upkeep.purge_of_departed(ids, before=BEFORE, messages=sent())) == []
        assert sorted(await upkeep.activities_of(owner.id, most=10)) == ids
        assert len(await upkeep.activities_of(owner.id, most=1)) == 1
        assert sorted(await upkeep.purge_of_departed(ids, before=NOW, messages=sent())) == ids
        assert await upkeep.activities_of(owner.id, most=10) == []
        assert (await audit.list(Page())).total == 2

    async def test_an_account_is_erased_once_and_logged(
        self, upkeep: UpkeepRepoPort, users: UserRepoPort, gone: User, audit: AuditLogPort
    ):
        assert not await upkeep.erase(gone.id, before=BEFORE, messages=sent())
        assert await upkeep.erase(gone.id, before=NOW, messages=sent())
        assert not await upkeep.erase(gone.id, before=NOW, messages=sent())
        assert (await users.list(Page(), AccountFilter(id=gone.id, state=AccountState.DELETED))).items == ()
        (entry,) = (await audit.list(Page())).items
        assert (entry.action, entry.subject_id, entry.owner_id) == (AuditAction.USER_ERASED, gone.id, gone.id)

    async def test_a_living_account_is_not_erased_nor_one_that_has_activities(
        self, upkeep: UpkeepRepoPort, users: UserRepoPort, repo: ActivityRepoPort, owner: User, audit: AuditLogPort
    ):
        await self.kept(repo, owner)
        assert not await upkeep.erase(owner.id, before=LATER, messages=sent())
        await users.soft_delete(owner.id, before="-", at=NOW, messages=messages())
        assert not await upkeep.erase(owner.id, before=NOW, messages=sent())
        assert (await audit.list(Page())).items == ()

    async def test_a_restored_account_is_not_erased(self, upkeep: UpkeepRepoPort, users: UserRepoPort, gone: User):
        assert await users.restore(gone.id, after=BEFORE, messages=sent())
        assert not await upkeep.erase(gone.id, before=NOW, messages=sent())
        assert await users.get(gone.id) is not None

    async def test_old_idempotency_keys_are_forgotten(
        self, upkeep: UpkeepRepoPort, repo: ActivityRepoPort, owner: User
    ):
        key = IdempotencyKey("k", "body")
        await self.kept(repo, owner, key)
        assert await upkeep.forget_keys(before=BEFORE, most=10) == 0
        again = await repo.add(an_activity(user_id=owner.id), messages=messages(idempotency=key))
        assert again.replayed
        assert await upkeep.forget_keys(before=NOW, most=10) == 1
        again = await repo.add(an_activity(user_id=owner.id), messages=messages(idempotency=key))
        assert not again.replayed

    async def test_what_is_overdue_is_counted(
        self, upkeep: UpkeepRepoPort, repo: ActivityRepoPort, owner: User, gone: User
    ):
        await self.trashed(repo, owner)
        await self.trashed(repo, owner, at=LATER)
        found = await upkeep.overdue(trashed=NOW + timedelta(minutes=1), departed=NOW + timedelta(minutes=2))
        assert (found.activities, found.activities_s) == (1, 60.0)
        assert (found.accounts, found.accounts_s) == (1, 120.0)
        nothing = await upkeep.overdue(trashed=BEFORE, departed=BEFORE)
        assert (nothing.activities, nothing.activities_s, nothing.accounts, nothing.accounts_s) == (0, 0.0, 0, 0.0)
