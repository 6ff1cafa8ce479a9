"""The short way answers byte for byte as the long one does, over thousands of requests, or not at all."""

import asyncio
import re
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlencode

import msgspec

from fitness.domain.model.refusals import Refusal
from fitness.domain.use_cases.caching.keys import activity_scope, user_scope
from fitness.entrypoints.http.arrived import Arrived
from fitness.entrypoints.http.short_way import ShortWay
from fitness.ports.outages import CacheUnavailable
from tests.harness.api import Api, Person, Stores, serving
from tests.patience import PATIENCE_S

REQUESTS = 2_000
PROMISED = 0.2
"""At least this share of the requests below can be answered the short way."""

ORIGIN = "https://app.example.org"

UNUSUAL = [(b"x-repeated", b"1"), (b"x-repeated", b"2")]
"""A repeated header makes any request go the long way."""

QUERIES: list[list[tuple[str, str]]] = [
    [],
    [],
    [("limit", "2")],
    [("page", "2"), ("limit", "3")],
    [("page", "9")],
    [("type", "run")],
    [("tag", "hills"), ("tag", "race")],
    [("exclude_tag", "Hills")],
    [("q", "long run")],
    [("from", "2026-11-01")],
    [("from", "2026-11-01T08:00:00Z"), ("to", "2026-11-03")],
    [("type", "run"), ("type", "ride"), ("with_total", "true")],
    [("limit", "2"), ("with_total", "false")],
    [("sort", "-distance"), ("limit", "2")],
    [("sort", "duration"), ("min_distance_km", "1")],
    [("sort", "up")],
    [("limit", "0")],
    [("limit", "x")],
    [("page", "1"), ("cursor", "junk")],
    [("cursor", "junk")],
    [("unknown", "1")],
    [("type", "flying")],
    [("limit", "2"), ("limit", "3")],
]
VARYING = {b"x-request-id", b"x-ratelimit-remaining", b"x-ratelimit-reset", b"ratelimit"}


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    @property
    def target(self) -> bytes:
        return self.path.encode() + (b"?" + self.query if self.query else b"")

    def scope(self, app: Any, extra: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "root_path": "",
            "query_string": self.query,
            "headers": [*self.headers, *extra],
            "client": ("127.0.0.1", 1),
            "server": ("fitness", 80),
            "app": app,
            "state": {},
        }


