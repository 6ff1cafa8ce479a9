"""The change log in PostgreSQL: under the contract of its port, and while everything changes at once."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from fitness.adapters.postgres.activities import PostgresActivityRepo
from fitness.adapters.postgres.changes import PostgresChangeLog
from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.tags import PostgresTagRepo
from fitness.adapters.postgres.users import PostgresUserRepo
from fitness.domain.model.activities import Activity
from fitness.domain.model.audit import Authority
from fitness.domain.model.refusals import IdempotentRequestInFlight
from fitness.domain.model.users import User
from fitness.ports.activities import KEPT_FOR, ActivityRepoPort
from fitness.ports.changes import ChangeLogPort
from fitness.ports.messages import IdempotencyKey
from fitness.ports.tags import TagRepoPort
from fitness.ports.users import UserRepoPort
from tests.builders import NOW, a_registration, an_activity, messages
from tests.unit.contracts.changes import ChangeLogContract

LATER = NOW + timedelta(hours=1)
BY_ADMIN = Authority(actor_id=7, at=LATER, reason="asked for")


class InOneDatabase:
    @pytest.fixture
    def log(self, database: Database) -> ChangeLogPort:
        return PostgresChangeLog(database)

    @pytest.fixture
    def repo(self, database: Database) -> ActivityRepoPort:
        return PostgresActivityRepo(database)

    @pytest.fixture
    def users(self, database: Database) -> UserRepoPort:
        return PostgresUserRepo(database)

    @pytest.fixture
    def tags(self, database: Database) -> TagRepoPort:
        return PostgresTagRepo(database)


class TestPostgresChangeLog(InOneDatabase, ChangeLogContract):
    pass


class Writer:
    """Changes activities of several people in every way there is, as one process of several does."""

    def __init__(self, database: Database, people: list[User], seed: int) -> None:
        self._repo = PostgresActivityRepo(database)
        self._tags = PostgresTagRepo(database)
        self._people = people
        self._draw = random.Random(seed)
        self.entries = 0
        """That the changes made so far have in the log."""

    async def write(self, rounds: int) -> None:
        for number in range(rounds):
            # Ten at once go together in statements of several people; the order of their ids is none of the people's.
            shuffled = self._draw.sample(self._people * 2, 10)
            made = await asyncio.gather(*(self._create(one) for one in shuffled))
            self._count(len(made))
            some = [made[place] for place in self._draw.sample(range(10), 4)]
            await asyncio.gather(
                self._update(some[0]), self._purge(some[1]), self._restore(some[2]), self._again(some[3], number)
            )
            await self._rename(self._draw.choice(self._people), f"tag{number % 3}", f"tag{(number + 1) % 3}")

    async def _create(self, owner: User) -> Activity:
        new = an_activity(user_id=owner.id, tags=(f"tag{self._draw.randrange(3)}",))
        return (await self._repo.add(new, messages=messages())).activity

    async def _update(self, activity: Activity) -> None:
        changed = replace(activity, title="Hills", version=activity.version + 1, updated_at=LATER)
        self._count(await self._repo.update(changed, messages=messages()))

    async def _trash(self, activity: Activity) -> None:
        self._count(await self._repo.soft_delete(activity.id, owner=activity.user_id, at=LATER, messages=messages()))

    async def _restore(self, activity: Activity) -> None:
        await self._trash(activity)
        back = await self._repo.restore(activity.id, owner=activity.user_id, at=LATER, messages=messages())
        self._count(back is not None)

    async def _purge(self, activity: Activity) -> None:
        await self._trash(activity)
        self._count(await self._repo.purge(activity.id, messages=messages(authority=BY_ADMIN)))

    async def _again(self, activity: Activity, number: int) -> None:
        new = an_activity(user_id=activity.user_id)
        try:
            created = await self._repo.add(new, messages=messages(idempotency=IdempotencyKey(f"{number}", "-")))
        except IdempotentRequestInFlight:
            return
        self._count(not created.replayed)

    async def _rename(self, owner: User, tag: str, instead: str) -> None:
        ids = await self._tags.tagged(owner.id, tag, most=500)
        self._count(await self._tags.replace(owner.id, tag, instead=instead, ids=ids, at=LATER, messages=messages()))

    def _count(self, entries: int) -> None:
        self.entries += entries


async def follow(log: ChangeLogPort, owner: User, written: asyncio.Event, draw: random.Random) -> int:
    """How many changes a reader saw that asks again and again for what came since; each is the next one."""
    seen = 0
    while True:
        last_round = written.is_set()
        page = await log.after(owner.id, seen, most=draw.choice([1, 7, 100]))
        for change in page.changes:
            assert change.seq == seen + 1
            assert change.activity is None or change.activity.user_id == owner.id
            seen = change.seq
        if last_round and seen == page.last_seq:
            return seen


class TestWhileEverythingChangesAtOnce(InOneDatabase):
    @pytest.fixture
    async def second(self, database_url: str) -> AsyncIterator[Database]:
        """The pool of another process."""
        second = Database(database_url, deadline_s=10.0)
        await second.open()
        yield second
        await second.close()

    async def test_readers_see_each_change_once_and_in_order_and_no_two_statements_wait_in_a_circle(
        self, database: Database, second: Database, log: ChangeLogPort, users: UserRepoPort
    ):
        people = [await users.add(a_registration(), password_hash="-", at=NOW) for _ in range(5)]
        pools = (database, second)
        writers = [Writer(pool, people, seed) for seed, pool in enumerate(pools * 2)]
        written = asyncio.Event()
        draw = random.Random(9)
        readers = [asyncio.ensure_future(follow(log, one, written, draw)) for one in people]
        await asyncio.gather(*(writer.write(12) for writer in writers))
        written.set()
        seen = sum(await asyncio.gather(*readers))
        assert seen == sum(writer.entries for writer in writers)

    async def test_trimming_waits_in_no_circle_with_changes(
        self, database: Database, second: Database, log: ChangeLogPort, users: UserRepoPort
    ):
        people = [await users.add(a_registration(), password_hash="-", at=NOW) for _ in range(5)]
        writers = [Writer(pool, people, seed) for seed, pool in enumerate((database, second))]
        written = asyncio.Event()

        async def trim() -> int:
            trimmed = 0
            while not written.is_set():
                trimmed += await PostgresChangeLog(second).trim(LATER + timedelta(days=1), most=20)
            return trimmed

        trimming = asyncio.ensure_future(trim())
        await asyncio.gather(*(writer.write(8) for writer in writers))
        written.set()
        trimmed = await trimming
        left = [len((await log.after(one.id, 0, most=10_000)).changes) for one in people]
        assert trimmed > 0
        assert trimmed + sum(left) == sum(writer.entries for writer in writers)

    async def test_a_request_that_forgets_expired_keys_and_a_purge_of_what_they_made_end_both(
        self, repo: ActivityRepoPort, users: UserRepoPort, database: Database
    ):
        """The one locks the keys and the person's counter, the other the counter and, by a cascade, the keys."""
        owner = await users.add(a_registration(), password_hash="-", at=NOW)
        for number in range(60):
            old = an_activity(user_id=owner.id, at=NOW - KEPT_FOR - timedelta(hours=1))
            made = await repo.add(old, messages=messages(idempotency=IdempotencyKey(f"old {number}", "-")))
            await repo.soft_delete(made.activity.id, owner=owner.id, at=NOW, messages=messages())
            again = messages(idempotency=IdempotencyKey(f"new {number}", "-"))
            await asyncio.gather(
                repo.add(an_activity(user_id=owner.id), messages=again),
                repo.purge(made.activity.id, messages=messages(authority=BY_ADMIN)),
            )
        assert await database.one("SELECT count(*) FROM idempotency_keys WHERE key LIKE 'old%%'", {}) == (0,)

    async def test_two_processes_that_update_the_same_activities_in_any_order_win_each_once(
        self, database: Database, second: Database, users: UserRepoPort
    ):
        people = [await users.add(a_registration(), password_hash="-", at=NOW) for _ in range(3)]
        repos = [PostgresActivityRepo(database), PostgresActivityRepo(second)]
        kept = [
            (await repos[0].add(an_activity(user_id=people[number % 3].id), messages=messages())).activity
            for number in range(30)
        ]
        draw = random.Random(4)
        for version in range(2, 12):
            changes = [replace(one, title=f"no {version}", version=version, updated_at=LATER) for one in kept]
            made = await asyncio.gather(
                *(repo.update(one, messages=messages()) for repo in repos for one in draw.sample(changes, len(changes)))
            )
            assert made.count(True) == len(kept)
