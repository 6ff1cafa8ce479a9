"""Lists of activities in PostgreSQL, beside memory's, and what it takes to read them."""

import random
import re
import string
import sys
import unicodedata
from datetime import timedelta
from typing import Any, LiteralString

import psycopg
import pytest
from ops.bench.people import MANY
from ops.bench.stats import NotingDatabase, Statement, questions

from fitness.adapters.postgres.activities import PostgresActivityRepo
from fitness.adapters.postgres.activity_listing import list_parameters, list_sql
from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.statistics import FEW, PostgresStatisticsRepo
from fitness.adapters.postgres.users import PostgresUserRepo
from fitness.domain.model.activities import ActivityType
from fitness.domain.model.listings import ActivityFilter, Page, Position, Range, Sort
from fitness.domain.model.text import folded
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.users import UserRepoPort
from tests.builders import LUNCH, NOW, a_registration, an_activity, messages
from tests.harness.api import PATIENT_S
from tests.unit.contracts.activity_lists import ActivityListContract


class TestPostgresActivityLists(ActivityListContract):
    @pytest.fixture
    def repo(self, database: Database) -> ActivityRepoPort:
        return PostgresActivityRepo(database)

    @pytest.fixture
    def users(self, database: Database) -> UserRepoPort:
        return PostgresUserRepo(database)

    async def test_the_longest_text_and_tags_that_an_index_entry_takes_are_kept(
        self, repo: ActivityRepoPort, users: UserRepoPort
    ):
        owner = await users.add(a_registration(), password_hash="-", at=NOW)
        draw = random.Random(7)  # what cannot be compressed
        for length in range(1_950, 2_010):
            notes = "".join(draw.choices(string.ascii_lowercase + string.digits, k=length))
            tags = tuple("".join(draw.choices(string.ascii_lowercase, k=49)) for _ in range(8))
            longest = an_activity(
                user_id=owner.id,
                activity_type=ActivityType.HIGH_INTENSITY_INTERVAL_TRAINING,
                distance_km=1.0,
                notes=notes,
                tags=tags[: 7 + length % 2],
            )
            await repo.add(longest, messages=messages())
            which = ActivityFilter(words=(notes[-9:],), tags=(tags[6],))
            assert (await repo.list(owner.id, which, Page())).total == 1


class TestFolding:
    def test_sql_folds_every_character_as_the_domain_does(self, database_url: str):
        """But for those that only one of the two Unicodes knows."""
        known = [
            character
            for character in map(chr, range(1, sys.maxunicode + 1))
            if unicodedata.category(character) not in ("Cn", "Cs")
        ]
        with psycopg.connect(database_url) as connection:
            rows = connection.execute("SELECT folded(one) FROM unnest(%s::text[]) AS one", [known]).fetchall()
        differing = [one for one, (answer,) in zip(known, rows, strict=True) if answer != folded(one)]
        assert differing == []

    def test_sql_folds_a_text_as_the_domain_does(self, database_url: str):
        text = "Été à ŁÓDŹ, Straße 5 — “ﬁn” Ǆ İI ı ΣΑΣ 가각 が नमस्ते q̣̇ ¨ ﷺ"
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT folded(%s)", [text]).fetchone() == (folded(text),)


WHOLE = ActivityFilter()
FILTERS = {
    "nothing": WHOLE,
    "a type": ActivityFilter(activity_types=(ActivityType.RUN,)),
    "types": ActivityFilter(activity_types=(ActivityType.RUN, ActivityType.SWIM)),
    "days": ActivityFilter(since=LUNCH.date() - timedelta(days=9), until=LUNCH.date()),
    "a tag": ActivityFilter(tags=("race",), excluded_tags=("hills",)),
    "words": ActivityFilter(words=("run", "hills")),
    "ranges": ActivityFilter(distance_km=Range(1.0, 9.0), duration_minutes=Range(1.0)),
    **{f"sort={sort}": ActivityFilter(sort=sort) for sort in Sort},
}
USERS: LiteralString = """
    INSERT INTO users (email, password_hash, timezone, created_at, updated_at)
    SELECT n || '@example.org', '-', 'UTC', now(), now()
    FROM generate_series(1, 20) AS n
"""