@dataclass
class Answered:
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    @property
    def lasting(self) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Without the values that differ between two requests; the names of the headers stay, in their order."""
        return (
            self.status,
            [(name, b"" if name in VARYING else value) for name, value in self.headers],
            self.body,
        )


async def answered(
    api: Api, asked: Asked, extra: list[tuple[bytes, bytes]], parts: tuple[bytes, ...] = (b"",)
) -> Answered:
    """`parts` of the body come one after the other."""
    answer = Answered()
    coming = iter(enumerate(parts, start=1))

    async def receive() -> dict[str, Any]:
        number, part = next(coming)
        return {"type": "http.request", "body": part, "more_body": number < len(parts)}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.headers = message["status"], [*message["headers"]]
        else:
            answer.body += message.get("body", b"")

    await api.app(asked.scope(api.app, extra), receive, send)  # type: ignore[arg-type]
    return answer


def requests(random: Random, people: list[Person], ids: list[int]) -> Iterator[Asked]:
    """Of every kind that the short way may meet; most are usual ones."""
    tokens = [f"Bearer {one.token}" for one in people]
    odd = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x.y.z",
        "Basic YTpi",
        f"bearer {people[0].token}",
        f"Bearer  {people[0].token} ",
    ]
    for _ in range(REQUESTS):
        headers = [(b"host", b"fitness"), (b"accept", b"*/*")]
        authorization = random.choice(tokens) if random.random() < 0.85 else random.choice(odd)
        if authorization:
            headers.append((b"authorization", authorization.encode()))
        if random.random() < 0.3:
            versions = ['"1"', '"2"', 'W/"1"', "*", '"7", "1"', "junk", '"', "1", "", '"1-gzip"', '"1", "1-gzip"']
            headers.append((b"if-none-match", random.choice(versions).encode()))
        if random.random() < 0.4:
            encodings = [b"gzip, deflate, br", b"GZIP;q=0.5", b"gzip;q=0", b"br", b""]
            headers.append((b"accept-encoding", random.choice(encodings)))
        if random.random() < 0.2:
            headers.append((b"origin", random.choice([ORIGIN.encode(), b"https://elsewhere.example", b"null"])))
        if random.random() < 0.05:
            headers.append((b"if-match", random.choice([b'"1"', b"1", b"*", b'W/"2"'])))
        if random.random() < 0.2:
            headers.append((b"x-request-id", random.choice([b"mine", b"", b"a b", b"x" * 129])))
        random.shuffle(headers)
        query: list[tuple[str, str]] = []
        if random.random() < 0.5:
            path, query = "/api/v1/activities", random.choice(QUERIES)
        else:
            odd_ids = ["0", "01", "99999", str(2**63 - 1), str(2**63), "9" * 30, "-1", "1x", "", "\uff11", "trash"]
            wanted = str(random.choice(ids)) if random.random() < 0.85 else random.choice(odd_ids)
            path = f"/api/v1/activities/{wanted}"
            query = [("x", "1")] if random.random() < 0.05 else []
        method = random.choice(["GET", "GET", "GET", "GET", "HEAD", "OPTIONS", "PUT"])
        yield Asked(method, path, urlencode(query).encode(), tuple(headers))


async def asked_well(
    api: Api, asked: Asked, extra: list[tuple[bytes, bytes]], people: list[Person], ids: list[int], *, cold: bool
) -> Answered:
    """Asked again while a store is late, as it may be on a busy machine: then the cache or the limits are bypassed."""
    give_up_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_s:
        if cold:
            try:
                await forget(api, people, ids)
            except CacheUnavailable:
                await asyncio.sleep(0.02)
                continue
        answer = await answered(api, asked, extra)
        names = dict(answer.headers)
        bypassed = names.get(b"x-cache") == (b"HIT" if cold else b"MISS") or names.get(b"x-cache") == b"BYPASS"
        unjudged = b"x-ratelimit-limit" in names and b"x-ratelimit-remaining" not in names
        if not bypassed and not unjudged and answer.status != 503:
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError("the stores are late all the time")


async def forget(api: Api, people: list[Person], ids: list[int]) -> None:
    """Nothing that is cached of these is valid any more."""
    era = (await api.container.cache_state().read()).era
    assert era is not None
    scopes = [*(activity_scope(one) for one in ids), *(user_scope(one.id) for one in people)]
    await api.container.cache().invalidate(era, *scopes)


async def test_both_ways_answer_the_same(stores: Stores):
    random = Random(7)
    async with serving(stores.database_url, stores.redis_url, rate_limit_scale=1_000.0, cors_origins=(ORIGIN,)) as api:
        people = [await api.person(), await api.person()]
        ids = []
        for number in range(8):
            body = {"title": f"a long run {number}", "tags": ["hills"] if number % 2 else ["race", "hills"]}
            body["notes"] = "compressed " * (200 if number > 4 else 2)
            ids.append((await people[number % 2].record(**body))["id"])
        await people[0].delete(f"/activities/{ids[0]}")
        await people[0].patch(f"/activities/{ids[2]}", json={"notes": "grüße, 走る"})
        container = api.container
        short_way = ShortWay(
            container.access_tokens(), container.limits(), container.cached_reads(), container.activities()
        )
        short = Counter[object]()
        for asked in requests(random, people, ids):
            cold = random.random() < 0.3
            for extra in (UNUSUAL, []):  # so that both are hits, where there is something to hit
                await answered(api, asked, extra)
            both = [await asked_well(api, asked, extra, people, ids, cold=cold) for extra in (UNUSUAL, [])]
            assert both[0].lasting == both[1].lasting, asked
            wanted = short_way.asked(asked.target) if asked.method == "GET" else None
            arrived = Arrived(asked.method, asked.path, [*asked.headers])
            read = None if wanted is None else short_way.read(wanted, arrived)
            try:
                found = None if read is None else await short_way.answer(read, None)
            except Refusal as refusal:
                short[type(refusal).__name__] += 1
            else:
                short.update([] if found is None else [found.status])
        assert short.total() > REQUESTS * PROMISED
        assert short[200] > 0
        assert short[304] > 0
        assert {"ActivityNotFound", "ActivityInTrash"} <= short.keys()


BODIES: list[Any] = [
    {},
    {"title": "  Hills  ", "notes": "grüße, 走る", "tags": ["Race", "hills", "race"]},
    {"activity_date": "2026-11-01T08:00:00+02:00", "timezone": "Asia/Tokyo", "distance_km": 10.00049},
    {"title": "long " * 40, "notes": "compressed " * 200},
    {"duration_minutes": -1, "title": "x" * 251},
    {"duration_minutes": "30", "unknown": 1},
    {"activity_type": "flying"},
    {"source": "watch", "external_id": "taken"},
    {"activity_date": "0001-01-01T00:00:00+14:00"},
]
RAW_BODIES = [b"", b"[]", b"{", b"null", b"\xff", b"[" * 5_000, b" {} "]
KINDS = [
    *(b"application/json", b"application/json", b"application/merge-patch+json"),
    *(b"application/json; charset=utf-8", b"text/plain"),
]
LASTING = ("id", "created_at", "updated_at")


def creates(random: Random, person: Person) -> Iterator[tuple[Asked, tuple[bytes, ...]]]:
    """Of every kind that the short way may meet, each with its body in one part or in several."""
    token = f"Bearer {person.token}".encode()
    least = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30}
    for _ in range(400):
        headers, parts = sent(random, least | random.choice(BODIES), token)
        path = "/api/v1/activities" if random.random() < 0.95 else "/api/v1/activities/"
        yield Asked("POST", path, b"x=1" if random.random() < 0.05 else b"", headers), parts


def sent(
    random: Random, fields: dict[str, Any], token: bytes
) -> tuple[tuple[tuple[bytes, bytes], ...], tuple[bytes, ...]]:
    """A request's headers, and its body in parts; now and then there is something wrong or unusual about either."""
    body = msgspec.json.encode(fields)
    if random.random() < 0.15:
        body = random.choice(RAW_BODIES)
    cut = random.randrange(1, len(body)) if len(body) > 1 and random.random() < 0.3 else len(body)
    parts = (body[:cut], body[cut:]) if cut < len(body) else (body,)
    headers = [(b"host", b"fitness"), (b"authorization", token if random.random() < 0.95 else b"Bearer x.y.z")]
    if random.random() < 0.95:
        headers.append((b"content-type", random.choice(KINDS)))
    length = random.choice([b"1000001", b""]) if random.random() < 0.05 else b"%d" % len(body)
    headers.append((b"content-length", length) if length else (b"transfer-encoding", b"chunked"))
    if random.random() < 0.3:
        headers.append((b"accept-encoding", b"gzip"))
    if random.random() < 0.2:
        headers.append((b"origin", random.choice([ORIGIN.encode(), b"https://elsewhere.example"])))
    return tuple(headers), parts


