"""The service's role in PostgreSQL: it can do what the service needs, and cannot rewrite the audit log.

That the whole API works under it is shown by every other test of this folder: `database_url` connects as that role.
"""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fitness.adapters.embedded.engines import SERVICE, EngineUrls
from fitness.adapters.postgres.migration_files import shipped_migrations
from fitness.adapters.postgres.migration_runner import Migrations
from fitness.adapters.postgres.role_diagnosis import RoleDiagnosis
from fitness.ports.setup import BadSetup
from tests.harness.servers import PostgresServer

ROLES = Path(__file__).parents[2] / "ops" / "postgres" / "roles.sh"
PASSWORD = "SELECT rolcanlogin, rolsuper, rolpassword FROM pg_authid WHERE rolname = %s"

AUDITED = "INSERT INTO audit_log (at, action, subject_id, owner_id) VALUES (now(), 'activity_purged', 1, 1)"
WHO = "SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = current_user"
OWNED = """
    SELECT relname
    FROM pg_class
    WHERE pg_has_role(relowner, 'MEMBER')
"""


@pytest.fixture
def service(database_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def said_of(url: str) -> list[str]:
    return [f"{one.verdict} {one.message}" for one in asyncio.run(RoleDiagnosis(url).diagnose())]


def run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def test_the_role_of_the_embedded_service_is_no_superuser_and_owns_nothing(
    service: psycopg.Connection[tuple[object, ...]],
):
    assert service.execute(WHO).fetchall() == [(SERVICE, False, False, False, False)]
    assert service.execute(OWNED).fetchall() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET reason = 'nothing'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
        "ALTER TABLE audit_log ADD COLUMN more text",
        "DROP TABLE audit_log",
        "DROP TRIGGER audit_log_is_append_only ON audit_log",
        "CREATE OR REPLACE FUNCTION refuse_change_of_audit_log() RETURNS trigger LANGUAGE sql AS 'SELECT NULL'",
        "CREATE OR REPLACE FUNCTION chain_audit_log() RETURNS trigger LANGUAGE sql AS 'SELECT NULL'",
        "ALTER FUNCTION chain_audit_log() SECURITY INVOKER",
        "CREATE TABLE audit_log_2 ()",
        "CREATE RULE nothing AS ON INSERT TO audit_log DO INSTEAD NOTHING",
        "SET session_replication_role = replica",
        "SET ROLE fitness",
        "UPDATE audit_head SET position = 0",
        "DELETE FROM audit_head",
        "SELECT FROM audit_head FOR UPDATE",
        "INSERT INTO audit_head (one, position, hash) VALUES (true, 0, '')",
        "INSERT INTO audit_log (id, at, action) OVERRIDING SYSTEM VALUE VALUES (9, now(), '')",
        "INSERT INTO audit_log (at, action, subject_id, owner_id, position, hash) VALUES (now(), '', 1, 1, 7, '')",
        "DELETE FROM schema_migrations",
    ],
)
def test_the_services_role_cannot_touch_what_was_logged(
    service: psycopg.Connection[tuple[object, ...]], statement: str
):
    service.execute(AUDITED)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        service.execute(statement.encode())
    assert service.execute("SELECT position FROM audit_head").fetchall() == [(1,)]


def test_a_temporary_table_does_not_stand_in_for_the_head(service: psycopg.Connection[tuple[object, ...]]):
    service.execute("CREATE TEMPORARY TABLE audit_head (position bigint, hash bytea)")
    service.execute("INSERT INTO audit_head VALUES (41, '')")
    service.execute("SET search_path = pg_temp, public")
    service.execute(AUDITED)
    assert service.execute("SELECT position FROM audit_log").fetchall() == [(1,)]
    assert service.execute("SELECT position FROM public.audit_head").fetchall() == [(1,)]


def test_every_table_of_the_schema_can_be_read_by_the_service(database_url: str, owner_url: str):
    (found,) = said_of(database_url)
    assert found == f"good it connects as {SERVICE}, which owns nothing and may only read the audit log and add to it"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (f"REVOKE DELETE ON activities FROM {SERVICE}", f"wrong {SERVICE} lacks DELETE on activities: run"),
        (f"REVOKE USAGE ON SEQUENCE activities_id_seq FROM {SERVICE}", f"wrong {SERVICE} lacks USAGE on activities_id"),
        (f"REVOKE INSERT (reason) ON audit_log FROM {SERVICE}", f"wrong {SERVICE} lacks INSERT on audit_log: run"),
        (f"GRANT TRUNCATE, DELETE ON audit_log TO {SERVICE}", f"wrong {SERVICE} may DELETE, TRUNCATE the audit log:"),
        (f"ALTER TABLE audit_log OWNER TO {SERVICE}", f"doubtful it connects as {SERVICE}, which owns the tables"),
    ],
)
def test_a_role_with_too_little_or_too_much_is_named(database_url: str, owner_url: str, statement: str, said: str):
    run(owner_url, statement)
    (found,) = said_of(database_url)
    assert found.startswith(said)


def test_a_superuser_is_doubtful(owner_url: str):
    (found,) = said_of(owner_url)
    assert found.startswith("doubtful it connects as fitness, which is a superuser")


def test_up_gives_rights_on_what_it_adds_and_gives_back_what_was_taken(empty_database_url: str, engines: EngineUrls):
    service_url = make_conninfo(engines.database_url, dbname=conninfo_to_dict(empty_database_url)["dbname"])
    Migrations(empty_database_url, shipped_migrations()[:6], service_url=service_url).up()
    assert "lacks" not in said_of(service_url)[0]
    run(empty_database_url, f"REVOKE ALL ON activities FROM {SERVICE}")
    Migrations(empty_database_url, service_url=service_url).up()
    assert said_of(service_url)[0].startswith("good ")


def test_the_script_for_compose_makes_the_role_and_changes_its_password(folder: Path):
    """As its superuser, on a server of its own; twice, as on a data folder that is there already."""
    server = PostgresServer(folder / "postgres")
    server.start()
    environment = {
        "PATH": f"{server.programs}:/usr/bin:/bin",
        "PGHOST": str(server.folder),
        "POSTGRES_USER": "fitness",
        "POSTGRES_DB": "postgres",
    }
    kept = []
    try:
        for password in ("it's a secret", "another"):
            subprocess.run(["sh", ROLES], env=environment | {"SERVICE_PASSWORD": password}, check=True)
            with psycopg.connect(server.url) as connection:
                kept += connection.execute(PASSWORD, [SERVICE]).fetchall()
    finally:
        server.kill()
    assert [row[:2] for row in kept] == [(True, False)] * 2
    assert kept[0][2] != kept[1][2]
    assert all(row[2].startswith("SCRAM-SHA-256$") for row in kept)


def test_a_role_that_does_not_exist_is_refused_before_anything_is_changed(empty_database_url: str):
    with pytest.raises(BadSetup, match='role "nobody_here" does not exist'):
        Migrations(empty_database_url, service_url=make_conninfo(empty_database_url, user="nobody_here")).up()
    assert all(one.applied_at is None for one in Migrations(empty_database_url).status())
