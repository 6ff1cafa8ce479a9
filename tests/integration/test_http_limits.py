"""Limits over HTTP: who is charged, what every response says of it, and what happens without Redis."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import http_sf
import httpx
import pytest
from redis.asyncio import Redis

from fitness.adapters.embedded.engines import EngineUrls
from fitness.domain.model.rate_limits import Action, RateLimited
from fitness.domain.model.users import Caller, Tier
from fitness.domain.use_cases.limiting import LimitService
from fitness.domain.use_cases.requesters import Requester
from tests.builders import NOW, a_registration
from tests.files import A_TRACK, MORNING, FitFile
from tests.harness.api import NOWHERE_REDIS, PASSWORD, Api, Person, Stores, activity_body, serving
from tests.harness.listening import listening
from tests.integration.test_http_metrics import Series, scraped, value
from tests.patience import PATIENCE_S

LIMIT_HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit-policy", "ratelimit")


@pytest.fixture(scope="module")
def served_with() -> dict[str, Any]:
    return {"limits_stand": True, "rate_limit_scale": 1.0}


@pytest.fixture
async def lavish(stores: Stores) -> AsyncIterator[Api]:
    """A hundred times the limits."""
    async with serving(stores.database_url, stores.redis_url, limits_stand=True, rate_limit_scale=100.0) as api:
        yield api


def remaining(response: httpx.Response) -> dict[str, int]:
    """By policy."""
    return {name: parameters["r"] for name, parameters in parsed(response, "ratelimit")}


def parsed(response: httpx.Response, header: str) -> Any:
    return http_sf.parse(response.headers[header].encode(), tltype="list")


class TestHeaders:
    async def test_a_response_says_where_each_policy_stands_and_the_tightest_twice(self, ann: Person):
        response = await ann.post("/activities", json=activity_body())
        assert response.status_code == 201
        assert parsed(response, "ratelimit-policy") == [
            ("requests", {"q": 100, "w": 60}),
            ("create", {"q": 10, "w": 60}),
        ]
        assert parsed(response, "ratelimit") == [("requests", {"r": 99, "t": 1}), ("create", {"r": 9, "t": 6})]
        assert [response.headers[name] for name in LIMIT_HEADERS[:3]] == ["10", "9", "6"]

    async def test_one_too_many_is_a_problem_that_says_when_to_come_back(self, ann: Person):
        for _ in range(10):
            await ann.record()
        refused = await ann.post("/activities", json=activity_body())
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["cache-control"] == "no-store"
        assert 1 <= int(refused.headers["retry-after"]) <= 6
        assert remaining(refused) == {"requests": 90, "create": 0}
        assert (await ann.get("/users/me")).status_code == 200

    async def test_responses_of_every_status_carry_headers_that_parse(self, lavish: Api, valkey: Redis):
        ann, admin = await lavish.person(), await lavish.admin()
        one = await ann.record()
        trashed = await ann.record()
        await ann.delete(f"/activities/{trashed['id']}")
        path = f"/activities/{one['id']}"
        calls: list[tuple[Person, str, str, dict[str, Any]]] = [
            (ann, "GET", path, {}),
            (ann, "GET", "/activities?limit=1", {}),
            (ann, "GET", path, {"headers": {"If-None-Match": f'"{one["version"]}"'}}),
            (ann, "PATCH", path, {"json": {"title": None}, "headers": {"If-Match": '"99"'}}),
            (ann, "PATCH", path, {"json": {"title": 3}}),
            (ann, "PATCH", path, {"content": b"{", "headers": {"Content-Type": "application/json"}}),
            (ann, "PATCH", path, {"content": b"x" * 1_100_000, "headers": {"Content-Type": "application/json"}}),
            (ann, "PATCH", path, {"content": b"x", "headers": {"Content-Type": "text/plain"}}),
            (ann, "GET", f"/activities/{trashed['id']}", {}),
            (ann, "DELETE", f"/activities/{trashed['id']}", {}),
            (ann, "GET", "/activities/999999", {}),
            (ann, "GET", "/admin/audit-log", {}),
            (admin, "GET", "/admin/audit-log", {}),
            (ann, "POST", "/activities/import", {"files": {"file": ("x", b"nonsense")}}),
            (ann, "POST", "/activities/import", {"files": {"file": ("x", A_TRACK)}}),
            (Person(ann.http, 0, "", "bad"), "GET", "/users/me", {}),
            (ann, "POST", "/activities", {"json": activity_body()}),
        ]
        statuses: Counter[int] = Counter()
        for number in range(1_000):
            person, method, where, given = calls[number % len(calls)]
            response = await person.call(method, where, **given)
            statuses[response.status_code] += 1
            self.assert_sound(response)
        # Frees nothing, so that a 429 comes up as well.
        while response.status_code != 429:
            response = await ann.post("/activities", json=activity_body())
            self.assert_sound(response)
        assert statuses.keys() >= {200, 201, 304, 400, 401, 403, 404, 409, 410, 412, 413, 415, 422}

    def assert_sound(self, response: httpx.Response) -> None:
        limit, left, reset = (int(response.headers[name]) for name in LIMIT_HEADERS[:3])
        assert 0 <= left <= limit
        assert 0 <= reset <= 60
        policies, rests = dict(parsed(response, "ratelimit-policy")), dict(parsed(response, "ratelimit"))
        assert policies.keys() == rests.keys()
        for name, rest in rests.items():
            assert 0 <= rest["r"] <= policies[name]["q"]
            assert 0 <= rest["t"] <= policies[name]["w"]

    async def test_what_is_free_says_nothing_and_costs_nothing(self, api: Api, ann: Person):
        before = (await ann.get("/rate-limit")).json()
        for path in ("/health/live", "/health/ready", "/docs", "/openapi.json", "/api/v1/rate-limit"):
            for _ in range(30):
                response = await api.http.get(path)
                assert response.status_code == 200
                assert not set(LIMIT_HEADERS) & set(response.headers)
        assert (await ann.get("/rate-limit")).json() == before


class TestImports:
    async def test_an_import_is_charged_by_the_activities_it_makes(self, ann: Person):
        triathlon = FitFile().session("swimming").session("cycling").session("running").content()
        made = await ann.upload(triathlon)
        assert made.status_code == 201
        assert remaining(made) == {"requests": 99, "import": 197}
        assert [made.headers[name] for name in LIMIT_HEADERS[:3]] == ["100", "99", "1"]
        assert len(made.headers.get_list("ratelimit")) == len(made.headers.get_list("x-ratelimit-limit")) == 1
        again = await ann.upload(triathlon)
        assert (again.status_code, remaining(again)["import"]) == (409, 196)
        recovered = await ann.upload(triathlon[:-3])
        assert (recovered.status_code, remaining(recovered)["import"]) == (409, 195)
        broken = await ann.upload(triathlon[:20])
        assert (broken.status_code, remaining(broken)["import"]) == (422, 194)
        assert remaining(await ann.post("/activities", json=activity_body()))["create"] == 9

    async def test_a_file_of_more_activities_than_are_left_makes_none(self, ann: Person):
        for number in range(4):
            assert (await ann.upload(a_file_of(45, first=number))).status_code == 201
        refused = await ann.upload(a_file_of(45, first=5))
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert remaining(refused) == {"requests": 95, "import": 19}
        assert refused.headers["x-ratelimit-limit"] == "200"
        assert int(refused.headers["retry-after"]) in (7, 8)  # 26 activities at one in 0.3 s
        assert (await ann.get("/activities")).json()["total"] == 180
        assert (await ann.upload(a_file_of(9, first=6))).status_code == 201


def a_file_of(activities: int, *, first: int) -> bytes:
    file = FitFile()
    for number in range(activities):
        file.session(start=MORNING + timedelta(days=first), distance_m=1_000 + number)
    return file.content()


class TestWhoIsCharged:
    async def test_the_caller_sees_every_limit_and_what_is_left(self, api: Api, ann: Person):
        await ann.record()
        body = (await ann.get("/rate-limit")).json()
        assert body["tier"] == "free"
        assert {one["policy"]: (one["remaining"], one["limit"]) for one in body["limits"]} == {
            "requests": (99, 100),
            "create": (9, 10),
            "import": (200, 200),
            "upload": (20, 20),
            "list": (100, 100),
            "password": (5, 5),
        }
        anonymous = (await api.http.get("/api/v1/rate-limit")).json()
        assert anonymous["tier"] is None
        assert {one["policy"] for one in anonymous["limits"]} == {"requests", "login_address", "register", "refresh"}

    async def test_a_bad_token_or_none_is_charged_to_the_address(self, api: Api):
        statuses = []
        for number in range(22):
            headers = {"Authorization": "Bearer nonsense"} if number % 2 else {}
            statuses.append((await api.http.get("/api/v1/users/me", headers=headers)).status_code)
        assert statuses == [401] * 20 + [429] * 2

    async def test_a_path_that_no_route_matches_is_charged_to_the_address(self, api: Api):
        answers = [await api.http.get(path) for path in ("/nowhere", "/api/v1/activities/x", "/nowhere") * 7]
        assert [answer.status_code for answer in answers] == [404] * 20 + [429]
        assert remaining(answers[0])["requests"] == 19
        refused = answers[-1]
        assert refused.json()["code"] == "rate_limited"
        assert refused.headers["content-type"] == "application/problem+json"
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert (await api.http.put("/health/live")).status_code == 429  # nor does a method that no route has
        assert (await api.http.get("/health/live")).status_code == 200

    async def test_a_login_that_cannot_be_read_is_charged_to_the_address_before_it_is_refused(self, api: Api):
        bodies = [b'{"email": ', b"[]", b'{"email": 7, "password": "x"}', b"[" * 100_000, b'{"password": "x"}', b"{}"]
        answers = [await api.http.post("/api/v1/auth/login", content=body) for body in bodies]
        assert [answer.status_code for answer in answers] == [400, 422, 422, 400, 422, 429]
        assert [remaining(answer)["login_address"] for answer in answers] == [4, 3, 2, 1, 0, 0]

    async def test_once_the_limit_of_an_address_is_used_up_no_body_of_it_is_waited_for(self, api: Api):
        async with listening(api.app) as (_, port, _):
            async with httpx.AsyncClient() as client:
                while (await client.get(f"http://127.0.0.1:{port}/api/v1/users/me")).status_code != 429:
                    pass
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = (
                "POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100"
            )
            writer.write(f"{head}\r\n\r\n".encode())
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
            writer.close()
        assert answer.startswith(b"HTTP/1.1 429 ")

    async def test_every_spelling_of_an_address_is_the_same_account(self, api: Api, ann: Person):
        spellings = [ann.email.upper(), f" {ann.email}", f"{ann.email.title()} "]
        bodies = [{"email": spelling, "password": PASSWORD} for spelling in spellings]
        answers = [await api.http.post("/api/v1/auth/login", json=body) for body in bodies]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert [remaining(answer)["login_network"] for answer in answers] == [4, 3, 2]  # ann came from here before

    async def test_a_forged_forwarding_header_changes_nothing(self, api: Api):
        statuses: Counter[int] = Counter()
        for number in range(500):
            headers = {"X-Forwarded-For": f"10.{number % 7}.{number // 250}.{number % 250}, 1.2.3.{number % 99}"}
            statuses[(await api.http.get("/api/v1/users/me", headers=headers)).status_code] += 1
        assert statuses[401] <= 20 + 10  # as many as come back in half a minute
        assert statuses[401] + statuses[429] == 500

    async def test_behind_a_trusted_proxy_each_client_has_its_own(self, stores: Stores):
        trusted = ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8")
        async with serving(
            stores.database_url, stores.redis_url, limits_stand=True, rate_limit_scale=1.0, trusted_proxies=trusted
        ) as api:

            async def left(*hops: str) -> str:
                headers = [("X-Forwarded-For", hop) for hop in hops]
                response = await api.http.get("/api/v1/users/me", headers=headers)
                return str(response.headers["x-ratelimit-remaining"])

            assert [await left("203.0.113.1") for _ in range(3)] == ["19", "18", "17"]
            assert await left("203.0.113.2") == "19"
            assert await left("198.51.100.9, 203.0.113.1, 10.0.0.5") == "16"
            assert await left("198.51.100.9", "203.0.113.1") == "15"
            assert await left("2001:db8:1:2::1") == "19"
            assert await left("2001:db8:1:2:ffff::9") == "18"
            assert await left("2001:db8:1:3::1") == "19"

    async def test_every_spelling_of_a_path_is_charged_to_the_same_account(self, ann: Person):
        one = await ann.record()
        paths = ["/activities/{}", "//activities//{}", "/activities/{}/", "/activities/%3{}", "/activities/{}?x=1"]
        expected = remaining(await ann.get("/users/me"))["requests"]
        for path in paths:
            for method in ("GET", "HEAD"):
                response = await ann.call(method, path.format(one["id"]))
                expected -= 1
                assert remaining(response)["requests"] == expected, path
        wide = "".join(chr(0xFF10 + int(digit)) for digit in str(one["id"]))
        response = await ann.get(f"/activities/{wide}")
        assert (response.status_code, remaining(response)["requests"]) == (404, expected - 1)

    async def test_head_is_answered_as_get_without_the_body(self, ann: Person):
        one = await ann.record()
        got, head = [await ann.call(method, f"/activities/{one['id']}") for method in ("GET", "HEAD")]
        assert (head.status_code, head.content) == (200, b"")
        assert [head.headers[name] for name in ("etag", "content-length")] == ['"1"', str(len(got.content))]


@pytest.mark.parametrize("path", ["/activities", "/users/me"])
async def test_a_refusal_is_counted_once_whatever_way_it_is_found(api: Api, ann: Person, path: str):
    def refused(series: Series) -> float:
        return value(series, "rate_limit_decisions_total", policy="requests", outcome="denied")

    before = await scraped(api)
    statuses = [(await ann.get(path)).status_code for _ in range(110)]
    assert statuses == [200] * 100 + [429] * 10
    assert refused(await scraped(api)) - refused(before) == 10


class TestTiers:
    async def test_premium_reaches_five_hundred_a_minute(self, api: Api, ann: Person):
        await api.container.administration().set_standing_as_operator(ann.email, tier=Tier.PREMIUM)
        statuses = [(await ann.get("/activities")).status_code for _ in range(500)]
        assert set(statuses) == {200}
        while statuses[-1] == 200:
            statuses.append((await ann.get("/activities")).status_code)
            assert len(statuses) < 700
        assert statuses[-1] == 429

    async def test_a_change_of_tier_is_in_force_at_once_in_every_process(
        self, api: Api, ann: Person, database_url: str, engines: EngineUrls
    ):
        async with serving(database_url, engines.redis_url, limits_stand=True, rate_limit_scale=1.0) as other:
            there = Person(other.http, ann.id, ann.email, ann.token)
            for tier, limit in [(Tier.PREMIUM, "500"), (Tier.FREE, "100"), (Tier.PREMIUM, "500")]:
                await api.container.administration().set_standing_as_operator(ann.email, tier=tier)
                for person in (ann, there):
                    assert (await person.get("/users/me")).headers["x-ratelimit-limit"] == limit


async def test_waiting_as_long_as_it_says_is_enough_a_hundred_times_of_a_hundred(
    database_url: str, engines: EngineUrls, valkey: Redis
):
    async with serving(database_url, engines.redis_url, rate_limit_scale=10.0) as api:
        users = api.container.user_repo()
        added = [await users.add(a_registration(), password_hash="-", at=NOW) for _ in range(100)]
        await wait_each(api.container.limits(), [user.id for user in added])


async def wait_each(limits: LimitService, users: list[int]) -> None:
    async def waits(user_id: int) -> bool:
        who = Requester("unknown", Caller(user_id, "session"))
        try:
            while True:
                await limits.admit(Action.CREATE, who)
        except RateLimited as refusal:
            await asyncio.sleep(refusal.decision.retry_after_s)
        return await limits.admit(Action.CREATE, who) is not None

    # A few at a time, so that none of them has to wait for the others.
    for first in range(0, len(users), 25):
        assert all(await asyncio.gather(*map(waits, users[first : first + 25])))


class TestWithoutRedis:
    @pytest.fixture
    async def api(self, database_url: str) -> AsyncIterator[Api]:
        async with serving(database_url, NOWHERE_REDIS, rate_limit_scale=1.0) as api:
            yield api

    async def test_ordinary_requests_pass_and_are_counted(self, api: Api, ann: Person):
        for _ in range(12):
            await ann.record()
        assert api.container.rate_limiter().decisions["create", "unavailable"] > 0

    async def test_responses_name_the_limits_and_not_what_nobody_knows(self, api: Api, ann: Person):
        created = await ann.post("/activities", json=activity_body())
        assert created.headers["x-ratelimit-limit"] == "10"
        assert created.headers["ratelimit-policy"] == '"requests";q=100;w=60, "create";q=10;w=60'
        assert not {"x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit"} & created.headers.keys()
        unknown = await api.http.get("/nowhere")
        assert (unknown.status_code, unknown.headers["x-ratelimit-limit"]) == (404, "20")

    async def test_logins_and_registrations_are_judged_here(self, api: Api, ann: Person):
        statuses = [
            (await api.http.post("/api/v1/auth/login", json={"email": ann.email, "password": PASSWORD})).status_code
            for _ in range(6)
        ]
        assert statuses == [200] * 4 + [429] * 2  # one was for ann
        fresh = [{"email": f"new{number}@example.org", "password": PASSWORD} for number in range(6)]
        statuses = [(await api.http.post("/api/v1/auth/register", json=one)).status_code for one in fresh]
        assert statuses == [201] * 4 + [429] * 2

    async def test_permanent_deletion_waits_for_it(self, api: Api):
        admin = await api.admin()
        one = await admin.record()
        await admin.delete(f"/activities/{one['id']}")
        refused = await admin.call("DELETE", f"/admin/activities/{one['id']}", json={"reason": "asked for"})
        assert (refused.status_code, refused.json()["code"]) == (503, "limiter_unavailable")
        assert refused.headers["retry-after"] == "1"
        assert (await admin.post(f"/activities/{one['id']}/restore")).status_code == 200

    async def test_what_is_left_cannot_be_shown(self, ann: Person):
        assert (await ann.get("/rate-limit")).json()["code"] == "limiter_unavailable"


async def test_a_login_too_large_is_refused_whatever_comes_after_the_limit(api: Api):
    async def body() -> AsyncIterator[bytes]:
        yield b" " * 1_100_000
        yield b'{"email": "ann@example.org", "password": "wrong horse"}'

    refused = await api.http.post(
        "/api/v1/auth/login", content=body(), headers={"Content-Type": "application/json"}, timeout=PATIENCE_S
    )
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    assert remaining(refused)["login_address"] == 4


async def test_no_address_lies_in_redis(api: Api, ann: Person, valkey: Redis):
    elsewhere = api.seen_from("203.0.113.7")
    for _ in range(2):
        await elsewhere.http.post("/api/v1/auth/login", json={"email": ann.email, "password": "wrong horse"})
    names = b" ".join([bytes(name) async for name in valkey.scan_iter()])
    assert b":login_repeated:" in names
    assert b"account:" in names
    assert ann.email.split("@", maxsplit=1)[0].encode() not in names