def apart_from_its_name(answer: Answered) -> tuple[int, dict[bytes, bytes], Any]:
    """An activity without its id and times, and the headers without what those are in."""
    headers = {name: b"" if name in VARYING else value for name, value in answer.headers}
    body = zlib.decompress(answer.body, 47) if headers.get(b"content-encoding") == b"gzip" else answer.body
    if answer.status not in (200, 201):
        return answer.status, headers, body
    recorded = msgspec.json.decode(body)
    if answer.status == 201:
        assert headers[b"location"] == f"/api/v1/activities/{recorded['id']}".encode()
        headers[b"location"] = b""
    assert headers[b"content-length"] == b"%d" % len(answer.body)
    kept = [(name, value) for name, value in recorded.items() if name not in LASTING]
    return answer.status, headers | {b"content-length": b""}, kept


async def test_both_ways_record_the_same(stores: Stores):
    random = Random(5)
    async with serving(stores.database_url, stores.redis_url, rate_limit_scale=1_000.0, cors_origins=(ORIGIN,)) as api:
        ann = await api.person()
        await ann.record(source="watch", external_id="taken")
        short = Counter[int]()
        for asked, parts in creates(random, ann):
            both = [
                apart_from_its_name(await answered(api, asked, [*extra, (b"x-request-id", b"mine")], parts))
                for extra in (UNUSUAL, [])
            ]
            assert [*both[0][1]] == [*both[1][1]]
            assert both[0] == both[1], asked
            short[both[0][0]] += 1
        assert short[201] > 100
        assert {400, 401, 409, 413, 415, 422} <= {*short}
        recorded = (await ann.get("/activities?limit=1&with_total=true")).json()["total"]
        assert recorded == 2 * short[201] + 1


