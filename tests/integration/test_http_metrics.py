"""What Prometheus reads of a running service."""

import re
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from fitness.adapters.telemetry.exchange import merged
from fitness.domain.model.jobs import Job, Task
from tests.files import A_TRACK
from tests.harness.api import NOWHERE_POSTGRES, NOWHERE_REDIS, Api, Person, Stores, activity_body, serving

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scraped(api: Api) -> Series:
    response = await api.scrape()
    assert response.status_code == 200, response.text
    return parsed(response.text)


def parsed(text: str) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(series: Series, name: str, **labels: str) -> float:
    """Of all that have these labels, together."""
    return sum(
        number for (found, its), number in series.items() if found == name and labels.items() <= dict(its).items()
    )


async def test_every_response_is_counted_by_route_method_and_status(api: Api, ann: Person):
    one = await ann.record()
    path = f"/activities/{one['id']}"
    before = await scraped(api)
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", path, {}),
        ("HEAD", path, {}),
        ("GET", "/activities/9999", {}),
        ("PATCH", path, {"json": {"title": 3}}),
        ("PUT", path, {}),
        ("BREW", path, {}),
        ("GET", "/nowhere", {}),
        ("POST", "/activities", {"content": b"x" * 1_100_000, "headers": {"Content-Type": "application/json"}}),
        ("GET", path, {"headers": {"Authorization": "Bearer nonsense"}}),
    ]
    for method, where, given in calls:
        await ann.call(method, where, **given)
    after = await scraped(api)
    route = "/api/v1/activities/{activity_id}"
    for method, endpoint, status, times in [
        ("GET", route, "200", 1),
        ("HEAD", route, "200", 1),
        ("GET", route, "404", 1),
        ("GET", route, "401", 1),
        ("PATCH", route, "422", 1),
        ("PUT", "unmatched", "405", 1),
        ("OTHER", "unmatched", "405", 1),
        ("GET", "unmatched", "404", 1),
        ("POST", "/api/v1/activities", "413", 1),
    ]:
        labels = {"method": method, "endpoint": endpoint, "status": status}
        counted = value(after, "http_requests_total", **labels) - value(before, "http_requests_total", **labels)
        assert counted == times, labels
        timed = "OTHER" if endpoint == "unmatched" else method
        assert value(after, "http_request_duration_seconds_count", method=timed, endpoint=endpoint) >= times
    total = value(after, "http_requests_total") - value(before, "http_requests_total")
    assert total == len(calls)  # scrapes are none of the API's


async def test_what_people_did_is_counted_once(api: Api, ann: Person):
    before = await scraped(api)
    key = {"Idempotency-Key": "one"}
    for _ in range(3):
        await ann.post("/activities", json=activity_body(), headers=key)
    await ann.upload(A_TRACK)
    await ann.upload(A_TRACK)
    await api.person()
    after = await scraped(api)
    assert value(after, "activities_created_total") - value(before, "activities_created_total") == 2
    assert value(after, "users_registered_total") - value(before, "users_registered_total") == 1


async def test_each_change_is_counted_by_its_kind(api: Api, ann: Person):
    before = await scraped(api)
    rides = [(await ann.record(tags=["lake"]))["id"] for _ in range(3)]
    await ann.patch(f"/activities/{rides[0]}", json={"title": "Hills"})
    await ann.patch("/tags/lake", json={"name": "lakeside"})
    await ann.upload(A_TRACK)
    for _ in range(2):  # the second one changes nothing
        await ann.delete(f"/activities/{rides[0]}")
    await ann.delete(f"/activities/{rides[1]}")
    await ann.post(f"/activities/{rides[0]}/restore")
    admin = await api.admin()
    assert (await admin.delete(f"/admin/activities/{rides[1]}?reason=asked")).status_code == 204
    after = await scraped(api)
    expected = {"created": 4, "updated": 4, "trashed": 2, "restored": 1, "purged": 1}
    for kind, count in expected.items():
        counted = value(after, "changes_written_total", kind=kind) - value(before, "changes_written_total", kind=kind)
        assert counted == count, kind


