"""The cache over HTTP: a second read is a copy, and no copy outlives the write that made it stale."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from fitness.adapters.embedded.engines import EngineUrls
from fitness.adapters.redis.cache import GENERATIONS, SCHEMA
from tests.files import A_TRACK
from tests.harness.api import NOWHERE_REDIS, Api, Person, activity_body, serving

# What a person may have on screen: pages, depths, and every filter.
VIEWS = [
    "",
    "page=1&limit=1",
    "page=2&limit=1",
    "limit=100",
    "type=run",
    "type=ride",
    "from=2020-01-01",
    "to=2030-01-01",
    "from=2020-01-01T00:00:00Z&to=2030-01-01T00:00:00Z",
    "tag=a",
    "exclude_tag=a",
    "q=run",
    "type=run&tag=a&q=run&limit=5",
]

COPIES = 20
ROUNDS_OF_JUNK = 250

Write = Callable[[Person, Person, dict[str, Any]], Awaitable[object]]


async def create(ann: Person, _: Person, __: dict[str, Any]) -> None:
    await ann.record(title="another run", tags=["a"])


async def patch(ann: Person, _: Person, one: dict[str, Any]) -> None:
    await ann.patch(f"/activities/{one['id']}", json={"activity_type": "ride", "title": "was a run", "tags": []})


async def delete(ann: Person, _: Person, one: dict[str, Any]) -> None:
    await ann.delete(f"/activities/{one['id']}")


async def restore(ann: Person, _: Person, one: dict[str, Any]) -> None:
    assert (await ann.post(f"/activities/{one['id']}/restore")).status_code == 200


async def import_(ann: Person, _: Person, __: dict[str, Any]) -> None:
    assert (await ann.upload(A_TRACK)).status_code == 201


async def purge(_: Person, admin: Person, one: dict[str, Any]) -> None:
    response = await admin.delete(f"/admin/activities/{one['id']}", json={"reason": "asked for"})
    assert response.status_code == 204


async def views(person: Person) -> dict[str, Any]:
    """What each view shows, without saying where it came from."""
    answers = {view: await person.get(f"/activities?{view}") for view in VIEWS}
    return {view: answer.json() for view, answer in answers.items()}


async def test_a_second_read_is_a_hit(ann: Person):
    one = await ann.record(title="run", tags=["a"])
    path = f"/activities/{one['id']}"
    assert (await ann.get(path)).headers["x-cache"] == "HIT"  # written through
    for view in VIEWS:
        first, second = await ann.get(f"/activities?{view}"), await ann.get(f"/activities?{view}")
        assert (first.headers["x-cache"], second.headers["x-cache"]) == ("MISS", "HIT")
        assert first.json() == second.json()


async def test_an_activity_that_was_only_read_is_a_hit_the_second_time(ann: Person, valkey: Redis):
    one = await ann.record()
    await valkey.flushdb()
    path = f"/activities/{one['id']}"
    assert [(await ann.get(path)).headers["x-cache"] for _ in range(3)] == ["MISS", "HIT", "HIT"]


async def test_a_created_activity_is_in_the_cache_before_its_creation_is_answered(ann: Person):
    one = await ann.record()
    answer = await ann.get(f"/activities/{one['id']}")
    assert (answer.headers["x-cache"], answer.headers["etag"]) == ("HIT", '"1"')
    assert answer.json() == one


@pytest.mark.parametrize("change", ["patch", "restore"])
async def test_a_changed_one_is_loaded_by_its_next_reader(ann: Person, change: str):
    one = await ann.record()
    path = f"/activities/{one['id']}"
    if change == "patch":
        await ann.patch(path, json={"title": "new"})
    else:
        await ann.delete(path)
        await ann.post(f"{path}/restore")
    answers = [await ann.get(path) for _ in range(2)]
    assert [answer.headers["x-cache"] for answer in answers] == ["MISS", "HIT"]
    assert {answer.headers["etag"] for answer in answers} == {{"patch": '"2"', "restore": '"3"'}[change]}


async def test_a_change_of_the_profiles_zone_holds_for_the_very_next_activity(ann: Person):
    for zone in ("Europe/Paris", "Asia/Tokyo", "Europe/Paris"):
        await ann.patch("/users/me", json={"timezone": zone})
        assert (await ann.record())["timezone"] == zone


@pytest.mark.parametrize("write", [create, patch, delete, restore, import_, purge])
async def test_the_very_next_read_after_a_write_shows_it_in_every_view(
    api: Api, ann: Person, bob: Person, valkey: Redis, write: Write
):
    admin = await api.admin()
    one = await ann.record(title="a run", tags=["a"])
    await ann.record(title="second run", activity_date="2026-11-01T08:00:00Z")
    theirs = await bob.record(title="bob's run")
    path = f"/activities/{one['id']}"
    if write in (restore, purge):
        await ann.delete(path)
    for _ in range(2):  # every view of both is warm
        await views(ann), await views(bob), await ann.get(path)
    before = await views(ann)

    await write(ann, admin, one)

    after, single = await views(ann), await ann.get(path)
    await valkey.flushdb()
    assert after == await views(ann)
    fresh = await ann.get(path)
    assert (single.status_code, single.json()) == (fresh.status_code, fresh.json())
    assert write is purge or after != before
    assert (await bob.get(f"/activities/{theirs['id']}")).status_code == 200


async def test_a_write_leaves_other_peoples_copies_alone(ann: Person, bob: Person):
    theirs = await bob.record()
    for path in ("/activities", f"/activities/{theirs['id']}"):
        await bob.get(path)
        await ann.record()
        assert (await bob.get(path)).headers["x-cache"] == "HIT"


async def test_readers_racing_a_writer_never_leave_an_old_copy_behind(ann: Person):
    one = await ann.record(title="0")
    path = f"/activities/{one['id']}"
    for number in range(1, 60):
        reads = [ann.get(path), ann.get("/activities"), ann.get(path), ann.get("/activities")]
        await asyncio.gather(*reads[:2], ann.patch(path, json={"title": str(number)}), *reads[2:])
        assert (await ann.get(path)).json()["title"] == str(number)
        assert await ann.titles() == [str(number)]


async def test_without_redis_everything_works_and_says_bypass(database_url: str):
    async with serving(database_url, NOWHERE_REDIS) as api:
        ann = await api.person()
        one = await ann.record(title="still here")
        path = f"/activities/{one['id']}"
        for _ in range(2):
            answer = await ann.get(path)
            assert (answer.status_code, answer.headers["x-cache"]) == (200, "BYPASS")
            page = await ann.get("/activities")
            assert (page.json()["total"], page.headers["x-cache"]) == (1, "BYPASS")
        assert (await ann.patch(path, json={"title": "changed"})).status_code == 200
        assert (await ann.get(path)).json()["title"] == "changed"
        assert (await ann.delete(path)).status_code == 204
        assert (await ann.get(path)).status_code == 410
        assert (await ann.post(f"{path}/restore")).status_code == 200
        assert (await ann.upload(A_TRACK)).status_code == 201
        ready = await api.http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["checks"] == {"database": "up", "cache": "down"}


async def test_two_instances_on_the_same_stores_see_each_others_writes_at_once(
    api: Api, ann: Person, database_url: str, engines: EngineUrls
):
    async with serving(database_url, engines.redis_url) as second:
        elsewhere = Person(second.http, ann.id, ann.email, ann.token)
        one = await ann.record(title="0")
        path = f"/activities/{one['id']}"
        for number in range(1, 10):
            await asyncio.gather(ann.get(path), ann.titles(), elsewhere.get(path), elsewhere.titles())
            writer, reader = (ann, elsewhere) if number % 2 else (elsewhere, ann)
            await writer.patch(path, json={"title": str(number)})
            assert (await reader.get(path)).json()["title"] == str(number)
            assert await reader.titles() == [str(number)]
        assert api.container is not second.container


@pytest.mark.engines
async def test_a_hit_costs_no_query(ann: Person, api: Api):
    one = await ann.record()
    await ann.get("/activities")
    await api.container.database().close()
    assert (await ann.get(f"/activities/{one['id']}")).status_code == 200
    assert (await ann.get("/activities")).headers["x-cache"] == "HIT"
    refused = await ann.post("/activities", json=activity_body(timezone="UTC"))
    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert refused.headers["retry-after"] == "1"


async def test_whatever_bytes_lie_in_the_cache_no_answer_is_wrong_or_broken(api: Api, ann: Person, valkey: Redis):
    """Random strings and torn copies in the place of copies, under the generation that makes them count."""
    kept = [await ann.record(title=f"true {number}") for number in range(COPIES)]
    state = await api.container.cache_state().read()
    assert state.era is not None
    names, user = f"{SCHEMA}:{state.era.name}", f"{{{ann.id}}}"
    generations = f"{GENERATIONS}:{state.era.name}:generation"
    single = {
        f"/activities/{one['id']}": (
            f"{names}:activity:{{{one['id']}}}",
            f"{generations}:activity:{{{one['id']}}}",
        )
        for one in kept
    }
    pages = {
        f"/activities?limit={limit}": (
            f"{names}:activities:user:{user}:page:1:limit:{limit}",
            f"{generations}:user:{user}",
        )
        for limit in range(1, COPIES + 1)
    }
    random = Random(1)
    for places in (single, pages):
        await junk_in_each(ann, valkey, random, places)
    # Nine in ten were under the right generation, and had to be removed.
    assert api.container.redis_cache().poisoned == 2 * ROUNDS_OF_JUNK * COPIES * 9 // 10


async def kept_in(valkey: Redis, names: list[str]) -> list[bytes]:
    found = [one for one in await valkey.mget(names) if isinstance(one, bytes)]
    assert len(found) == len(names)
    return found


async def junk_in_each(ann: Person, valkey: Redis, random: Random, places: dict[str, tuple[str, str]]) -> None:
    """`places` are paths, each with the names of its copy and of the copy's generation."""
    bodies = {path: (await ann.get(path)).json() for path in places}
    good = dict(zip(places, await kept_in(valkey, [name for name, _ in places.values()]), strict=True))
    generations = dict(zip(places, await kept_in(valkey, [name for _, name in places.values()]), strict=True))
    assert all(good[path].startswith(generations[path]) for path in places)
    for _ in range(ROUNDS_OF_JUNK):
        junk = {}
        for number, (path, (name, _)) in enumerate(places.items()):
            lies = random.randbytes(random.randrange(200))
            if number % 3 == 0:
                start = len(generations[path])
                lies = good[path][start : random.randrange(start, len(good[path]))]
            junk[name] = generations[path] + lies if number % 10 else lies
        await valkey.mset(junk)
        answers = await asyncio.gather(*(ann.get(path) for path in places))
        for path, answer in zip(places, answers, strict=True):
            assert (answer.status_code, answer.headers["x-cache"], answer.json()) == (200, "MISS", bodies[path])
