"""The PostgreSQL adapters under the contracts of their ports, and what is PostgreSQL's alone."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.errors import UniqueViolation

from fitness.adapters.postgres.activities import PostgresActivityRepo
from fitness.adapters.postgres.activity_keys import LOCK_KEY
from fitness.adapters.postgres.api_keys import PostgresApiKeys
from fitness.adapters.postgres.audit import PostgresAuditLog
from fitness.adapters.postgres.cache_state import PostgresCacheState
from fitness.adapters.postgres.database import Connection, Database, fetch_one
from fitness.adapters.postgres.exports import PostgresExportRepo
from fitness.adapters.postgres.logins import PostgresLoginHistory
from fitness.adapters.postgres.migration_files import shipped_migrations
from fitness.adapters.postgres.objects import NAMED, PostgresObjectNames
from fitness.adapters.postgres.originals import PostgresOriginalRepo
from fitness.adapters.postgres.outbox import PostgresOutbox
from fitness.adapters.postgres.photos import PostgresPhotoRepo
from fitness.adapters.postgres.schema import SchemaProbe
from fitness.adapters.postgres.standings import PostgresStandings
from fitness.adapters.postgres.statistics import PostgresStatisticsRepo
from fitness.adapters.postgres.tags import PostgresTagRepo
from fitness.adapters.postgres.totals_diagnosis import TotalsDiagnosis
from fitness.adapters.postgres.users import ALONE, PostgresUserRepo
from fitness.domain.model.api_keys import key_digest
from fitness.domain.model.audit import Authority
from fitness.domain.model.listings import Page
from fitness.domain.model.refusals import IdempotentRequestInFlight, LastAdmin
from fitness.domain.model.sessions import IDLE_FOR
from fitness.domain.model.users import Role
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.api_keys import ApiKeyPort
from fitness.ports.audit import AuditLogPort
from fitness.ports.cache_state import CacheStatePort, Transition
from fitness.ports.exports import ExportRepoPort
from fitness.ports.health import ProbePort, Verdict
from fitness.ports.logins import LoginHistoryPort
from fitness.ports.messages import IdempotencyKey
from fitness.ports.objects import ObjectNamesPort
from fitness.ports.originals import OriginalRepoPort
from fitness.ports.outages import DatabaseUnavailable
from fitness.ports.outbox import OutboxPort
from fitness.ports.photos import PhotoRepoPort
from fitness.ports.setup import BadSetup
from fitness.ports.standings import StandingPort
from fitness.ports.statistics import StatisticsRepoPort
from fitness.ports.tags import TagRepoPort
from fitness.ports.users import UserRepoPort
from tests.builders import NOW, a_registration, an_activity, messages
from tests.harness.api import PATIENT_S
from tests.patience import PATIENCE_S
from tests.unit.contracts.activities import (
    LATER,
    ActivityRepoContract,
    add,
    add_all,
    authority,
    purge,
    restore,
    soft_delete,
)
from tests.unit.contracts.api_keys import ApiKeyContract, added, an_account
from tests.unit.contracts.cache_state import CacheStateContract
from tests.unit.contracts.exports import ExportRepoContract
from tests.unit.contracts.health import ProbeContract
from tests.unit.contracts.logins import LoginHistoryContract
from tests.unit.contracts.originals import OriginalRepoContract
from tests.unit.contracts.outbox import OutboxContract
from tests.unit.contracts.photos import PhotoRepoContract
from tests.unit.contracts.standings import StandingContract
from tests.unit.contracts.statistics import StatisticsRepoContract
from tests.unit.contracts.tags import TagRepoContract
from tests.unit.contracts.users import UserRepoContract


class InOneDatabase:
    @pytest.fixture
    def repo(self, database: Database) -> ActivityRepoPort:
        return PostgresActivityRepo(database)

    @pytest.fixture
    def users(self, database: Database) -> UserRepoPort:
        return PostgresUserRepo(database)

    @pytest.fixture
    def standings(self, database: Database) -> StandingPort:
        return PostgresStandings(database)

    @pytest.fixture
    def audit(self, database: Database) -> AuditLogPort:
        return PostgresAuditLog(database)

    @pytest.fixture
    def outbox(self, database: Database) -> OutboxPort:
        return PostgresOutbox(database)

    @pytest.fixture
    def states(self, database: Database) -> CacheStatePort:
        return PostgresCacheState(database, database)

    @pytest.fixture
    def statistics(self, database: Database) -> StatisticsRepoPort:
        return PostgresStatisticsRepo(database)

    @pytest.fixture
    def tags(self, database: Database) -> TagRepoPort:
        return PostgresTagRepo(database)

    @pytest.fixture
    def photos(self, database: Database) -> PhotoRepoPort:
        return PostgresPhotoRepo(database)

    @pytest.fixture
    def originals(self, database: Database) -> OriginalRepoPort:
        return PostgresOriginalRepo(database)

    @pytest.fixture
    def exports(self, database: Database) -> ExportRepoPort:
        return PostgresExportRepo(database)

    @pytest.fixture
    def names(self, database: Database) -> ObjectNamesPort:
        return PostgresObjectNames(database)


class TestPostgresExports(InOneDatabase, ExportRepoContract):
    pass


class TestPostgresOriginals(InOneDatabase, OriginalRepoContract):
    async def test_the_sweep_asks_every_table_whose_objects_are_released(self, database: Database):
        """It would delete the objects of one that it does not ask."""
        rows = await database.all(
            """
            SELECT DISTINCT tgrelid::regclass::text
            FROM pg_trigger
            JOIN pg_proc ON pg_proc.oid = tgfoid
            WHERE prosrc LIKE '%INTO released_objects%'
            """
        )
        tables = {table for (table,) in rows}
        assert "originals" in tables
        assert {*re.findall(r"FROM (\w+)", NAMED)} == tables


class TestStatisticsOfMany(InOneDatabase, StatisticsRepoContract):
    """Where already one activity is too many to be added up in the process."""

    @pytest.fixture
    def statistics(self, database: Database) -> StatisticsRepoPort:
        return PostgresStatisticsRepo(database, few=0)


class TestPostgresStatistics(InOneDatabase, StatisticsRepoContract):
    async def test_totals_stay_right_while_they_are_rebuilt_under_writes_of_several_processes(
        self, database: Database, database_url: str, users: UserRepoPort
    ):
        """And no two statements wait for each other: PostgreSQL would end one of them, and its change would fail."""
        people = [await users.add(a_registration(), password_hash="-", at=NOW) for _ in range(12)]
        second = Database(database_url, deadline_s=10.0)
        await second.open()
        draw = random.Random(5)

        async def write(repo: ActivityRepoPort) -> None:
            for _ in range(50):
                # Of totals that are there, and of new ones.
                day = NOW - timedelta(days=draw.choice([0, 0, 0, draw.randrange(9_000)]))
                chosen = draw.sample(people, len(people))
                new = [an_activity(user_id=one.id, activity_date=day) for one in chosen]
                added = await asyncio.gather(*(add(repo, one) for one in new))
                gone = added[draw.randrange(len(added))].activity
                assert await soft_delete(repo, gone.id, owner=gone.user_id, at=LATER)

        async def rebuild() -> None:
            statistics = PostgresStatisticsRepo(database)
            after: int | None = 0
            while after is not None or not written.is_set():
                after = await statistics.rebuild(after=after or 0)

        written = asyncio.Event()
        rebuilding = asyncio.ensure_future(rebuild())
        await asyncio.gather(*(write(PostgresActivityRepo(one)) for one in (database, second)))
        written.set()
        await rebuilding
        await second.close()
        assert await database.one("SELECT sum(activities) FROM activity_totals WHERE span = 'month'") == (2 * 50 * 11,)
        (finding,) = await TotalsDiagnosis(database_url).diagnose()
        assert finding.verdict is Verdict.GOOD


class TestPostgresTags(InOneDatabase, TagRepoContract):
    pass


class TestPostgresPhotos(InOneDatabase, PhotoRepoContract):
    pass


class TestPostgresCacheState(InOneDatabase, CacheStateContract):
    @pytest.fixture
    def states(self, database: Database) -> CacheStatePort:
        return OftenSwitched(database, database)

    async def test_servers_change_at_most_once_in_five_seconds(self, database: Database):
        states = PostgresCacheState(database, database)
        state = (await states.name_server("first", epoch=0)).state
        state = (await states.name_server("second", epoch=state.epoch)).state
        # Not five seconds ago, however long the next question takes.
        await database.all("UPDATE cache_state SET switched_at = clock_timestamp() + interval '1 hour' RETURNING era")
        assert not (await states.name_server("third", epoch=state.epoch)).changed


class OftenSwitched(PostgresCacheState):
    """Its last change of server is always long ago."""

    async def name_server(self, run_id: str, *, epoch: int) -> Transition:
        await self._database.all("UPDATE cache_state SET switched_at = '-infinity' RETURNING epoch")
        return await super().name_server(run_id, epoch=epoch)


class TestPostgresActivityRepo(InOneDatabase, ActivityRepoContract):
    async def test_restore_against_purge_leaves_exactly_one_winner_in_2000_races(
        self, repo: ActivityRepoPort, audit: AuditLogPort, users: UserRepoPort
    ):
        owner = await users.add(a_registration(), password_hash="-", at=NOW)
        kept = []
        for _ in range(20):  # each batch is one transaction, with one deadline
            kept += await add_all(repo, [an_activity(user_id=owner.id) for _ in range(100)])
        restored = purged = 0
        for first in range(0, 2_000, 4):
            batch = kept[first : first + 4]
            await asyncio.gather(*(soft_delete(repo, one.id, owner=owner.id, at=LATER) for one in batch))
            # Who asks first alternates; four races at a time share the pool's ten connections.
            races = [
                (restore(repo, one.id, owner=owner.id, at=LATER), purge(repo, one.id, authority())) for one in batch
            ]
            asked = [attempt for number, race in enumerate(races) for attempt in (race if number % 2 else race[::-1])]
            answers: list[Any] = await asyncio.gather(*asked)
            states = await asyncio.gather(*(repo.state(one.id) for one in batch))
            for number, state in enumerate(states):
                back, gone = answers[2 * number : 2 * number + 2][:: 1 if number % 2 else -1]
                assert (back is not None) != gone
                assert (state is None) == gone
                restored += back is not None
                purged += gone
        assert restored + purged == 2_000
        assert min(restored, purged) > 100  # both do win: the race is one
        assert (await audit.list(Page())).total == purged

    async def test_an_id_that_was_given_twice_is_an_error_and_is_not_tried_for_ever(
        self, repo: ActivityRepoPort, users: UserRepoPort
    ):
        owner = await users.add(a_registration(), password_hash="-", at=NOW)
        first = (await add(repo, an_activity(user_id=owner.id))).activity
        with pytest.raises(UniqueViolation):
            await add(repo, replace(an_activity(user_id=owner.id), id=first.id))


class TestPostgresUserRepo(InOneDatabase, UserRepoContract):
    async def test_a_demotion_waits_for_another_that_is_under_way(
        self, users: UserRepoPort, database: Database, database_url: str
    ):
        ids = [(await users.add(a_registration(), password_hash="-", at=NOW)).id for _ in range(2)]
        by_nobody = Authority(actor_id=None, at=NOW, reason="-")
        for admin_id in ids:
            await users.set_standing(admin_id, role=Role.ADMIN, messages=messages(authority=by_nobody))
        async with await psycopg.AsyncConnection.connect(database_url) as other:
            await other.execute(ALONE)  # as every demotion begins
            await other.execute("UPDATE users SET role = 'user' WHERE id = %s", [ids[0]])
            demoting = users.set_standing(ids[1], role=Role.USER, messages=messages(authority=by_nobody))
            demotion = asyncio.ensure_future(demoting)
            waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            while not demotion.done() and not await database.all(waits):
                await asyncio.wait({demotion}, timeout=0.01)
        with pytest.raises(LastAdmin):
            await demotion


class TestPostgresApiKeys(InOneDatabase, ApiKeyContract):
    @pytest.fixture
    def api_keys(self, database: Database) -> ApiKeyPort:
        return PostgresApiKeys(database)

    async def test_a_key_that_expires_later_than_python_has_times_never_expires(
        self, api_keys: ApiKeyPort, users: UserRepoPort, database: Database
    ):
        owner = await an_account(users)
        kept = await added(api_keys, owner, expires_at=NOW + timedelta(days=1))
        await database.all("UPDATE api_keys SET expires_at = '10000-01-01T04:59:59Z' RETURNING id")
        assert list(await api_keys.list(owner, at=NOW)) == [replace(kept, expires_at=None)]
        found = await api_keys.of(key_digest("fit_a"), at=NOW)
        assert found is not None
        assert found.expires_at is None


class TestPostgresStandings(InOneDatabase, StandingContract):
    async def test_revocations_of_sessions_that_would_have_ended_are_forgotten(
        self, standings: StandingPort, users: UserRepoPort, database: Database
    ):
        user = await users.add(a_registration(), password_hash="-", at=NOW)
        for session_id, at in [("old", NOW), ("young", NOW + timedelta(seconds=1)), ("new", NOW + IDLE_FOR)]:
            await standings.revoke(user.id, session_id, at=at, messages=messages())
        rows = await database.all("SELECT session_id FROM revoked_sessions ORDER BY session_id")
        assert rows == [("new",), ("young",)]


class TestPostgresOutbox(InOneDatabase, OutboxContract):
    pass


class TestPostgresLoginHistory(LoginHistoryContract):
    @pytest.fixture
    def logins(self, database: Database) -> LoginHistoryPort:
        return PostgresLoginHistory(database)


class TestIdempotencyKeys:
    async def test_while_the_first_request_runs_the_others_are_told_so_at_once(self, database: Database):
        repo, users = PostgresActivityRepo(database), PostgresUserRepo(database)
        owner = await users.add(a_registration(), password_hash="-", at=NOW)
        key = IdempotencyKey("k", "body")

        async def first_request(connection: Connection) -> None:
            assert await fetch_one(connection, LOCK_KEY, {"user_id": owner.id, "key": "k"}) == (True,)
            with pytest.raises(IdempotentRequestInFlight):
                await add(repo, an_activity(user_id=owner.id), idempotency=key)
            await add(repo, an_activity(user_id=owner.id), idempotency=IdempotencyKey("another", "body"))

        await database.transaction(first_request)
        assert not (await add(repo, an_activity(user_id=owner.id), idempotency=key)).replayed


@pytest.mark.parametrize("limit", ["transaction_timeout", "idle_in_transaction_session_timeout"])
async def test_a_process_that_is_late_within_a_transaction_is_told_of_an_outage(database: Database, limit: str):
    ended = "SELECT count(*) FROM pg_stat_activity WHERE pid = %(pid)s"

    async def late(connection: Connection) -> object:
        await connection.execute(f"SET {limit} = '10ms'".encode())
        async with connection.transaction():
            pid = {"pid": connection.info.backend_pid}
            async with asyncio.timeout(PATIENCE_S):
                while await database.one(ended, pid) != (0,):  # noqa: ASYNC110 - PostgreSQL has no event for it
                    await asyncio.sleep(0.01)
            return await connection.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        await database.run(late)
    await database.check()


class TestActivitiesOfAFile:
    """On a database that gives up early, once it is connected."""

    @pytest.fixture
    async def hasty(self, database_url: str) -> AsyncIterator[Database]:
        hasty = Database(database_url, deadline_s=1.0)
        await hasty.open()
        await hasty.check()
        yield hasty
        await hasty.close()

    async def test_what_was_answered_with_an_outage_is_not_committed_later(
        self, database: Database, hasty: Database, database_url: str
    ):
        owner = await PostgresUserRepo(database).add(a_registration(), password_hash="-", at=NOW)
        async with await psycopg.AsyncConnection.connect(database_url) as other:
            await other.execute("LOCK TABLE activities IN SHARE MODE")
            with pytest.raises(DatabaseUnavailable):
                await add_all(PostgresActivityRepo(hasty), [an_activity(user_id=owner.id) for _ in range(3)])
            await other.commit()  # the INSERT, which is abandoned, goes on
            await other.execute("LOCK TABLE activities IN ACCESS EXCLUSIVE MODE")  # waits for it to end
        assert await database.one("SELECT count(*) FROM activities") == (0,)
        assert await database.one("SELECT count(*) FROM cache_outbox") == (0,)

    async def test_a_commit_that_was_sent_is_waited_for(self, database: Database, hasty: Database, owner_url: str):
        owner = await PostgresUserRepo(database).add(a_registration(), password_hash="-", at=NOW)
        with psycopg.connect(owner_url, autocommit=True) as connection:
            connection.execute(
                "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
                " $$BEGIN PERFORM pg_sleep(1.3); RETURN NULL; END$$"
            )
            connection.execute(
                "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON activities DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION wait()"
            )
        (kept,) = await add_all(PostgresActivityRepo(hasty), [an_activity(user_id=owner.id)])
        assert await PostgresActivityRepo(database).get(kept.id) == kept


class TestAuditLogTable:
    """As the owner of the tables, whom the trigger holds off, where rights do not; see also test_roles.py."""

    @pytest.fixture
    async def database(self, owner_url: str) -> AsyncIterator[Database]:
        database = Database(owner_url, deadline_s=PATIENT_S)
        await database.open()
        yield database
        await database.close()

    @pytest.mark.parametrize(
        "statement",
        ["UPDATE audit_log SET reason = 'nothing'", "DELETE FROM audit_log", "TRUNCATE audit_log"],
    )
    async def test_an_entry_can_be_neither_changed_nor_removed(self, database: Database, statement: str):
        await database.all(
            "INSERT INTO audit_log (at, action, subject_id, owner_id)"
            " VALUES (now(), 'activity_purged', 1, 1) RETURNING id"
        )
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            await database.one(statement)

    async def test_a_purge_that_cannot_be_logged_does_not_happen(self, database: Database):
        repo, users = PostgresActivityRepo(database), PostgresUserRepo(database)
        owner = await users.add(a_registration(), password_hash="-", at=NOW)
        kept = (await add(repo, an_activity(user_id=owner.id))).activity
        await soft_delete(repo, kept.id, owner=owner.id, at=LATER)

        async def forbid(connection: Connection) -> None:
            await connection.execute("ALTER TABLE audit_log ADD CHECK (reason <> 'forbidden')")

        await database.run(forbid)
        with pytest.raises(psycopg.errors.CheckViolation):
            await purge(repo, kept.id, authority(reason="forbidden"))
        assert await repo.state(kept.id) is not None


class TestDatabaseProbe(ProbeContract):
    @pytest.fixture
    def probe(self, database: Database) -> ProbePort:
        return database

    async def test_a_server_that_is_not_there_is_an_outage(self):
        database = Database("postgresql://127.0.0.1:1/fitness")
        await database.open()
        answers = await asyncio.gather(database.check(), PostgresActivityRepo(database).get(1), return_exceptions=True)
        assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 2
        await database.close()


class TestSchemaProbe(ProbeContract):
    @pytest.fixture
    def probe(self, database: Database) -> ProbePort:
        return SchemaProbe(database)

    async def test_a_schema_that_lacks_a_migration_has_to_be_migrated(self, database: Database):
        newest = shipped_migrations()[-1].version
        with pytest.raises(BadSetup, match=f"the schema is at {newest:03}, this version needs {newest + 1:03}: run"):
            await SchemaProbe(database, needed=newest + 1).check()

    async def test_a_database_without_any_migration_has_to_be_migrated(self, empty_database_url: str):
        database = Database(empty_database_url, deadline_s=PATIENT_S)
        await database.open()
        with pytest.raises(BadSetup, match="the schema is at 000"):
            await SchemaProbe(database).check()
        await database.close()

    async def test_a_later_schema_is_sound(self, database: Database):
        await SchemaProbe(database, needed=11).check()

    async def test_a_migration_that_is_taken_back_is_noticed(self, database: Database, owner_url: str):
        probe = SchemaProbe(database)
        await probe.check()
        with psycopg.connect(owner_url) as connection:
            connection.execute("DELETE FROM schema_migrations WHERE version = %s", [shipped_migrations()[-1].version])
        with pytest.raises(BadSetup):
            await probe.check()

    async def test_a_server_that_is_not_there_is_an_outage(self):
        database = Database("postgresql://127.0.0.1:1/fitness")
        await database.open()
        with pytest.raises(DatabaseUnavailable):
            await SchemaProbe(database).check()
        await database.close()