async def test_hits_misses_and_queries_are_counted_by_name(api: Api, ann: Person):
    before = await scraped(api)
    for _ in range(4):
        await ann.get("/activities")
    after = await scraped(api)
    for name, times in [("cache_hits_total", 3), ("cache_misses_total", 1)]:
        assert value(after, name, cache="listing") - value(before, name, cache="listing") == times
    query = {"query": "activities.list"}
    name = "db_query_duration_seconds_count"
    assert value(after, name, **query) - value(before, name, **query) == 1


async def test_a_store_that_is_down_shows_and_breaks_no_scrape():
    async with serving(NOWHERE_POSTGRES, NOWHERE_REDIS) as api:
        series = await scraped(api)
        assert value(series, "cache_usable") == 0
        assert ("cache_memory_bytes", frozenset({("worker", "0")})) not in series
        await api.http.get("/api/v1/activities")
        assert value(await scraped(api), "http_requests_total", status="401") == 1


OF_THE_CLOCK = ("db_query_duration_seconds", "background_jobs_", "purge_overdue_")
"""Metrics that appear with the first background query, about a minute after the start."""


async def series_of_requests(api: Api) -> int:
    return sum(not name.startswith(OF_THE_CLOCK) for name, _ in await scraped(api))


async def test_random_paths_and_methods_make_no_more_series(own_api: Api):
    await scraped(own_api)
    random = Random(5)
    first = None
    for number in range(600):
        path = "/".join(str(random.getrandbits(16)) for _ in range(random.randrange(1, 5)))
        method = random.choice(["GET", "POST", "PUT", "PATCH", "DELETE", "BREW", "LINK", "TRACE"])
        await own_api.http.request(method, f"/{random.choice(['', 'api/v1/', 'api/v1/activities/'])}{path}")
        if number == 300:
            first = await series_of_requests(own_api)
    assert first is not None
    assert await series_of_requests(own_api) <= first + 5
    assert first < 700  # more with each route and each query


async def test_the_exporter_adds_nothing_of_its_own(api: Api):
    text = (await api.scrape()).text
    assert "otel_scope" not in text
    assert "target_info" not in text
    assert "_created" not in text.replace("activities_created", "")


@pytest.mark.parametrize(
    ("allowed", "peer", "status"),
    [
        ("127.0.0.0/8", "127.0.0.1", 200),
        ("10.0.0.0/8", "127.0.0.1", 403),
        ("127.0.0.0/8", "203.0.113.9", 403),
        ("203.0.113.0/24", "203.0.113.9", 200),
    ],
)
async def test_metrics_are_for_networks_that_are_allowed(stores: Stores, allowed: str, peer: str, status: int):
    async with serving(stores.database_url, stores.redis_url, metrics_allow=(ip_network(allowed),)) as api:
        assert (await api.scrape(peer)).status_code == status


async def test_the_api_does_not_know_of_metrics(api: Api):
    assert (await api.http.get("/metrics")).status_code == 404


def test_answers_of_several_workers_become_one_text():
    one = '# HELP a_total A.\n# TYPE a_total counter\na_total{x="{ }"} 1.0\n# HELP b B.\n# TYPE b gauge\nb 2.0\n'
    two = '# HELP a_total A.\n# TYPE a_total counter\na_total{x="{ }"} 5.0\n'
    text = merged([("0", one), ("1", two)]).decode()
    assert parsed(text) == {
        ("a_total", frozenset({("x", "{ }"), ("worker", "0")})): 1.0,
        ("a_total", frozenset({("x", "{ }"), ("worker", "1")})): 5.0,
        ("b", frozenset({("worker", "0")})): 2.0,
    }
    assert text.count("# TYPE a_total") == 1


async def test_the_readme_lists_every_metric_with_its_labels(api: Api, ann: Person, valkey: Redis):
    await ann.record()
    await api.container.background().run(Job(Task.FORGET_EXPIRED))
    found: dict[str, set[str]] = {}
    for name, labels in await scraped(api):
        family = re.sub(r"_(bucket|sum|count)$", "", name) if "duration" in name else name
        found.setdefault(family, set()).update(set(dict(labels)) - {"worker", "le"})
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \| (.*?) \|", readme, re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels in rows} == found


async def test_the_scrape_is_what_prometheus_takes(api: Api):
    response = await api.scrape()
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
