"""Whatever is done in whatever order, two instances on one cache show what SQL finds in the database."""

import asyncio
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg
import redis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.rows import dict_row

from fitness.adapters.embedded.engines import EngineUrls
from fitness.adapters.redis.cache import SCHEMA
from tests.harness.api import Person, activity_body, serving

STEPS = 30
EXAMPLES = 60
TYPES = ["run", "ride", "swim"]
TAGS = ["hills", "lake", "night"]

stated = st.fixed_dictionaries(
    {"activity_type": st.sampled_from(TYPES), "tags": st.lists(st.sampled_from(TAGS), unique=True)},
    optional={"title": st.sampled_from(["dawn", "dusk", None]), "distance_km": st.sampled_from([None, 0, 5.25])},
)
days = st.integers(1, 28).map(lambda day: f"2026-10-{day:02}T12:30:00Z")
QUERIES: list[dict[str, Any]] = [
    {},
    {"limit": 3, "page": 2},
    {"type": "run"},
    {"tag": "hills", "exclude_tag": "lake"},
    {"q": "da", "from": "2026-10-10", "to": "2026-10-20"},
    {"sort": "-distance", "min_distance_km": 0},
    {"sort": "distance"},
]

PARAMETERS = ("type", "tag", "exclude_tag", "q", "from", "to", "min_distance_km", "sort")

ORACLE = """
    SELECT id, version, title, activity_type, tags, distance_km
    FROM activities
    WHERE deleted_at IS NULL
        AND user_id = %(user_id)s
        AND (%(type)s::text IS NULL OR activity_type = %(type)s)
        AND (%(tag)s::text IS NULL OR %(tag)s = ANY(tags))
        AND (%(exclude_tag)s::text IS NULL OR NOT %(exclude_tag)s = ANY(tags))
        AND (%(q)s::text IS NULL OR strpos(lower(title), lower(%(q)s)) > 0)
        AND (%(from)s::date IS NULL OR local_date >= %(from)s::date)
        AND (%(to)s::date IS NULL OR local_date <= %(to)s::date)
        AND (%(min_distance_km)s::float IS NULL OR distance_km >= %(min_distance_km)s)
    ORDER BY
        CASE %(sort)s::text WHEN 'distance' THEN distance_km WHEN '-distance' THEN -distance_km END NULLS LAST,
        CASE %(sort)s::text WHEN 'distance' THEN id END,
        CASE WHEN %(sort)s::text IS NULL THEN activity_date END DESC,
        id DESC
"""

SHOWN = ("id", "version", "title", "activity_type", "tags", "distance_km")