FILL: LiteralString = """
    INSERT INTO activities (user_id, version, activity_type, activity_date, timezone, local_date, duration_minutes,
        distance_km, title, tags, source, created_at, updated_at)
    SELECT 1 + n % 20, 1, 'run', now() - n * interval '1 minute', 'UTC', now(), 30, 5, 'hill run', ARRAY['race'],
        'manual', now(), now()
    FROM generate_series(1, 20000) AS n
"""


def test_a_list_looks_into_no_rows_but_its_pages(owner_url: str):
    """Also in the plan that PostgreSQL makes for whatever parameters come."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(USERS)
        connection.execute(FILL)
        connection.execute("VACUUM ANALYZE activities")
        connection.prepare_threshold = 1_000  # only what asks for it is prepared
        plans = {
            (name, kind, mode): plan_of(connection, mode, list_sql(which, page), list_parameters(1, which, page))
            for name, which in FILTERS.items()
            for kind, page in pages_of(which).items()
            for mode in ("force_custom_plan", "force_generic_plan")
        }
    assert {asked: plan for asked, plan in plans.items() if not reads_an_index_alone(plan, asked[0])} == {}


async def test_statistics_look_into_no_rows_of_activities(owner_url: str):
    """All that is added up is in the index; PostgreSQL has them in totals, or reads the index alone."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(USERS)
        connection.execute(FILL)
        connection.execute("VACUUM ANALYZE activities")
        (last,) = connection.execute("SELECT max(local_date) FROM activities").fetchone() or (None,)
        database = NotingDatabase(owner_url, max_connections=1, deadline_s=PATIENT_S)
        await database.open()
        statements: list[Statement] = []
        looked = []
        for name, which in questions(last):
            for few in (0, FEW):
                database.statements = statements
                statements.clear()
                await PostgresStatisticsRepo(database, few=few).find(MANY, which)
                looked += [
                    (name, line)
                    for query, parameters in statements
                    if query.lstrip().startswith("SELECT")
                    for (line,) in psycopg.ClientCursor(connection).execute(f"EXPLAIN {query}".encode(), parameters)
                    if "Scan" in line and re.search(r" on activities\b", line)
                ]
        await database.close()
    alone = re.compile(r"Index Only Scan (Backward )?using activities_listed |Index Scan using activities_pkey ")
    assert len(looked) > 20
    assert [one for one in looked if not alone.search(one[1])] == []


def plan_of(
    connection: psycopg.Connection[Any], mode: str, query: LiteralString, parameters: dict[str, Any]
) -> list[str]:
    """Of the statement as psycopg prepares it."""
    connection.execute("SELECT set_config('plan_cache_mode', %s, false)", [mode])
    connection.execute(query, parameters, prepare=True)
    taken = [*dict.fromkeys(re.findall(r"%\((\w+)\)s", query))]
    text = re.sub(r"%\((\w+)\)s", lambda one: f"${taken.index(one[1]) + 1}", query)
    named = connection.execute("SELECT name FROM pg_prepared_statements WHERE statement = %s", [text])
    (name,) = named.fetchone() or ("",)
    execute = f"EXPLAIN EXECUTE {name}({', '.join(f'%({one})s' for one in taken)})"
    explained = psycopg.ClientCursor(connection).execute(execute.encode(), parameters)
    return [str(line[0]) for line in explained]


def pages_of(which: ActivityFilter) -> dict[str, Page]:
    after = Position(LUNCH if which.sort.by == "date" else 5.0, 9)
    return {
        "first": Page(),
        "uncounted": Page(counted=False),
        "by cursor": Page(after=after, counted=False),
        "by cursor, counted": Page(after=after),
    }


def reads_an_index_alone(plan: list[str], asked: str) -> bool:
    """But for rows that it looks up by their id."""
    index = "activities_searched" if "words" in asked else "activities_listed"
    scans = [line for line in plan if "Scan" in line and "CTE Scan" not in line and "Subquery Scan" not in line]
    others = [line for line in scans if not re.search(rf"Index Only Scan (Backward )?using {index} ", line)]
    return len(others) < len(scans) and all("Index Scan using activities_pkey" in line for line in others)
