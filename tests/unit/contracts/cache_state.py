"""What every CacheStatePort promises."""

import asyncio

import pytest

from fitness.domain.model.users import User
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.cache import Scope
from fitness.ports.cache_state import CacheState, CacheStatePort
from fitness.ports.outbox import OutboxPort, PendingInvalidation
from fitness.ports.users import UserRepoPort
from tests.builders import NOW, a_registration, an_activity, messages


class CacheStateContract:
    """An implementation's class gives the fixtures `states`, `outbox`, `repo`, `users` over one store, which is new for
    each test; `states` allows the server to change at any time."""

    @pytest.fixture
    async def owner(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    async def opened(self, states: CacheStatePort) -> CacheState:
        return (await states.name_server("first", epoch=(await states.read()).epoch)).state

    async def committed(self, repo: ActivityRepoPort, owner: User) -> PendingInvalidation:
        sent = messages(Scope("user", owner.id))
        await repo.add(an_activity(user_id=owner.id), messages=sent)
        return PendingInvalidation(sent.id, sent.invalidates)

    async def test_at_first_it_is_closed_and_names_no_server(self, states: CacheStatePort):
        assert await states.read() == CacheState(era=None, closed=True, unread=True, epoch=0)

    async def test_the_very_first_server_is_open_at_once(self, states: CacheStatePort):
        state = await self.opened(states)
        assert state.era is not None
        assert (state.era.run_id, state.closed, state.epoch) == ("first", False, 1)
        assert await states.read() == state

    async def test_another_server_begins_a_new_era_and_closes_the_cache(self, states: CacheStatePort):
        before = await self.opened(states)
        named = await states.name_server("second", epoch=before.epoch)
        assert named.changed
        assert named.state.era is not None
        assert before.era is not None
        assert (named.state.era.run_id, named.state.closed, named.state.unread) == ("second", True, True)
        assert named.state.era.name != before.era.name
        back = await states.name_server("first", epoch=named.state.epoch)
        assert back.state.era is not None
        assert back.state.era.name not in (before.era.name, named.state.era.name)

    async def test_the_server_that_is_named_already_changes_nothing(self, states: CacheStatePort):
        state = await self.opened(states)
        named = await states.name_server("first", epoch=state.epoch)
        assert (named.state, named.changed) == (state, False)

    async def test_what_is_done_on_an_outdated_row_changes_nothing(self, states: CacheStatePort):
        state = await self.opened(states)
        assert not (await states.name_server("second", epoch=state.epoch - 1)).changed
        closed = (await states.close(PendingInvalidation(1, (Scope("user", 1),)))).state
        assert not (await states.open(epoch=state.epoch)).changed
        assert await states.read() == closed

    async def test_of_many_who_name_a_server_one_does(self, states: CacheStatePort):
        state = await self.opened(states)
        named = await asyncio.gather(*(states.name_server(f"r{one}", epoch=state.epoch) for one in range(8)))
        assert sum(one.changed for one in named) == 1
        assert len({one.state.era for one in named if one.changed}) == 1

    async def test_closing_marks_the_entry_and_keeps_the_cache_closed_until_it_is_carried_out(
        self, states: CacheStatePort, outbox: OutboxPort, repo: ActivityRepoPort, owner: User
    ):
        era = (await self.opened(states)).era
        assert era is not None
        entry = await self.committed(repo, owner)
        closed = await states.close(entry)
        assert (closed.changed, closed.state.closed, closed.state.unread, closed.state.era) == (True, True, False, era)
        assert not (await states.open(epoch=closed.state.epoch)).changed
        assert list(await outbox.pending()) == [entry]
        await outbox.acknowledge([entry.id], era=era)
        opened = await states.open(epoch=closed.state.epoch)
        assert (opened.changed, opened.state.closed) == (True, False)
        assert opened.state.epoch == closed.state.epoch + 1

    async def test_an_entry_that_is_not_marked_does_not_keep_it_closed(
        self, states: CacheStatePort, outbox: OutboxPort, repo: ActivityRepoPort, owner: User
    ):
        era = (await self.opened(states)).era
        assert era is not None
        marked = await self.committed(repo, owner)
        closed = (await states.close(marked)).state
        await self.committed(repo, owner)
        await outbox.acknowledge([marked.id], era=era)
        assert (await states.open(epoch=closed.epoch)).changed

    async def test_who_closes_what_is_closed_marks_and_changes_nothing_else(
        self, states: CacheStatePort, repo: ActivityRepoPort, owner: User
    ):
        await self.opened(states)
        first = await states.close(await self.committed(repo, owner))
        second = await states.close(await self.committed(repo, owner))
        assert (second.state, second.changed) == (first.state, False)

    async def test_an_entry_that_is_gone_is_written_again(
        self, states: CacheStatePort, outbox: OutboxPort, repo: ActivityRepoPort, owner: User
    ):
        era = (await self.opened(states)).era
        assert era is not None
        entry = await self.committed(repo, owner)
        await outbox.acknowledge([entry.id], era=era)
        closed = (await states.close(entry)).state
        assert list(await outbox.pending()) == [entry]
        assert not (await states.open(epoch=closed.epoch)).changed

    async def test_unconfirmed_entries_of_an_earlier_era_do_not_keep_a_new_one_closed(
        self, states: CacheStatePort, repo: ActivityRepoPort, owner: User
    ):
        await self.opened(states)
        closed = (await states.close(await self.committed(repo, owner))).state
        named = (await states.name_server("second", epoch=closed.epoch)).state
        assert (await states.open(epoch=named.epoch)).changed

    async def test_what_was_carried_out_in_an_earlier_era_stays_pending(
        self, states: CacheStatePort, outbox: OutboxPort, repo: ActivityRepoPort, owner: User
    ):
        before = await self.opened(states)
        assert before.era is not None
        entry = await self.committed(repo, owner)
        await states.name_server("second", epoch=before.epoch)
        await outbox.acknowledge([entry.id], era=before.era)
        assert list(await outbox.pending()) == [entry]

    async def test_of_closings_and_openings_at_once_no_marked_entry_is_overlooked(
        self, states: CacheStatePort, outbox: OutboxPort, repo: ActivityRepoPort, owner: User
    ):
        era = (await self.opened(states)).era
        assert era is not None
        for _ in range(30):
            first = await self.committed(repo, owner)
            closed = (await states.close(first)).state
            second = await self.committed(repo, owner)
            await outbox.acknowledge([first.id], era=era)
            await asyncio.gather(states.close(second), states.open(epoch=closed.epoch))
            assert (await states.read()).closed  # whichever came first
            await outbox.acknowledge([second.id], era=era)
            await states.open(epoch=(await states.read()).epoch)
