"""The embedded engines: where their programs come from, and what is left when they end."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import UniqueViolation

from fitness.adapters.embedded.binaries import EnginesUnusable, postgres_programs, valkey_program
from fitness.adapters.embedded.engines import running_engines, running_urls
from fitness.adapters.embedded.processes import Account
from fitness.adapters.postgres.migration_runner import Migrations

ANN = """
    INSERT INTO users (email, password_hash, timezone, created_at, updated_at)
    VALUES (%s, '-', 'UTC', now(), now())
"""

CHECKED = """
    INSERT INTO users (email, password_hash, timezone, tier, created_at, updated_at)
    VALUES (%s, '-', 'UTC', 'golden', now(), now())
"""


@dataclass(frozen=True, slots=True)
class WithoutAccess(Account):
    """An account that cannot reach the wheels, as where the clone is in somebody's closed home."""

    reach: Path = Path("/nowhere")

    def succeeds(self, command: Sequence[str | Path]) -> bool:
        return self.reach in Path(command[0]).parents and Account.succeeds(self, command)


def test_programs_out_of_reach_are_copied_and_run_from_there(folder: Path):
    usual = Account.for_engines()
    account = WithoutAccess(usual.uid, usual.gid, folder)
    programs = postgres_programs(account, folder / "engines")
    server = valkey_program(account, folder / "engines")
    for program in (programs / "initdb", programs / "postgres", server):
        assert folder in program.parents
        assert account.succeeds([program, "--version"])
    stamps = {path: path.stat().st_mtime_ns for path in (programs, server)}
    assert postgres_programs(account, folder / "engines") == programs
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps  # copied once


def test_an_initialization_that_was_cut_short_is_begun_anew(folder: Path):
    half = folder / "postgres.half"
    (half / "base").mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")
    with running_engines(folder) as urls, psycopg.connect(urls.database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not half.exists()


def test_other_processes_find_running_engines_and_no_others(folder: Path):
    assert running_urls(folder) is None
    with running_engines(folder) as urls:
        assert running_urls(folder) == urls
        with pytest.raises(EnginesUnusable, match="already running"), running_engines(folder):
            raise AssertionError("unreachable")
    assert running_urls(folder) is None


def test_the_sockets_are_closed_to_others(folder: Path):
    with running_engines(folder):
        assert (folder / "run").stat().st_mode & 0o777 == 0o700
        assert (folder / "run").stat().st_uid == Account.for_engines().uid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's engines run as somebody else")
def test_a_data_folder_out_of_the_engines_reach_is_refused_and_left_as_it_is(folder: Path):
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EnginesUnusable, match="FITNESS_DATA_DIR"), running_engines(closed / "data"):
        raise AssertionError("unreachable")
    assert closed.stat().st_mode & 0o777 == 0o700


def test_the_logs_are_closed_to_others_and_show_no_values(folder: Path):
    """Also those that an earlier version left open."""
    folder.joinpath("postgres.log").write_text("Key (email)=(old@example.org) already exists\n")
    folder.joinpath("postgres.log").chmod(0o644)
    with running_engines(folder) as urls:
        Migrations(urls.owner_database_url, service_url=urls.database_url).up()
        with psycopg.connect(urls.database_url, autocommit=True) as connection:
            connection.execute(ANN, ["ann@example.org"])
            with pytest.raises(UniqueViolation, match=r"Key \(email\)=\(ann@example.org\) already exists"):
                connection.execute(ANN, ["ann@example.org"])
            with pytest.raises(psycopg.errors.CheckViolation, match="Failing row contains"):
                connection.execute(CHECKED, ["bob@example.org"])
    logs = folder / "log"
    assert logs.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in logs.iterdir()} == dict.fromkeys(
        ["postgres.log", "postgres.before.log", "valkey-cache.log", "valkey-state.log"], 0o600
    )
    assert list(folder.glob("*.log")) == []
    said = logs.joinpath("postgres.log").read_text()
    assert "duplicate key value violates unique constraint" in said
    assert "violates check constraint" in said
    assert "example.org" not in said