class ServiceAndOracle(RuleBasedStateMachine):
    """Two people, each of whose requests goes to either instance."""

    portal: BlockingPortal
    clients: list[httpx.AsyncClient]
    people: list[Person]
    database: "psycopg.Connection[dict[str, Any]]"
    valkey: redis.Redis

    @initialize()
    def begin(self) -> None:
        self.database.execute("TRUNCATE activities, idempotency_keys, cache_outbox CASCADE")
        self.valkey.flushall()
        self.live: dict[int, int] = {}
        self.trashed: dict[int, int] = {}
        self.touched: tuple[int, int] | None = None

    def call(self, who: int, where: int, method: str, path: str, **given: Any) -> httpx.Response:
        return self.portal.call(lambda: self.there(who, where).call(method, path, **given))

    def there(self, who: int, where: int) -> Person:
        person = self.people[who]
        return Person(self.clients[where], person.id, person.email, person.token)

    def look(self, owner: int, where: int, path: str) -> list[httpx.Response]:
        """What one instance says of the activity to both people, the owner first, and then to each query."""

        async def look() -> list[httpx.Response]:
            person, other = self.there(owner, where), self.there(1 - owner, where)
            lists = [person.get("/activities", params=query) for query in QUERIES]
            return await asyncio.gather(person.get(path), other.get(path), *lists)

        return self.portal.call(look)

    @rule(who=st.integers(0, 1), where=st.integers(0, 1), fields=stated, day=days)
    def create(self, who: int, where: int, fields: dict[str, Any], day: str) -> None:
        response = self.call(who, where, "POST", "/activities", json=activity_body(**fields, activity_date=day))
        assert response.status_code == 201, response.text
        activity_id = response.json()["id"]
        self.live[activity_id] = who
        self.touched = activity_id, who

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0), where=st.integers(0, 1), fields=stated)
    def patch(self, which: int, where: int, fields: dict[str, Any]) -> None:
        activity_id, who = self.touched = chosen(self.live, which)
        assert self.call(who, where, "PATCH", f"/activities/{activity_id}", json=fields).status_code == 200

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0), where=st.integers(0, 1))
    def delete(self, which: int, where: int) -> None:
        activity_id, who = self.touched = chosen(self.live, which)
        assert self.call(who, where, "DELETE", f"/activities/{activity_id}").status_code == 204
        self.trashed[activity_id] = self.live.pop(activity_id)

    @precondition(lambda self: self.trashed)
    @rule(which=st.integers(0), where=st.integers(0, 1))
    def restore(self, which: int, where: int) -> None:
        activity_id, who = self.touched = chosen(self.trashed, which)
        assert self.call(who, where, "POST", f"/activities/{activity_id}/restore").status_code == 200
        self.live[activity_id] = self.trashed.pop(activity_id)

    @invariant()
    def both_instances_show_what_is_kept(self) -> None:
        """After each step, and so also while the copies of the last look are warm."""
        if self.touched is None:
            return
        activity_id, owner = self.touched
        kept = [self.expected(query, self.people[owner].id) for query in QUERIES]
        for where in range(2):
            answer, others, *pages = self.look(owner, where, f"/activities/{activity_id}")
            for query, rows, body in zip(QUERIES, kept, (page.json() for page in pages), strict=True):
                page, limit = query.get("page", 1), query.get("limit", 20)
                assert body["total"] == len(rows)
                assert [*map(shown, body["items"])] == [*map(shown, rows[(page - 1) * limit : page * limit])]
            if activity_id in self.live:
                (row,) = self.database.execute("SELECT * FROM activities WHERE id = %s", [activity_id])
                assert shown(answer.json()) == shown(row)
            else:
                assert answer.status_code == 410
            assert others.status_code == 404

    def expected(self, query: dict[str, Any], user_id: int) -> list[dict[str, Any]]:
        filters = dict.fromkeys(PARAMETERS) | query
        return self.database.execute(ORACLE, filters | {"user_id": user_id}).fetchall()

    @rule(share=st.integers(0, 3), kind=st.sampled_from(["generation", "activit"]))
    def evict(self, share: int, kind: str) -> None:
        """Some generations, or some copies, as a full cache does."""
        for number, name in enumerate(sorted(self.valkey.keys(f"{SCHEMA}:*:{kind}*"))):
            if number % 4 >= share:
                self.valkey.delete(name)

    @rule()
    def expire(self) -> None:
        for name in self.valkey.keys(f"{SCHEMA}:*:activit*"):
            self.valkey.pexpire(name, 0)

    @rule()
    def flush(self) -> None:
        self.valkey.flushall()


def chosen(owners: dict[int, int], which: int) -> tuple[int, int]:
    """An activity and its owner."""
    return [*owners.items()][which % len(owners)]


def shown(row: dict[str, Any]) -> list[Any]:
    return [row[name] for name in SHOWN]


def test_nothing_done_in_any_order_makes_the_service_differ_from_sql(
    database_url: str, owner_url: str, engines: EngineUrls
):
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal("asyncio"))
        both = [
            stack.enter_context(portal.wrap_async_context_manager(serving(database_url, engines.redis_url)))
            for _ in range(2)
        ]

        class Machine(ServiceAndOracle):
            pass

        Machine.portal = portal
        Machine.clients = [api.http for api in both]
        Machine.people = [portal.call(both[0].person) for _ in range(2)]
        Machine.database = stack.enter_context(psycopg.connect(owner_url, autocommit=True, row_factory=dict_row))
        Machine.valkey = stack.enter_context(_client(engines))
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=[*HealthCheck],
                database=None,
            ),
        )


def _client(engines: EngineUrls) -> redis.Redis:
    return redis.Redis.from_url(engines.redis_url)
