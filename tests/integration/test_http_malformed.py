"""Hostile and careless input on every route: refused with a problem body, never a crash."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

from tests.harness.api import Api, Person, activity_body
from tests.harness.documented import document
from tests.integration.test_http_access import filled

DEEP = b"[" * 100_000
DEEP_OBJECT = b'{"a":' * 100_000

# Bodies that no route can take.
RAW_BODIES: list[bytes] = [
    b"",
    b"{",
    b"nul",
    b"[]",
    b"null",
    b"7",
    b'"text"',
    b"{}{}",
    b"{'a': 1}",
    b'{"a": NaN}',
    b'{"a": Infinity}',
    b'{"a": 1e999}',
    b'{"a": 01}',
    b'{"a": "\xff\xfe"}',
    b'{"a": "\\ud800"}',
    b'{"a\xff": 1}',
    b"\xef\xbb\xbf{}",
    b"\x00\x01\x02",
    DEEP,
    DEEP_OBJECT,
    b'{"title": ' + DEEP + b"]" * 100_000 + b"}",
]

BODY_ROUTES = [
    ("POST", "/auth/register"),
    ("POST", "/auth/login"),
    ("PATCH", "/users/me"),
    ("POST", "/activities"),
    ("PATCH", "/activities/{id}"),
    ("DELETE", "/admin/activities/{id}"),
    ("PATCH", "/admin/users/{id}"),
]

# Values that a field of an activity cannot have.
BAD_FIELDS: dict[str, list[Any]] = {
    "activity_type": [None, 1, "", "flying", "RUN", "run ", ["run"], {}],
    "activity_date": [
        None,
        0,
        "",
        "yesterday",
        "2026-11-20",
        "2026-11-20T12:00:00",  # a local time without an offset may be ambiguous or not exist at all
        "2026-03-29T02:30:00",  # does not exist in Paris
        "2026-10-25T02:30:00",  # happens twice in Paris
        "2026-02-30T12:00:00Z",
        "2026-11-20T25:00:00Z",
        "2026-11-20T12:00:00+24:00",
        "2026-11-20T12:00:60Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "1969-12-31T23:59:59Z",
        "2999-01-01T00:00:00Z",
        "99999-01-01T00:00:00Z",
        "２０２６-11-20T12:00:00Z",
        1e300,
        [],
    ],
    "duration_minutes": [None, "30", True, 0, -1, -0.0, 0.0001, 43_200.001, 1e300, 2**63, 2**200, [], {}],
    "elapsed_minutes": ["30", True, 0, -1, 29.999, 43_200.001, 1e300, 2**63, [], {}],
    "is_indoor": [0, 1, "true", [], {}],
    "group_id": [None, 1],
    "distance_km": ["10", True, -0.001, 2000.001, 1e300, -1e300, 2**64, []],
    "elevation_gain_m": ["x", False, -1, 20_001, 1e300],
    "calories_kcal": ["100", 1.5, True, -1, 50_001, 2**31, 2**63, 2**200, 1e300],
    "average_heart_rate_bpm": ["x", 19, 251, 0, -1, 120.5, 2**63],
    "max_heart_rate_bpm": [{}, 19, 251, 2**100],
    "title": [1, True, [], {}, "x" * 251, "a\0b", "\0"],
    "notes": [1, [], "x" * 10_001, "line\0line"],
    "timezone": [
        1,
        "",
        "Mars/Olympus",
        "europe/paris",
        "Europe/Paris ",
        "Europe/Paris\0",
        "../UTC",
        "/etc/localtime",
        "UTC" * 100,
        "Factory",
        "posixrules",
        "localtime",
    ],
    "tags": ["race", [1], [None], [""], ["  "], ["x" * 51], ["a\0"], [["a"]], {"a": 1}, [f"t{n}" for n in range(21)]],
    "source": [None, 1, "", "Watch", "my watch", "x" * 33, "a\0"],
    "external_id": [1, "", "x" * 256, "a\0"],
    "unknown": [1],
    "id": [7],
    "user_id": [7],
    "__proto__": [{}],
}

BAD_QUERIES = [
    "page=-1",
    "page=0",
    "page=1.5",
    "page=",
    "page=x",
    "page=1e3",
    "page=true",
    "page=%EF%BC%91",
    "page=99999999999999999999999",
    "page=10001",
    "page=501&limit=20",
    "limit=0",
    "limit=-5",
    "limit=101",
    "limit=99999999999999999999999",
    "limit=%D9%A5",
    "limit=10&limit=20",
    "cursor=x",
    "cursor=%00",
    "cursor=" + "A" * 5_000,
    "cursor=////",
    "cursor=kgEC&page=1",
    "cursor=ksv__________8B",
    "cursor=%F0%9F%98%80",
    "unknown=1",
    "%FF=1",
    "page=%FF",
    "page=%C0%80",
    "&".join(f"p{n}=1" for n in range(200)),
]

BAD_FILTERS = [
    "type=",
    "type=RUN",
    "type=run&type=flying",
    "sort=",
    "sort=--date",
    "sort=-date&sort=date",
    "with_total=",
    "with_total=2",
    "min_distance_km=NaN",
    "max_distance_km=-0.001",
    "min_distance_km=2&max_distance_km=1",
    "min_duration_minutes=0",
    "max_duration_minutes=1e9",
    "q=a+b+c+d+e+f+g+h+i",
    "type=%00",
    "from=x",
    "from=2026-13-01",
    "from=2026-11-20T12:00:00",
    "from=99999-01-01",
    "to=2026-02-29",
    "to=0",
    "to=%00",
    "tag=",
    "tag=%00",
    "tag=" + "x" * 51,
    "&".join(f"tag=t{n}" for n in range(21)),
    "exclude_tag=%00",
    "q=%00",
    "q=" + "x" * 201,
    "q=%ED%A0%80",
]

BAD_IDS = [
    "0",
    "-1",
    "x",
    "1.5",
    "1e3",
    "0x1",
    "１",
    "٣",
    "1_000",
    "%201",
    "1%20",
    "+1",
    "1%00",
    "%2B1",
    "9223372036854775808",
    "99999999999999999999999999",
    "1" * 300,
    "%FF",
    "..%2F1",
    "1;drop",
    "%F0%9F%98%80",
]

ID_ROUTES = [
    ("GET", "/activities/{}"),
    ("PATCH", "/activities/{}"),
    ("DELETE", "/activities/{}"),
    ("POST", "/activities/{}/restore"),
    ("DELETE", "/admin/activities/{}"),
    ("PATCH", "/admin/users/{}"),
]


class Trials:
    """Sends requests and keeps those that were not answered with a problem below 500."""

    def __init__(self) -> None:
        self.sent = 0
        self.bad: list[str] = []

    def judge(self, answer: httpx.Response, what: object, *, below: int = 500) -> None:
        self.sent += 1
        sound = 400 <= answer.status_code < below and answer.headers["content-type"] == "application/problem+json"
        if not sound or answer.json()["status"] != answer.status_code:
            self.bad.append(f"{answer.status_code} {answer.request.method} {answer.request.url} {what!r:.100}")


async def test_more_than_300_malformed_inputs_on_every_route_are_refused_and_change_nothing(api: Api):
    admin = await api.admin()
    one = await admin.record(title="untouched")
    trials = Trials()
    await bodies(trials, admin, one["id"])
    await fields(trials, admin, one["id"])
    await logins(trials, api)
    await queries(trials, admin)
    await identifiers(trials, admin)
    await headers(trials, api, admin)
    assert trials.bad == []
    assert trials.sent > 300
    assert (await admin.get(f"/activities/{one['id']}")).json() == one
    assert (await admin.get("/activities")).json()["total"] == 1


async def bodies(trials: Trials, admin: Person, activity_id: int) -> None:
    for method, path in BODY_ROUTES:
        for body in RAW_BODIES:
            answer = await admin.call(
                method, path.format(id=activity_id), content=body, headers={"Content-Type": "application/json"}
            )
            trials.judge(answer, body)
        for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/xml", "a" * 500, "/", ";"):
            answer = await admin.call(
                method, path.format(id=activity_id), content=b"{}", headers={"Content-Type": media_type}
            )
            trials.judge(answer, media_type)
        oversized = json.dumps({"notes": "x" * 1_100_000}).encode()
        answer = await admin.call(
            method, path.format(id=activity_id), content=oversized, headers={"Content-Type": "application/json"}
        )
        trials.judge(answer, "1.1 MB")


async def fields(trials: Trials, admin: Person, activity_id: int) -> None:
    for field, value in ((field, value) for field, values in BAD_FIELDS.items() for value in values):
        trials.judge(await admin.post("/activities", content=_json(activity_body(**{field: value}))), (field, value))
        if not (value is None and field in ("source",)):
            answer = await admin.patch(f"/activities/{activity_id}", content=_json({field: value}))
            trials.judge(answer, (field, value))


async def logins(trials: Trials, api: Api) -> None:
    marks = "a" + "\u0301\u0327" * 100_000
    for email in ("a\0@example.org", "\0", "x" * 500_000, marks, ""):
        for path in ("login", "register"):
            answer = await api.http.post(
                f"/api/v1/auth/{path}", content=_json({"email": email, "password": "correct horse"})
            )
            trials.judge(answer, email)


async def queries(trials: Trials, admin: Person) -> None:
    for query in BAD_QUERIES + BAD_FILTERS:
        trials.judge(await admin.get(f"/activities?{query}"), query)
    for path in ("/activities/trash", "/admin/audit-log", "/admin/users"):
        for query in BAD_QUERIES:
            trials.judge(await admin.get(f"{path}?{query}"), query)
    for path, of_path in document()["paths"].items():
        for method, operation in of_path.items():
            for name in (one["name"] for one in operation["parameters"] if one["in"] == "query"):
                target = f"{filled(path.removeprefix('/api/v1'))}?{name}=%00"
                trials.judge(await admin.call(method.upper(), target), "a NUL")


async def identifiers(trials: Trials, admin: Person) -> None:
    for (method, path), bad in _pairs():
        trials.judge(await admin.call(method, path.format(bad), json={"reason": "x"}), bad)


async def headers(trials: Trials, api: Api, admin: Person) -> None:
    for key in (b"", b"\xff", b"a b", b"x" * 300, "ключ".encode()):
        answer = await admin.post("/activities", json=activity_body(), headers={"Idempotency-Key": key})
        trials.judge(answer, key)
    for token in (b"\xff\xfe", b"Bearer", b"Bearer \x80", b"Bearer " + b"a." * 5_000, b"Basic x"):
        raw: Any = {b"Authorization": token}
        trials.judge(await api.http.get("/api/v1/users/me", headers=raw), token)
    for tag in ('"' + "9" * 5_000 + '"', "\x80", '"99999999999999999999"'):
        raw = {b"If-Match": tag.encode("latin-1"), b"Authorization": f"Bearer {admin.token}".encode()}
        trials.judge(await api.http.patch("/api/v1/activities/1", json={"title": "x"}, headers=raw), tag)


def _pairs() -> Iterator[tuple[tuple[str, str], str]]:
    return ((route, quote(bad, safe="%+;")) for route in ID_ROUTES for bad in BAD_IDS)


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


async def test_a_parameter_that_a_route_does_not_know_is_refused_and_nothing_is_done(api: Api):
    ann = await api.person()
    one = await ann.record()
    for method, path in [
        ("POST", "/activities?dry_run=true"),
        ("DELETE", f"/activities/{one['id']}?permanent=true"),
        ("PATCH", f"/activities/{one['id']}?fields=title"),
        ("GET", f"/activities/{one['id']}?fields=title"),
        ("GET", "/tags?limit=5"),
        ("GET", "/users/me?x"),
        ("POST", f"/activities/{one['id']}/restore?version=1"),
    ]:
        given = {"json": activity_body()} if method == "POST" else {"json": {}} if method == "PATCH" else {}
        refused = await ann.call(method, path, **given)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_fields"), path
        assert "is not a parameter here" in refused.text
    assert (await ann.get("/activities")).json()["items"] == [one]
    assert (await api.http.get("/health/live?by=balancer")).status_code == 200
    assert (await api.http.request("OPTIONS", "/api/v1/tags?limit=5")).status_code == 204
