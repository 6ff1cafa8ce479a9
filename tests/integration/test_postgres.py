"""The PostgreSQL adapters under the contracts of their ports, and what is PostgreSQL's alone."""

import asyncio
from datetime import timedelta

import psycopg
import pytest

from fitness.adapters.postgres.activities import PostgresActivityRepo
from fitness.adapters.postgres.audit import PostgresAuditLog
from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.users import PostgresUserRepo
from fitness.domain.model.listings import ActivityFilter, Page, Position
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.audit import AuditLogPort
from fitness.ports.health import ProbePort
from fitness.ports.outages import DatabaseUnavailable
from fitness.ports.users import UserRepoPort
from tests.builders import LUNCH, NOW, a_registration, an_activity
from tests.unit.contracts.activities import LATER, ActivityRepoContract, authority
from tests.unit.contracts.health import ProbeContract
from tests.unit.contracts.users import UserRepoContract


class InOneDatabase:
    @pytest.fixture
    def repo(self, database: Database) -> ActivityRepoPort:
        return PostgresActivityRepo(database)

    @pytest.fixture
    def users(self, database: Database) -> UserRepoPort:
        return PostgresUserRepo(database)

    @pytest.fixture
    def audit(self, database: Database) -> AuditLogPort:
        return PostgresAuditLog(database)


class TestPostgresActivityRepo(InOneDatabase, ActivityRepoContract):
    async def test_restore_against_purge_leaves_exactly_one_winner_in_2000_races(
        self, repo: ActivityRepoPort, audit: AuditLogPort, users: UserRepoPort
    ):
        owner = await users.add(a_registration(), password_hash="-", at=NOW)
        kept = await repo.add_all([an_activity(user_id=owner.id) for _ in range(2_000)])
        await asyncio.gather(*(repo.soft_delete(one.id, owner=owner.id, at=LATER) for one in kept[:1]))
        restored = purged = 0
        for first in range(0, 2_000, 4):
            batch = kept[first : first + 4]
            await asyncio.gather(*(repo.soft_delete(one.id, owner=owner.id, at=LATER) for one in batch))
            # Who asks first alternates; four races at a time share the pool's ten connections.
            races = [(repo.restore(one.id, owner=owner.id, at=LATER), repo.purge(one.id, authority())) for one in batch]
            asked = [attempt for number, race in enumerate(races) for attempt in (race if number % 2 else race[::-1])]
            answers = await asyncio.gather(*asked)
            for number, one in enumerate(batch):
                back, gone = answers[2 * number : 2 * number + 2][:: 1 if number % 2 else -1]
                assert (back is None) != (gone is None)
                assert (await repo.state(one.id) is None) == (back is None)
                restored += back is not None
                purged += gone is not None
        assert restored + purged == 2_000
        assert min(restored, purged) > 100  # both do win: the race is one
        assert (await audit.list(Page())).total == purged

    async def test_a_page_at_any_depth_is_read_from_the_index(self, database: Database, repo: ActivityRepoPort):
        async with database.connection() as connection:
            await connection.execute(
                "INSERT INTO users (email, password_hash, timezone, created_at, updated_at)"
                " SELECT n || '@example.org', '-', 'UTC', now(), now() FROM generate_series(1, 2) AS n"
            )
            await connection.execute(
                "INSERT INTO activities (user_id, version, activity_type, activity_date, timezone, local_date,"
                " duration_minutes, source, created_at, updated_at)"
                " SELECT 1 + n % 2, 1, 'run', now() - n * interval '1 minute', 'UTC', now(), 30, 'manual', now(), now()"
                " FROM generate_series(1, 20000) AS n"
            )
            await connection.execute("VACUUM ANALYZE activities")
            plan = await connection.execute(
                "EXPLAIN SELECT id FROM live_activities"
                " WHERE user_id = 1 AND (activity_date, id) < (now() - interval '5 days', 1)"
                " ORDER BY activity_date DESC, id DESC LIMIT 20"
            )
            lines = [str(line[0]) for line in await plan.fetchall()]
        assert any("activities_newest" in line for line in lines), lines
        assert not any("Sort" in line for line in lines), lines
        deep = Position(LUNCH - timedelta(days=3650), 1)
        assert (await repo.list(1, ActivityFilter(), Page(after=deep))).total == 10_000


class TestPostgresUserRepo(InOneDatabase, UserRepoContract):
    pass


class TestAuditLogTable:
    @pytest.mark.parametrize(
        "statement",
        ["UPDATE audit_log SET reason = 'nothing'", "DELETE FROM audit_log", "TRUNCATE audit_log"],
    )
    async def test_an_entry_can_be_neither_changed_nor_removed(self, database: Database, statement: str):
        async with database.connection() as connection:
            await connection.execute(
                "INSERT INTO audit_log (at, action, subject_id, owner_id) VALUES (now(), 'activity_purged', 1, 1)"
            )
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                await connection.execute(statement.encode())

    async def test_a_purge_that_cannot_be_logged_does_not_happen(self, database: Database):
        repo, users = PostgresActivityRepo(database), PostgresUserRepo(database)
        owner = await users.add(a_registration(), password_hash="-", at=NOW)
        kept = (await repo.add(an_activity(user_id=owner.id))).activity
        await repo.soft_delete(kept.id, owner=owner.id, at=LATER)
        async with database.connection() as connection:
            await connection.execute("ALTER TABLE audit_log ADD CHECK (reason <> 'forbidden')")
        with pytest.raises(psycopg.errors.CheckViolation):
            await repo.purge(kept.id, authority(reason="forbidden"))
        assert await repo.state(kept.id) is not None


class TestDatabaseProbe(ProbeContract):
    @pytest.fixture
    def probe(self, database: Database) -> ProbePort:
        return database

    async def test_a_server_that_is_not_there_is_an_outage(self):
        database = Database("postgresql://127.0.0.1:1/fitness")
        await database.open()
        with pytest.raises(DatabaseUnavailable):
            await database.check()
        with pytest.raises(DatabaseUnavailable):
            await PostgresActivityRepo(database).get(1)
        await database.close()
