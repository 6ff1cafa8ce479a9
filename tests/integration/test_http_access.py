"""Who may call which route: every route by every kind of caller, and nobody by another's ids."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import jwt
import pytest

from fitness.adapters.credentials.jwt import ALGORITHM, JwtAccessTokens
from fitness.adapters.memory.clock import ManualClock
from fitness.adapters.system.clock import SystemClock
from fitness.domain.model.api_keys import ApiScope
from fitness.domain.model.users import Caller
from fitness.entrypoints.http.routes import Access, declared, operations
from tests.harness.api import IN_MEMORY, PASSWORD, Api, Person, serving
from tests.pictures import a_jpeg

UNKNOWN_ID = 2**40
UNKNOWN_SESSION = "f" * 32
OTHER_KEY = "another key of somebody else's"
BASE = "/api/v1"

ROUTES = {
    "POST /auth/register": Access.PUBLIC,
    "POST /auth/login": Access.PUBLIC,
    "POST /auth/refresh": Access.PUBLIC,
    "POST /auth/reset": Access.PUBLIC,
    "POST /auth/logout": Access.ACCOUNT,
    "POST /auth/logout-all": Access.ACCOUNT,
    "GET /auth/sessions": Access.ACCOUNT,
    "DELETE /auth/sessions/{session_id}": Access.ACCOUNT,
    "POST /auth/keys": Access.ACCOUNT,
    "GET /auth/keys": Access.ACCOUNT,
    "DELETE /auth/keys/{key_id}": Access.ACCOUNT,
    "GET /users/me": Access.ACCOUNT,
    "PATCH /users/me": Access.ACCOUNT,
    "DELETE /users/me": Access.ACCOUNT,
    "POST /users/me/password": Access.ACCOUNT,
    "POST /activities": Access.ACCOUNT,
    "GET /activities": Access.ACCOUNT,
    "GET /activities/trash": Access.ACCOUNT,
    "POST /activities/import": Access.ACCOUNT,
    "GET /activities/{activity_id}": Access.ACCOUNT,
    "GET /activities/{activity_id}/file": Access.ACCOUNT,
    "PATCH /activities/{activity_id}": Access.ACCOUNT,
    "DELETE /activities/{activity_id}": Access.ACCOUNT,
    "POST /activities/{activity_id}/restore": Access.ACCOUNT,
    "GET /activities/changes": Access.ACCOUNT,
    "POST /live/ticket": Access.ACCOUNT,
    "GET /live": Access.ACCOUNT,
    "GET /users/me/stats": Access.ACCOUNT,
    "POST /users/me/export": Access.ACCOUNT,
    "GET /users/me/export": Access.ACCOUNT,
    "GET /exports/{token}": Access.PUBLIC,
    "GET /activities.csv": Access.ACCOUNT,
    "GET /tags": Access.ACCOUNT,
    "PATCH /tags/{name}": Access.ACCOUNT,
    "DELETE /tags/{name}": Access.ACCOUNT,
    "POST /activities/{activity_id}/photos": Access.ACCOUNT,
    "GET /activities/{activity_id}/photos": Access.ACCOUNT,
    "GET /photos/{photo_id}": Access.ACCOUNT,
    "GET /photos/{photo_id}/file": Access.ACCOUNT,
    "PATCH /photos/{photo_id}": Access.ACCOUNT,
    "DELETE /photos/{photo_id}": Access.ACCOUNT,
    "DELETE /admin/activities/{activity_id}": Access.ADMIN,
    "GET /admin/activities": Access.ADMIN,
    "GET /admin/audit-log": Access.ADMIN,
    "GET /admin/users": Access.ADMIN,
    "PATCH /admin/users/{user_id}": Access.ADMIN,
    "POST /admin/users/{user_id}/restore": Access.ADMIN,
    "POST /admin/users/{user_id}/password-reset": Access.ADMIN,
    "GET /rate-limit": Access.ACCOUNT_OPTIONAL,
}
"""Every route below BASE, so that a change of who may call one shows here."""

SCOPES = {
    "GET /users/me": ApiScope.PROFILE_READ,
    "PATCH /users/me": ApiScope.PROFILE_WRITE,
    "GET /rate-limit": ApiScope.PROFILE_READ,
    "GET /users/me/stats": ApiScope.ACTIVITIES_READ,
    "GET /tags": ApiScope.ACTIVITIES_READ,
    "PATCH /tags/{name}": ApiScope.ACTIVITIES_WRITE,
    "DELETE /tags/{name}": ApiScope.ACTIVITIES_WRITE,
    "POST /activities/{activity_id}/photos": ApiScope.ACTIVITIES_WRITE,
    "GET /activities/{activity_id}/photos": ApiScope.ACTIVITIES_READ,
    "GET /photos/{photo_id}": ApiScope.ACTIVITIES_READ,
    "GET /photos/{photo_id}/file": ApiScope.ACTIVITIES_READ,
    "PATCH /photos/{photo_id}": ApiScope.ACTIVITIES_WRITE,
    "DELETE /photos/{photo_id}": ApiScope.ACTIVITIES_WRITE,
    "GET /activities": ApiScope.ACTIVITIES_READ,
    "GET /activities/trash": ApiScope.ACTIVITIES_READ,
    "GET /activities/{activity_id}": ApiScope.ACTIVITIES_READ,
    "GET /activities/changes": ApiScope.ACTIVITIES_READ,
    "POST /live/ticket": ApiScope.ACTIVITIES_READ,
    "GET /live": ApiScope.ACTIVITIES_READ,
    "GET /activities.csv": ApiScope.ACTIVITIES_READ,
    "GET /activities/{activity_id}/file": ApiScope.ACTIVITIES_READ,
    "POST /activities": ApiScope.ACTIVITIES_WRITE,
    "POST /activities/import": ApiScope.ACTIVITIES_WRITE,
    "PATCH /activities/{activity_id}": ApiScope.ACTIVITIES_WRITE,
    "DELETE /activities/{activity_id}": ApiScope.ACTIVITIES_WRITE,
    "POST /activities/{activity_id}/restore": ApiScope.ACTIVITIES_WRITE,
}
"""Which API keys open a route; no key opens any other that is not for everybody."""

PASSES = 0
"""Whatever is wrong with the request is found behind the gate."""

REFUSED = {
    # of the route's access: by whom it is called
    Access.PUBLIC: {},
    Access.ACCOUNT_OPTIONAL: {"bad": 401, "ended": 401},
    Access.ACCOUNT: {"anonymous": 401, "bad": 401, "ended": 401},
    Access.ADMIN: {"anonymous": 401, "bad": 401, "ended": 401, "account": 403},
}


@dataclass(frozen=True)
class Kind:
    """A kind of caller: which row of REFUSED it stands for, and how one is made."""

    stands_for: str
    make: Callable[[Api], Awaitable[Person]]


def _claims(person: Person) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(person.token, options={"verify_signature": False})
    return claims


async def _anonymous(api: Api) -> Person:
    return Person(api.http, 0, "", "")


async def _garbled(api: Api) -> Person:
    person = await api.person()
    return replace(person, token=person.token[:-2])


async def _expired(api: Api) -> Person:
    long_ago = ManualClock(SystemClock().now() - timedelta(minutes=15))
    person = await api.person()
    tokens = JwtAccessTokens(api.container.settings().secret_keys, long_ago)
    return replace(person, token=tokens.issue(Caller(person.id, "0" * 32)).token)


async def _unsigned(api: Api) -> Person:
    person = await api.person()
    kid = jwt.get_unverified_header(person.token)["kid"]
    return replace(person, token=jwt.encode(_claims(person), "", "none", headers={"kid": kid}))


async def _otherwise_signed(api: Api) -> Person:
    person = await api.person()
    kid = jwt.get_unverified_header(person.token)["kid"]
    return replace(person, token=jwt.encode(_claims(person), OTHER_KEY * 2, ALGORITHM, headers={"kid": kid}))


async def _by_key_without_name(api: Api) -> Person:
    person = await api.person()
    token = jwt.encode(_claims(person), api.container.settings().secret_keys[0], ALGORITHM)
    return replace(person, token=token)


async def _for_another_service(api: Api) -> Person:
    person = await api.person()
    key, kid = api.container.settings().secret_keys[0], jwt.get_unverified_header(person.token)["kid"]
    claims = _claims(person) | {"aud": "another"}
    return replace(person, token=jwt.encode(claims, key, ALGORITHM, headers={"kid": kid}))


async def _refresh_token(api: Api) -> Person:
    person = await api.person()
    return replace(person, token=person.refresh_token)


async def _logged_out(api: Api) -> Person:
    person = await api.person()
    await person.post("/auth/logout")
    return person


async def _deleted(api: Api) -> Person:
    person = await api.person()
    assert (await person.delete("/users/me", json={"password": PASSWORD})).status_code == 204
    return person


async def key_of(person: Person, *scopes: ApiScope) -> Person:
    created = await person.post("/auth/keys", json={"name": "a program", "scopes": [*scopes]})
    assert created.status_code == 201, created.text
    return replace(person, token=created.json()["key"])


async def _with_revoked_key(api: Api) -> Person:
    person = await api.person()
    program = await key_of(person, *ApiScope)
    assert (await program.get("/users/me")).status_code == 200
    (key,) = (await person.get("/auth/keys")).json()["items"]
    assert (await person.delete(f"/auth/keys/{key['id']}")).status_code == 204
    return program


async def _with_key_of_ended_sessions(api: Api) -> Person:
    person = await api.person()
    program = await key_of(person, *ApiScope)
    assert (await program.get("/users/me")).status_code == 200
    await person.post("/auth/logout-all")
    return program


async def _with_made_up_key(api: Api) -> Person:
    return Person(api.http, 0, "", "fit_" + "x" * 40)


async def _free(api: Api) -> Person:
    return await api.person()


async def _premium(api: Api) -> Person:
    person = await api.person()
    admin = await api.admin()
    await admin.patch(f"/admin/users/{person.id}", json={"tier": "premium"})
    return person


async def _admin(api: Api) -> Person:
    await api.admin()  # another one, so that this one may go
    return await api.admin()


async def _demoted(api: Api) -> Person:
    person, admin = await api.admin(), await api.admin()
    assert (await person.get("/admin/users")).status_code == 200
    assert (await admin.patch(f"/admin/users/{person.id}", json={"role": "user"})).status_code == 200
    return person


KINDS = {
    "anonymous": Kind("anonymous", _anonymous),
    "garbled": Kind("bad", _garbled),
    "expired": Kind("bad", _expired),
    "unsigned": Kind("bad", _unsigned),
    "otherwise signed": Kind("bad", _otherwise_signed),
    "by a key without its name": Kind("bad", _by_key_without_name),
    "for another service": Kind("bad", _for_another_service),
    "with a refresh token": Kind("bad", _refresh_token),
    "logged out": Kind("ended", _logged_out),
    "deleted": Kind("ended", _deleted),
    "with a revoked key": Kind("ended", _with_revoked_key),
    "with a key whose sessions were ended": Kind("ended", _with_key_of_ended_sessions),
    "with a key made up": Kind("bad", _with_made_up_key),
    "free": Kind("account", _free),
    "premium": Kind("account", _premium),
    "demoted": Kind("account", _demoted),
    "admin": Kind("admin", _admin),
}


@pytest.fixture(scope="module")
async def open_api() -> AsyncIterator[Api]:
    async with serving(IN_MEMORY.database_url, IN_MEMORY.redis_url) as api:
        yield api


def filled(path: str, **ids: object) -> str:
    """With ids that nothing has, but for those that are stated."""
    unknown: dict[str, object] = dict.fromkeys(["activity_id", "user_id", "key_id", "photo_id"], UNKNOWN_ID)
    return path.format(**unknown | {"session_id": UNKNOWN_SESSION, "name": "lake", "token": "made-up"} | ids)


async def asked(person: Person, method: str, path: str) -> int:
    headers = {} if person.token else {"Authorization": ""}
    return (await person.call(method, path, headers=headers)).status_code


async def test_the_table_has_every_route(open_api: Api):
    found = {
        f"{method} {path.removeprefix(BASE)}": declared(handler).access
        for method, path, handler in operations(open_api.app)
        if path.startswith(BASE) and method != "OPTIONS"
    }
    assert found == ROUTES


@pytest.mark.parametrize("kind", KINDS)
async def test_every_route_answers_every_kind_of_caller_as_it_declares(open_api: Api, kind: str):
    statuses = {}
    for route in ROUTES:
        method, path = route.split()
        person = await KINDS[kind].make(open_api)  # one each, since some routes end the session
        status = await asked(person, method, filled(path))
        statuses[route] = status if status in (401, 403) else PASSES
    expected = {route: REFUSED[access].get(KINDS[kind].stands_for, PASSES) for route, access in ROUTES.items()}
    assert statuses == expected


@pytest.mark.parametrize("scope", ApiScope)
async def test_a_key_opens_what_its_scope_names_and_nothing_else(open_api: Api, scope: ApiScope):
    admin = await open_api.admin()  # whose keys open no admin's route either
    program = await key_of(admin, scope)
    for route, access in ROUTES.items():
        method, path = route.split()
        answer = await program.call(method, filled(path))
        if access is Access.PUBLIC or SCOPES.get(route) is scope:
            assert answer.status_code not in (401, 403), route
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope"), route
            assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'


async def test_keys_that_are_made_up_are_charged_to_their_address_before_they_are_looked_up():
    async with serving(IN_MEMORY.database_url, IN_MEMORY.redis_url, rate_limit_scale=1.0, limits_stand=True) as api:
        statuses = [await asked(Person(api.http, 0, "", f"fit_{number}"), "GET", "/activities") for number in range(25)]
        assert statuses == [401] * 20 + [429] * 5
        found = re.findall(
            r'db_query_duration_seconds_count\{.*query="api_keys.of".*\} (\S+)', (await api.scrape()).text
        )
        assert [float(count) for count in found] == [20.0]


async def test_the_table_has_every_scope(open_api: Api):
    found = {
        f"{method} {path.removeprefix(BASE)}": declared(handler).scope
        for method, path, handler in operations(open_api.app)
        if path.startswith(BASE) and method != "OPTIONS" and isinstance(declared(handler).scope, ApiScope)
    }
    assert found == SCOPES


def _stolen(method: str, path: str) -> dict[str, Any]:
    """A sound body for a change, so that nothing but the id can be what is refused."""
    if path.endswith("/photos") and method == "POST":
        return {"files": {"file": ("a", a_jpeg())}}
    field = "caption" if path.startswith("/photos") else "title"
    return {"json": {field: "stolen"}} if method == "PATCH" else {}


@pytest.mark.parametrize("warm", [False, True])
async def test_nobody_gets_anywhere_by_anothers_ids(api: Api, ann: Person, bob: Person, warm: bool):
    mine, trashed = await ann.record(title="private"), await ann.record(title="private")
    photos = {one["id"]: (await ann.add_photo(one["id"], a_jpeg())).json()["id"] for one in (mine, trashed)}
    await ann.delete(f"/activities/{trashed['id']}")
    await key_of(ann, ApiScope.ACTIVITIES_READ)
    (key,) = (await ann.get("/auth/keys")).json()["items"]
    (session,) = (await ann.get("/auth/sessions")).json()["items"]
    before = (await ann.get(f"/activities/{mine['id']}")).json()
    for activity in (mine, trashed):
        for route, access in ROUTES.items():
            method, path = route.split()
            if access is not Access.ACCOUNT or "_id}" not in path:
                continue
            if warm:
                await ann.get(f"/activities/{mine['id']}")
                await ann.get("/activities")
            body = _stolen(method, path)
            ids = {"activity_id": activity["id"], "session_id": session["id"], "key_id": key["id"]}
            photo_id = photos[activity["id"]]
            theirs = await bob.call(method, filled(path, **ids, photo_id=photo_id), **body)
            unknown = await bob.call(method, filled(path), **body)
            assert theirs.status_code == unknown.status_code == 404, route
            said = theirs.text.replace(f"activity {activity['id']} ", f"activity {UNKNOWN_ID} ")
            said = said.replace(f"photo {photo_id} ", f"photo {UNKNOWN_ID} ")
            said = said.replace(f'API key {key["id"]}"', f'API key {UNKNOWN_ID}"')
            assert said == unknown.text, route
            assert "private" not in said
    for path in ("/activities", "/activities/trash"):
        assert (await bob.get(path)).json()["items"] == []
    assert (await ann.get(f"/activities/{mine['id']}")).json() == before
    assert (await ann.get("/activities/trash")).json()["total"] == 1