CHANGES: list[dict[str, Any]] = [
    *BODIES,
    *({"title": None, "tags": []}, {"notes": None}, {"version": 3}, {"activity_type": None}, {"distance_km": 12}),
]
CONDITIONS = [(b"if-match", b'"1"'), (b"if-match", b"*"), (b"if-none-match", b'"1"'), (b"if-match", b"1")]


async def test_both_ways_change_the_same(stores: Stores):
    """Each change is made of two activities that are alike, one each way; a refusal is of the same one."""
    random = Random(6)
    async with serving(stores.database_url, stores.redis_url, rate_limit_scale=1_000.0, cors_origins=(ORIGIN,)) as api:
        ann, ben = await api.person(), await api.person()
        token = f"Bearer {ann.token}".encode()
        alike = [(await ann.record())["id"] for _ in range(2)]
        trashed, others = (await ann.record())["id"], (await ben.record())["id"]
        await ann.delete(f"/activities/{trashed}")
        answers = Counter[int]()
        for _ in range(400):
            headers, parts = sent(random, random.choice(CHANGES), token)
            if random.random() < 0.2:
                headers = (*headers, random.choice(CONDITIONS))
            refused = random.choice([trashed, others, 10**12, 10**18, 10**19])
            both = []
            for one, extra in zip(alike if random.random() < 0.8 else [refused] * 2, (UNUSUAL, []), strict=True):
                asked = Asked("PATCH", f"/api/v1/activities/{one}", b"", headers)
                answer = await answered(api, asked, [*extra, (b"x-request-id", b"mine")], parts)
                seen = repr(apart_from_its_name(answer))
                both.append(seen if answer.status == 200 else re.sub(rf"\b{one}\b", "its id", seen))
            assert both[0] == both[1], asked
            answers[answer.status] += 1
        assert answers[200] > 100
        assert {400, 401, 404, 409, 412, 413, 415, 422} <= {*answers}
        versions = [(await ann.get(f"/activities/{one}")).json()["version"] for one in alike]
        assert versions[0] == versions[1] > 50


async def test_a_create_with_a_key_is_recorded_once_whichever_way_it_goes(stores: Stores):
    async with serving(stores.database_url, stores.redis_url) as api:
        ann = await api.person()
        body = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30}
        answers = [
            await ann.post("/activities", json=body, headers={"Idempotency-Key": "k", **extra})
            for extra in ({}, {"Content-Type": "application/json; charset=utf-8"}, {})
        ]
        assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_request_is_charged_once_whichever_way_it_goes(stores: Stores):
    async with serving(stores.database_url, stores.redis_url, limits_stand=True, rate_limit_scale=1.0) as api:
        ann = await api.person()
        one = await ann.record()
        await ann.get(f"/activities/{one['id']}")
        left = (await ann.get("/rate-limit")).json()["limits"][0]["remaining"]
        charged = 0
        for path in (
            f"/activities/{one['id']}",
            "/activities",
            "/activities/99999",
            "/activities?limit=0",
            "/activities?q=x",
        ):
            for extra in ({}, {"If-None-Match": '"1"'}):
                answer = await ann.get(path, headers=extra)
                charged += 1
                assert int(answer.headers["x-ratelimit-remaining"]) == left - charged
