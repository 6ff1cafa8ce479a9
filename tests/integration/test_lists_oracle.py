"""Whatever activities there are and whatever is asked for, memory and PostgreSQL show the same list."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fitness.adapters.memory.activities import InMemoryActivityRepo
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.memory.users import InMemoryUserRepo
from fitness.adapters.postgres.activities import PostgresActivityRepo
from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.users import PostgresUserRepo
from fitness.domain.model.activities import Activity, ActivityType
from fitness.domain.model.listings import ActivityFilter, Page, Range, Sort
from fitness.domain.model.text import folded
from fitness.domain.model.users import User
from fitness.ports.activities import ActivityRepoPort
from tests.builders import NOW, a_registration, an_activity, messages
from tests.harness.api import PATIENT_S

EXAMPLES = 150

FIRST = datetime(2024, 12, 30, 22, tzinfo=UTC)
TYPES = [ActivityType.RUN, ActivityType.RIDE, ActivityType.SWIM]
ZONES = ["UTC", "Pacific/Kiritimati", "America/New_York", "Asia/Kolkata"]
TAGS = ["hills", "hill", "été", "a_b", "%", "x\x1fy", "k" * 50, *(f"{number:02}" + "ß" * 48 for number in range(12))]
WORDS = ["Été", "ete", "hills", "Hill", "STRASSE", "straße", "50%", "a_b", "\\", "Łódź", "跑步", "d’été", "q", "ﬁn"]
DISTANCES = [None, 0.0, 1.5, 1.5, 7.125, 2_000.0]
DURATIONS = [0.001, 30.0, 30.0, 45.5, 43_200.0]

anything = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
text = st.lists(st.sampled_from(WORDS) | anything, max_size=5).map(" ".join)
long_text = st.sampled_from(WORDS).map(lambda word: "wörd " * 600 + word)
dates = st.integers(0, 6).map(lambda days: (FIRST + timedelta(days=days)).date())
instants = st.integers(0, 6 * 24).map(lambda hours: FIRST + timedelta(hours=hours))


def ranges(values: list[Any]) -> st.SearchStrategy[Range]:
    return st.builds(Range, st.sampled_from([None, *values]), st.sampled_from([None, *values]))


recorded = st.fixed_dictionaries(
    {
        "activity_type": st.sampled_from(TYPES),
        "activity_date": instants,
        "timezone": st.sampled_from(ZONES),
        "title": text,
        "notes": text | long_text,
        "tags": st.lists(st.sampled_from(TAGS), max_size=14, unique=True).map(tuple),
        "distance_km": st.sampled_from(DISTANCES),
        "duration_minutes": st.sampled_from(DURATIONS),
    }
)
sought = st.lists(st.sampled_from(WORDS) | anything, max_size=2).map(lambda given: folded(" ".join(given)).split())
filters = st.builds(
    ActivityFilter,
    activity_types=st.lists(st.sampled_from(TYPES), max_size=2, unique=True).map(tuple),
    since=st.none() | dates | instants,
    until=st.none() | dates | instants,
    tags=st.lists(st.sampled_from(TAGS), max_size=1).map(tuple),
    excluded_tags=st.lists(st.sampled_from(TAGS), max_size=2).map(tuple),
    words=sought.map(tuple),
    distance_km=st.just(Range()) | ranges(DISTANCES),
    duration_minutes=st.just(Range()) | ranges(DURATIONS),
    sort=st.sampled_from(Sort),
)


async def walk(repo: ActivityRepoPort, owner: User, which: ActivityFilter, limit: int) -> list[Any]:
    """What each page shows, on from cursor to cursor, and then what three pages by number show."""
    shown: list[Any] = []
    page: Page | None = Page(limit=limit)
    while page is not None:
        found = await repo.list(owner.id, which, page)
        shown.append(([one.title for one in found.items], [places(one) for one in found.items], found.total))
        page = Page(limit=limit, after=found.next, counted=len(shown) % 2 == 0) if found.next else None
    for number in (1, 2, 3):
        found = await repo.list(owner.id, which, Page(number=number, limit=limit, counted=number != 2))
        shown.append(([places(one) for one in found.items], found.total, found.next is None))
    return shown


def older(*, tags: tuple[str, ...], title: str, notes: str, **stated: Any) -> Activity:
    """One whose texts may be older than the rule against control characters."""
    return replace(an_activity(**stated), tags=tags, title=title.strip() or None, notes=notes.strip() or None)


def places(activity: Activity) -> Any:
    """All of it but what differs from store to store."""
    return replace(activity, id=0, user_id=0)


def test_memory_and_postgresql_show_the_same_lists(database_url: str, owner_url: str):
    with (
        start_blocking_portal("asyncio") as portal,
        psycopg.connect(owner_url, autocommit=True) as connection,
    ):
        database = portal.call(lambda: opened(database_url))
        kept = PostgresActivityRepo(database)
        owner = portal.call(lambda: PostgresUserRepo(database).add(a_registration(), password_hash="-", at=NOW))

        async def compare(added: list[dict[str, Any]], asked: list[ActivityFilter], limit: int) -> None:
            store = InMemoryStore()
            memory = InMemoryActivityRepo(store)
            twin = await InMemoryUserRepo(store).add(a_registration(), password_hash="-", at=NOW)
            for one in added:
                await memory.add(older(user_id=twin.id, **one), messages=messages())
                await kept.add(older(user_id=owner.id, **one), messages=messages())
            for which in asked:
                assert await walk(kept, owner, which, limit) == await walk(memory, twin, which, limit)

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck], database=None)
        @given(st.lists(recorded, min_size=1, max_size=9), st.lists(filters, min_size=5, max_size=5), st.integers(1, 4))
        def whatever_there_is(added: list[dict[str, Any]], asked: list[ActivityFilter], limit: int) -> None:
            connection.execute("TRUNCATE activities, idempotency_keys, cache_outbox CASCADE")
            portal.call(lambda: compare(added, asked, limit))

        whatever_there_is()
        portal.call(database.close)


async def opened(url: str) -> Database:
    """With one connection, which is open on return.

    The pool draws a random lifetime for each connection that it makes, in the thread of its event loop. If that happens
    while Hypothesis draws an example, Hypothesis takes the strategy for impure and fails the test.
    """
    database = Database(url, max_connections=1, deadline_s=PATIENT_S)
    await database.open()
    await database.check()
    return database
