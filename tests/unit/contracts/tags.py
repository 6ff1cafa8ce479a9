"""What every TagRepoPort promises."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fitness.domain.model.activities import Activity
from fitness.domain.model.tags import TagCount
from fitness.domain.model.users import User
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.cache import Scope
from fitness.ports.outbox import OutboxPort
from fitness.ports.tags import TagRepoPort
from fitness.ports.users import UserRepoPort
from tests.builders import NOW, a_registration, an_activity, messages

LATER = NOW + timedelta(hours=1)
LONG = tuple(f"{number:02}" + "ß" * 48 for number in range(12))
"""More tags than fit into an index entry."""


class TagRepoContract:
    """An implementation's class gives the fixtures `repo`, `users`, `tags` and `outbox` over one store."""

    @pytest.fixture
    async def owner(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    @pytest.fixture
    async def add(self, repo: ActivityRepoPort, owner: User) -> Any:
        async def add(*tags: str) -> Activity:
            return (await repo.add(an_activity(user_id=owner.id, tags=tags), messages=messages())).activity

        return add

    async def test_tags_are_counted_over_live_activities_and_the_most_used_come_first(
        self, tags: TagRepoPort, repo: ActivityRepoPort, owner: User, add: Any
    ):
        await add("race", "hills")
        await add("race", "a b", "%")
        await add()
        gone = await add("race", "gone")
        await repo.soft_delete(gone.id, owner=owner.id, at=NOW, messages=messages())
        assert await tags.list(owner.id) == [
            TagCount("race", 2),
            TagCount("%", 1),
            TagCount("a b", 1),
            TagCount("hills", 1),
        ]
        assert await tags.list(owner.id + 1_000) == []

    async def test_tags_that_are_too_long_for_an_index_are_counted_too(self, tags: TagRepoPort, owner: User, add: Any):
        await add(*LONG)
        assert await tags.list(owner.id) == [TagCount(name, 1) for name in LONG]
        assert len(await tags.tagged(owner.id, LONG[3], most=10)) == 1

    async def test_tagged_ones_are_found_live_or_in_the_trash(
        self, tags: TagRepoPort, repo: ActivityRepoPort, owner: User, add: Any
    ):
        kept = [await add("race"), await add("race", "hills"), await add("races")]
        await repo.soft_delete(kept[0].id, owner=owner.id, at=NOW, messages=messages())
        assert await tags.tagged(owner.id, "race", most=10) == [kept[0].id, kept[1].id]
        assert len(await tags.tagged(owner.id, "race", most=1)) == 1
        assert await tags.tagged(owner.id + 1_000, "race", most=10) == []

    @pytest.mark.parametrize(
        ("before", "instead", "after"),
        [
            (("a", "race", "b"), "contest", ("a", "contest", "b")),
            (("a", "race", "contest"), "contest", ("a", "contest")),
            (("a", "race"), None, ("a",)),
            (("race",), None, ()),
        ],
    )
    async def test_a_tag_is_replaced_or_taken_off_and_none_is_there_twice(
        self,
        tags: TagRepoPort,
        repo: ActivityRepoPort,
        owner: User,
        add: Any,
        before: tuple[str, ...],
        instead: str | None,
        after: tuple[str, ...],
    ):
        one = await add(*before)
        changed = await tags.replace(owner.id, "race", instead=instead, ids=[one.id], at=LATER, messages=messages())
        assert changed == 1
        assert await repo.get(one.id) == replace(one, tags=after, version=2, updated_at=LATER)

    async def test_its_outbox_entry_can_be_held(self, tags: TagRepoPort, outbox: OutboxPort, owner: User, add: Any):
        one, before = await add("race"), len(await outbox.pending())
        held = replace(messages(Scope("user", owner.id)), held_s=600.0)
        await tags.replace(owner.id, "race", instead=None, ids=[one.id], at=LATER, messages=held)
        assert len(await outbox.pending()) == before
        assert [entry.id for entry in await outbox.pending_of(Scope("user", owner.id))][-1] == held.id
        assert (await outbox.backlog()).pending == before + 1

    async def test_only_the_owners_activities_of_these_ids_that_have_it_change(
        self, tags: TagRepoPort, repo: ActivityRepoPort, users: UserRepoPort, outbox: OutboxPort, owner: User, add: Any
    ):
        named, unnamed, without = await add("race"), await add("race"), await add("hills")
        stranger = await users.add(a_registration(), password_hash="-", at=NOW)
        theirs = (await repo.add(an_activity(user_id=stranger.id, tags=("race",)), messages=messages())).activity
        ids = [named.id, without.id, theirs.id, 2**40]
        before = len(await outbox.pending())

        async def rename() -> int:
            carried = messages(Scope("user", owner.id))
            return await tags.replace(owner.id, "race", instead="x", ids=ids, at=LATER, messages=carried)

        assert await rename() == 1
        assert len(await outbox.pending()) == before + 1
        for same in (unnamed, without, theirs):
            assert await repo.get(same.id) == same
        assert await rename() == 0
        assert len(await outbox.pending()) == before + 1
