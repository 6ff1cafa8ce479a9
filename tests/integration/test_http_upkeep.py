"""What the service deletes by itself, seen from outside: gone means gone, wherever one looks."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from dependency_injector import providers
from redis.asyncio import Redis

from fitness.adapters.memory.clock import ManualClock
from fitness.domain.model.jobs import Job, Task
from fitness.domain.use_cases.upkeep import ERASED_AFTER
from fitness.entrypoints.http.routes import operations
from tests.files import A_TRACK
from tests.harness.api import PASSWORD, Api, Person, Stores, serving
from tests.pictures import a_jpeg

MARK = "zanzibar"
"""In everything that is personal, and nowhere else."""

TRASH_DAYS = 3


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


@pytest.fixture
async def late_api(stores: Stores, clock: ManualClock) -> AsyncIterator[Api]:
    """A service whose clock is moved."""
    async with serving(
        stores.database_url,
        stores.redis_url,
        trash_days=TRASH_DAYS,
        prepare=lambda container: container.clock.override(providers.Object(clock)),
    ) as api:
        yield api


async def marked(api: Api) -> Person:
    email = f"{MARK}@example.org"
    registration = {"email": email, "password": PASSWORD, "name": f"Ann {MARK}"}
    registered = await api.http.post("/api/v1/auth/register", json=registration)
    return await api.login(registered.json()["id"], email)


async def record(person: Person) -> dict[str, Any]:
    """Once for its key, as a client would that repeats what it is not sure of."""
    body = {"activity_type": "run", "activity_date": "2026-11-20T12:30:00Z", "duration_minutes": 31.25}
    told = {"title": f"to {MARK}", "notes": f"from {MARK}", "tags": [MARK]}
    answer = await person.post("/activities", json=body | told, headers={"Idempotency-Key": f"key-{MARK}"})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def crawl(api: Api, person: Person, *, activity_id: int, user_id: int, photo_id: int = 1) -> dict[str, str]:
    """What every GET answers, by its path."""
    given = {"activity_id": activity_id, "user_id": user_id, "key_id": 1, "photo_id": photo_id, "name": MARK}
    given |= {"session_id": "0" * 32, "token": "0" * 64}
    queries = ["", f"?q={MARK}", f"?tag={MARK}", f"?user_id={user_id}", "?cursor=0", "?state=deleted", "?from=now"]
    found = {}
    for method, path, _ in operations(api.app):
        if method == "GET" and path.startswith("/api/"):
            for query in queries:
                at = path.removeprefix("/api/v1").format(**given) + query
                answer = await person.get(at)
                assert answer.status_code < 500, (at, answer.text)
                if answer.status_code < 300:  # what is refused says again what was asked for
                    found[at] = answer.text
    return found


async def stored(api: Api) -> list[str]:
    """The names of all files."""
    return [one.name async for some in api.container.objects().list() for one in some]


def sightings(found: dict[str, str]) -> list[str]:
    return [at for at, text in found.items() if MARK in text]


def rows_with_the_mark(owner_url: str) -> list[tuple[str, str]]:
    """In any table."""
    with psycopg.connect(owner_url) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        return [
            (table, row)
            for (table,) in tables
            for (row,) in connection.execute(f"SELECT to_jsonb(one)::text FROM {table} AS one".encode()).fetchall()
            if MARK in row
        ]


class TestPurgeAt:
    async def test_until_then_it_can_be_restored_and_from_then_on_not(self, late_api: Api, clock: ManualClock):
        ann = await marked(late_api)
        path = f"/activities/{(await record(ann))['id']}"
        await ann.delete(path)
        (shown,) = (await ann.get("/activities/trash")).json()["items"]
        clock.advance(datetime.fromisoformat(shown["purge_at"]) - clock.now())
        ann = await late_api.login(ann.id, ann.email)
        for refused in (
            await ann.post(f"{path}/restore"),
            await ann.get(path),
            await ann.get(f"{path}/file"),
            await ann.patch(path, json={"title": "hills"}),
            await ann.delete(path),
        ):
            assert (refused.status_code, refused.json()["code"]) == (410, "activity_expired")
            assert "restore" not in refused.json()
        await late_api.container.upkeep().empty_trash()
        assert (await ann.post(f"{path}/restore")).status_code == 404
        assert (await ann.get(path)).status_code == 404

    async def test_after_a_purge_nothing_is_seen_of_it_anywhere(
        self, late_api: Api, clock: ManualClock, owner_url: str, valkey: Redis
    ):
        ann, admin = await late_api.person(), await late_api.admin()
        one = await record(ann)
        (imported,) = (await ann.upload(A_TRACK, name=f"{MARK}.gpx")).json()["items"]
        await ann.add_photo(one["id"], a_jpeg(), caption=MARK)
        looked = {"activity_id": one["id"], "user_id": ann.id}
        assert sightings(await crawl(late_api, ann, **looked))  # so copies of all of it are in the cache
        for activity in (one, imported):
            await ann.delete(f"/activities/{activity['id']}")
        seen = sightings(await crawl(late_api, ann, **looked))
        assert seen
        assert all(at.startswith("/activities/trash") for at in seen)
        clock.advance(timedelta(days=TRASH_DAYS) - timedelta(minutes=1))
        ann = await late_api.login(ann.id, ann.email)
        await ann.post("/users/me/export")
        await late_api.container.background().run(Job(Task.EXPORT, {"user_id": ann.id}))
        url = (await ann.get("/users/me/export")).json()["url"]
        assert len(await stored(late_api)) == 4  # a recording, a photo in two sizes, an archive
        clock.advance(timedelta(minutes=1))
        assert await late_api.container.upkeep().empty_trash() == 2
        assert (await late_api.http.get(url)).status_code == 404
        for task in (Task.FORGET_EXPIRED, Task.DELETE_OBJECTS):
            await late_api.container.background().run(Job(task))
        assert await stored(late_api) == []
        admin = await late_api.login(admin.id, admin.email)
        for person in (ann, admin):
            assert sightings(await crawl(late_api, person, **looked)) == []
        assert rows_with_the_mark(owner_url) == []
        changes = (await ann.get("/activities/changes")).json()["items"]
        assert [change["kind"] for change in changes] == [*2 * ["created"], *2 * ["trashed"], *2 * ["purged"]]
        assert {json.dumps(change["activity"]) for change in changes} == {"null"}


class TestErasure:
    async def test_after_it_nothing_is_left_of_an_account_but_ids_in_the_audit_log(
        self, late_api: Api, clock: ManualClock, owner_url: str, valkey: Redis
    ):
        ann, admin = await marked(late_api), await late_api.admin()
        one, trashed = await record(ann), await ann.record(title=MARK)
        await ann.delete(f"/activities/{trashed['id']}")
        await ann.post("/auth/keys", json={"name": MARK, "scopes": ["activities:read"]})
        (imported,) = (await ann.upload(A_TRACK, name=f"{MARK}.gpx")).json()["items"]
        photo = await ann.add_photo(one["id"], a_jpeg(), caption=MARK)
        await ann.post("/users/me/export")
        await late_api.container.background().run(Job(Task.EXPORT, {"user_id": ann.id}))
        url = (await ann.get("/users/me/export")).json()["url"]
        assert len(await stored(late_api)) == 4  # a recording, a photo in two sizes, an archive
        looked = {"activity_id": one["id"], "user_id": ann.id, "photo_id": photo.json()["id"]}
        assert sightings(await crawl(late_api, ann, **looked))
        assert rows_with_the_mark(owner_url)
        assert (await ann.call("DELETE", "/users/me", json={"password": PASSWORD})).status_code == 204
        clock.advance(ERASED_AFTER)
        assert await late_api.container.upkeep().erase_accounts() == 1
        await late_api.container.background().run(Job(Task.DELETE_OBJECTS))
        assert await stored(late_api) == []
        assert (await late_api.http.get(url)).status_code == 404
        admin = await late_api.login(admin.id, admin.email)
        ben = await late_api.person()
        for person in (admin, ben):
            assert sightings(await crawl(late_api, person, **looked)) == []
        assert rows_with_the_mark(owner_url) == []
        with psycopg.connect(owner_url) as connection:
            query = """
                SELECT table_name
                FROM information_schema.columns
                WHERE table_schema = 'public' AND column_name IN ('user_id', 'owner_id')
            """
            tables = {name for (name,) in connection.execute(query).fetchall()}
            held = {
                table
                for table in tables - {"live_activities", "computed_activity_totals", "audit_log"}
                if connection.execute(f"SELECT FROM {table} WHERE user_id = {ann.id}".encode()).fetchall()
            }
        assert "activities" in tables
        assert held == set()
        entries = (await admin.get("/admin/audit-log")).json()["items"]
        assert sorted((entry["action"], entry["subject_id"]) for entry in entries if entry["owner_id"] == ann.id) == [
            ("activity_purged", one["id"]),
            ("activity_purged", trashed["id"]),
            ("activity_purged", imported["id"]),
            ("user_erased", ann.id),
        ]

    async def test_an_admin_restores_until_then_and_not_after(self, late_api: Api, clock: ManualClock):
        ann, admin = await marked(late_api), await late_api.admin()
        await ann.call("DELETE", "/users/me", json={"password": PASSWORD})
        clock.advance(timedelta(days=30))
        await late_api.container.upkeep().erase_accounts()
        admin = await late_api.login(admin.id, admin.email)
        found = (await admin.get("/admin/users?state=deleted")).json()["items"]
        assert [one["id"] for one in found] == [ann.id]
        assert (await admin.post(f"/admin/users/{ann.id}/restore")).status_code == 404
        clock.advance(ERASED_AFTER - timedelta(days=30))
        await late_api.container.upkeep().erase_accounts()
        admin = await late_api.login(admin.id, admin.email)
        assert (await admin.get("/admin/users?state=deleted")).json()["items"] == []
