"""A request is counted and charged once, whatever way it takes and whatever fails meanwhile."""

import asyncio
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import httpx
import pytest
from dependency_injector import providers
from litestar.exceptions import LitestarException

from fitness.adapters.memory.rate_limits import InMemoryRateLimiter
from fitness.domain.model.rate_limits import Balance, Charge, Decision, Limit
from fitness.domain.model.users import Tier
from fitness.domain.use_cases.caching.keys import account_scope
from fitness.domain.use_cases.requesters import Requester
from fitness.entrypoints.http.rate_limits import ViolationLog
from fitness.entrypoints.http.telemetry import MetricsDoor
from fitness.entrypoints.listening import listener_of
from fitness.entrypoints.logs import Response
from fitness.entrypoints.server.exchange import ASGIApp
from fitness.ports.outages import DatabaseUnavailable, LimiterUnavailable
from fitness.ports.reply import Reply
from tests.files import A_TRACK
from tests.harness.api import MEMORY, Api, Person, activity_body, serving
from tests.harness.listening import listening
from tests.integration.test_http_metrics import Series, scraped, value
from tests.patience import PATIENCE_S

READS = ["/activities", "/users/me"]
"""Of the short way and of the long way."""


class Limiter(InMemoryRateLimiter):
    """Its clock stands. It does not answer while it is down, and once for `fails_for` as a first policy."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.down = False
        self.fails_for = ""
        self.unanswered: Reply[Decision] | None = None
        """The reply that it owes to whoever asks for one."""
        self.asked = asyncio.Event()

    async def acquire(self, charges: Sequence[Charge], *, cost: int = 1, dry_run: bool = False) -> Decision:
        if self.down or charges[0].policy == self.fails_for:
            self.fails_for = ""
            raise LimiterUnavailable
        return await super().acquire(charges, cost=cost, dry_run=dry_run)

    def acquire_soon(self, charges: Sequence[Charge]) -> Reply[Decision] | None:
        self.asked.set()
        return self.unanswered or (None if self.down else super().acquire_soon(charges))


@pytest.fixture
def limiter() -> Limiter:
    return Limiter()


@pytest.fixture
async def limited(limiter: Limiter) -> AsyncIterator[Api]:
    def prepare(container: object) -> None:
        container.shared_limiter.override(providers.Object(limiter))  # type: ignore[attr-defined]

    async with serving(MEMORY, MEMORY, rate_limit_scale=1.0, prepare=prepare) as api:
        yield api


@pytest.fixture
async def ann(limited: Api) -> Person:
    """Her standing and her first page are cached."""
    ann = await limited.person()
    for path in READS:
        await ann.get(path)
    return ann


def judged(before: Series, after: Series, outcome: str) -> dict[str, float]:
    """By policy, where anything was judged so."""
    policies = {dict(labels)["policy"] for name, labels in after if name == "rate_limit_decisions_total"}
    counted = {
        policy: value(after, "rate_limit_decisions_total", policy=policy, outcome=outcome)
        - value(before, "rate_limit_decisions_total", policy=policy, outcome=outcome)
        for policy in policies
    }
    return {policy: count for policy, count in counted.items() if count}


async def left(person: Person) -> Counter[str]:
    limits = (await person.get("/rate-limit")).json()["limits"]
    return Counter({one["policy"]: one["remaining"] for one in limits})


@pytest.mark.parametrize("path", READS)
async def test_what_the_limiter_does_not_judge_is_unavailable_once(
    limited: Api, limiter: Limiter, ann: Person, path: str
):
    before = await scraped(limited)
    limiter.down = True
    assert (await ann.get(path)).status_code == 200
    expected = {"requests": 1} | ({"list": 1} if path == "/activities" else {})
    assert judged(before, await scraped(limited), "unavailable") == expected


async def test_what_is_left_is_no_decision(limited: Api, limiter: Limiter, ann: Person):
    before = await scraped(limited)
    limiter.down = True
    assert (await ann.get("/rate-limit")).status_code == 503
    assert judged(before, await scraped(limited), "unavailable") == {}


@pytest.mark.parametrize("path", READS)
async def test_a_read_that_fails_for_the_database_is_charged_once(limited: Api, ann: Person, path: str):
    container = limited.container
    container.standings().of = _fails
    era = container.lease().readable()
    assert era is not None
    await container.cache_store().invalidate(era, account_scope(ann.id))
    before = await scraped(limited)
    assert (await ann.get(path)).status_code == 503
    after = await scraped(limited)
    assert judged(before, after, "allowed")["requests"] == 1
    assert value(after, "http_requests_total", status="503") == 1


async def _fails(*_: object, **__: object) -> object:
    raise DatabaseUnavailable


@pytest.mark.parametrize("path", READS)
async def test_a_request_that_finds_another_tier_is_charged_once(limited: Api, ann: Person, path: str):
    had = (await left(ann))["requests"]
    await limited.container.administration().set_standing_as_operator(ann.email, tier=Tier.PREMIUM)
    before = await scraped(limited)
    answer = await ann.get(path)
    assert (answer.status_code, answer.headers["x-ratelimit-limit"]) == (200, "500")
    assert judged(before, await scraped(limited), "allowed")["requests"] == 1
    premium_left = (await left(ann))["requests"]
    assert premium_left == int(answer.headers["x-ratelimit-remaining"])
    assert 500 - premium_left == 5 * (100 - had + 1)  # of the same time, in which five times as much comes back


async def test_what_the_limiter_said_before_it_failed_holds_for_the_rest_of_a_form(
    limited: Api, limiter: Limiter, ann: Person
):
    had = (await left(ann))["import"]
    limiter.fails_for = "import"
    files = [re.sub(rb"2026-\d\d", b"2026-%02d" % month, A_TRACK) for month in range(1, 6)]
    assert (await ann.upload(*files)).status_code == 201
    assert had - (await left(ann))["import"] == 4  # one for the request, three for the files after the failure


async def test_refusals_of_this_process_alone_are_counted(limited: Api, limiter: Limiter, ann: Person):
    async def registered(number: int) -> httpx.Response:
        body = {"email": f"one{number}@example.org", "password": "correct horse"}
        return await limited.http.post("/api/v1/auth/register", json=body)

    before = await scraped(limited)
    statuses = [(await registered(number)).status_code for number in range(6)]
    assert statuses == [201] * 4 + [429] * 2  # Ann was the first of five
    between = await scraped(limited)
    assert judged(before, between, "denied") == {"register": 2}
    limiter.down = True
    assert (await registered(9)).status_code == 429
    assert judged(between, await scraped(limited), "denied") == {"register": 1}


@pytest.mark.parametrize("trashed", [False, True])
async def test_an_activity_that_is_not_there_is_looked_for_once(limited: Api, ann: Person, trashed: bool):
    one = (await ann.record())["id"]
    if trashed:
        await ann.delete(f"/activities/{one}")
    before = await scraped(limited)
    path = f"/activities/{one}" if trashed else "/activities/999"
    assert (await ann.get(path)).status_code == (410 if trashed else 404)
    after = await scraped(limited)
    for name, labels in [
        ("cache_misses_total", {"cache": "activity"}),
        ("db_query_duration_seconds_count", {"query": "activities.get"}),
        ("db_query_duration_seconds_count", {"query": "activities.state"}),
    ]:
        assert value(after, name, **labels) - value(before, name, **labels) == 1, labels


async def test_whose_request_it_was_stands_in_the_line_of_a_refusal(limited: Api, ann: Person):
    written = caught(limited)
    assert (await ann.get("/admin/audit-log")).status_code == 403
    for _ in range(11):
        last = await ann.post("/activities", json=activity_body())
    assert last.status_code == 429
    while (await ann.get("/users/me")).status_code == 200:
        pass
    refused = [one for one in written if one.status >= 400]
    assert [one.status for one in refused] == [403, 429, 429]
    assert {one.user_id for one in refused} == {ann.id}


async def test_who_leaves_before_the_limiter_has_answered_is_counted_under_his_route(
    limited: Api, limiter: Limiter, ann: Person
):
    written = caught(limited)
    limiter.unanswered = Reply()
    limiter.asked.clear()
    async with listening(limited.app) as (_, port, _), asyncio.timeout(PATIENCE_S):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"GET /api/v1/activities HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ann.token}\r\n\r\n"
        writer.write(head.encode())
        await limiter.asked.wait()
        writer.transport.abort()
        while not written:  # noqa: ASYNC110 - a log tells nobody
            await asyncio.sleep(0.001)
    assert [(one.route, one.status, one.user_id) for one in written] == [("/api/v1/activities", 499, ann.id)]


async def test_a_table_that_breaks_off_is_no_success(limited: Api, ann: Person):
    limited.container.exports().activities.list = _fails  # type: ignore[assignment, method-assign]
    before = await scraped(limited)
    with pytest.raises(LitestarException):
        await ann.get("/activities.csv")
    after = await scraped(limited)
    counted = {
        status: value(after, "http_requests_total", endpoint="/api/v1/activities.csv", status=status)
        - value(before, "http_requests_total", endpoint="/api/v1/activities.csv", status=status)
        for status in ("200", "500")
    }
    assert counted == {"200": 0, "500": 1}


async def test_a_file_that_is_read_again_counts_as_a_change(limited: Api, ann: Person):
    (one,) = (await ann.upload(A_TRACK)).json()["items"]
    store = limited.container.store()
    activity, reading = store.activities[one["id"]], store.readings[one["id"]]
    store.activities[one["id"]] = replace(activity, distance_km=1.0)
    # As an older version has read it.
    store.readings[one["id"]] = replace(reading, details=replace(reading.details, distance_km=1.0))
    before = await scraped(limited)
    assert [len(one.changes) async for one in limited.container.rereading().reread()] == [1]
    after = await scraped(limited)
    counted = [value(series, "changes_written_total", kind="updated") for series in (before, after)]
    assert counted == [counted[0], counted[0] + 1]


async def test_what_the_listener_of_metrics_refuses_is_no_request_of_the_api(limited: Api):
    apps: list[tuple[ASGIApp, int]] = [(MetricsDoor(limited.container.metrics_exchange(), ()), 0), (limited.app, 1)]
    for app, counted in apps:
        sock = socket.create_server(("127.0.0.1", 0))
        listener = listener_of(limited.container, app, sock, most_connections=10)
        before = value(await scraped(limited), "http_requests_total", status="400")
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            writer.write(b"nonsense\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 400")
            writer.close()
            await listener.drain(notice_s=0, patience_s=PATIENCE_S)
        assert value(await scraped(limited), "http_requests_total", status="400") - before == counted


async def test_refusals_are_told_at_once_and_then_together_with_the_last_of_them(caplog: pytest.LogCaptureFixture):
    violations = ViolationLog(pause_s=0.01)
    balance = Balance("requests", Limit(20), 0, 1, 1)
    for address in ("203.0.113.1", "203.0.113.2", "203.0.113.3"):
        violations.record(Decision((balance,)), "/there", Requester(address))
    async with asyncio.timeout(PATIENCE_S):
        while len(caplog.messages) < 2:  # noqa: ASYNC110 - a log tells nobody
            await asyncio.sleep(0.001)
    assert caplog.messages == [
        "requests refused 1 times; last to address 203.0.113.1 on /there",
        "requests refused 2 times; last to address 203.0.113.3 on /there",
    ]


def caught(api: Api) -> list[Response]:
    """The access lines from now on."""
    written: list[Response] = []
    api.container.access_log().write = written.append
    return written
