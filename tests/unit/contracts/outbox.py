"""What every OutboxPort promises."""

import pytest

from fitness.domain.model.users import User
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.cache import Era, Scope
from fitness.ports.cache_state import CacheStatePort
from fitness.ports.outbox import Backlog, OutboxPort, PendingInvalidation
from fitness.ports.users import UserRepoPort
from tests.builders import NOW, a_registration, an_activity, messages


class OutboxContract:
    """An implementation's class gives the fixtures `outbox`, `repo`, `users`, `states` over one store, which is new for
    each test."""

    @pytest.fixture
    async def era(self, states: CacheStatePort) -> Era:
        era = (await states.name_server("run", epoch=0)).state.era
        assert era is not None
        return era

    @pytest.fixture
    async def owner(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    async def entry(self, repo: ActivityRepoPort, owner: User, *scopes: Scope) -> PendingInvalidation:
        """An entry that a change wrote."""
        sent = messages(*scopes)
        await repo.add(an_activity(user_id=owner.id), messages=sent)
        return PendingInvalidation(sent.id, sent.invalidates)

    async def test_entries_are_pending_oldest_first_until_acknowledged(
        self, outbox: OutboxPort, era: Era, repo: ActivityRepoPort, owner: User
    ):
        entries = [await self.entry(repo, owner, Scope("user", number)) for number in range(3)]
        assert list(await outbox.pending()) == entries
        await outbox.acknowledge([entries[0].id, entries[2].id], era=era)
        assert list(await outbox.pending()) == [entries[1]]

    async def test_ids_that_are_gone_are_ignored(
        self, outbox: OutboxPort, era: Era, repo: ActivityRepoPort, owner: User
    ):
        kept = await self.entry(repo, owner, Scope("user", 1))
        await outbox.acknowledge([12345], era=era)
        await outbox.acknowledge([], era=era)
        assert list(await outbox.pending()) == [kept]

    async def test_a_young_entry_is_not_among_the_old(
        self, outbox: OutboxPort, era: Era, repo: ActivityRepoPort, owner: User
    ):
        await self.entry(repo, owner, Scope("user", 1))
        assert list(await outbox.pending(older_than_s=60)) == []
        assert len(await outbox.pending(older_than_s=0)) == 1

    async def test_those_of_a_scope_are_found(self, outbox: OutboxPort, era: Era, repo: ActivityRepoPort, owner: User):
        of_one = [await self.entry(repo, owner, Scope("activity", number), Scope("user", 1)) for number in range(2)]
        await self.entry(repo, owner, Scope("user", 11))
        assert list(await outbox.pending_of(Scope("user", 1))) == of_one
        assert list(await outbox.pending_of(Scope("activity", 1))) == of_one[1:]
        assert list(await outbox.pending_of(Scope("account", 1))) == []

    async def test_scopes_come_back_in_their_order(
        self, outbox: OutboxPort, era: Era, repo: ActivityRepoPort, owner: User
    ):
        entry = await self.entry(repo, owner, Scope("user", 7), Scope("activity", 2**40), Scope("account", 1))
        assert list(await outbox.pending()) == [entry]

    async def test_the_backlog_counts_what_is_pending(
        self, outbox: OutboxPort, era: Era, repo: ActivityRepoPort, owner: User
    ):
        assert await outbox.backlog() == Backlog(0, 0.0)
        entries = [await self.entry(repo, owner, Scope("user", number)) for number in range(2)]
        backlog = await outbox.backlog()
        assert backlog.pending == 2
        assert 0 <= backlog.oldest_s < 60
        await outbox.acknowledge([entry.id for entry in entries], era=era)
        assert await outbox.backlog() == Backlog(0, 0.0)
