"""/auth, /users/me and /admin over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from typing import Any

import psycopg
import pytest

from fitness.domain.model.users import Caller
from fitness.domain.use_cases.caching.keys import account_scope
from fitness.entrypoints.http.routes import Access, declared, operations
from tests.builders import messages
from tests.harness.api import PASSWORD, Api, Person, Stores, serving

UNKNOWN_ID = 2**40


def registration(**stated: Any) -> dict[str, Any]:
    return {"email": "ann@example.org", "password": PASSWORD} | stated


class TestRegister:
    async def test_an_account_is_opened_without_privileges_or_secrets(self, api: Api):
        body = registration(email=" Ann@Example.org ", name="Ann", timezone="Europe/Paris")
        response = await api.http.post("/api/v1/auth/register", json=body)
        assert response.status_code == 201
        user = response.json()
        kept = {"email": "ann@example.org", "name": "Ann", "timezone": "Europe/Paris", "week_start": "monday"}
        assert user.items() >= (kept | {"role": "user", "tier": "free"}).items()
        assert "password" not in response.text.lower().replace('"password"', "password")
        assert user.keys() == {*kept, "id", "role", "tier", "created_at", "updated_at"}

    @pytest.mark.parametrize("again", ["ann@example.org", "ANN@example.ORG "])
    async def test_an_address_is_taken_once_however_it_is_spelt(self, api: Api, again: str):
        await api.http.post("/api/v1/auth/register", json=registration())
        response = await api.http.post("/api/v1/auth/register", json=registration(email=again))
        assert (response.status_code, response.json()["code"]) == (409, "email_taken")

    @pytest.mark.parametrize(
        ("stated", "field"),
        [
            ({"email": "ann"}, "email"),
            ({"email": "a nn@example.org"}, "email"),
            ({"email": "ann@"}, "email"),
            ({"email": "ann@example..org"}, "email"),
            ({"email": "x" * 65 + "@example.org"}, "email"),
            ({"email": "ann\0@example.org"}, "email"),
            ({"password": "short"}, "password"),
            ({"password": "x" * 257}, "password"),
            ({"password": "password"}, "password"),
            ({"password": "        "}, "password"),
            ({"email": "a\u202eb@example.org"}, "email"),
            ({"name": "Ann\x1b[31m"}, "name"),
            ({"name": "x" * 101}, "name"),
            ({"timezone": "Mars/Olympus"}, "timezone"),
            ({"timezone": "../../etc/passwd"}, "timezone"),
            ({"role": "admin"}, "role"),
            ({"tier": "premium"}, "tier"),
        ],
    )
    async def test_what_breaks_a_rule_is_refused_by_field(self, api: Api, stated: dict[str, Any], field: str):
        response = await api.http.post("/api/v1/auth/register", json=registration(**stated))
        assert response.status_code == 422
        assert [one["field"] for one in response.json()["errors"]] == [field]


class TestLogin:
    async def test_a_login_brings_a_bearer_token_for_15_minutes(self, api: Api):
        await api.http.post("/api/v1/auth/register", json=registration())
        response = await api.http.post("/api/v1/auth/login", json=registration(email="Ann@example.org"))
        assert response.status_code == 200
        tokens = response.json()
        assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
        me = await api.http.get("/api/v1/users/me", headers={"Authorization": f"bearer {tokens['access_token']}"})
        assert me.json()["email"] == "ann@example.org"

    async def test_a_password_is_right_however_its_accents_are_typed(self, api: Api):
        await api.http.post("/api/v1/auth/register", json=registration(password="Z\u00fcrich am See"))
        for typed in ("Zu\u0308rich am See", "Z\u00fcrich am See"):
            answer = await api.http.post("/api/v1/auth/login", json=registration(password=typed))
            assert answer.status_code == 200

    async def test_a_wrong_password_and_an_unknown_address_look_the_same(self, api: Api):
        await api.http.post("/api/v1/auth/register", json=registration())
        wrong = await api.http.post("/api/v1/auth/login", json=registration(password="wrong horse"))
        unknown = await api.http.post("/api/v1/auth/login", json=registration(email="bob@example.org"))
        assert wrong.status_code == unknown.status_code == 401
        assert wrong.content == unknown.content
        own = {"date": "", "x-request-id": ""}
        assert {**wrong.headers, **own} == {**unknown.headers, **own}

    async def test_a_token_of_another_deployment_is_refused(self, api: Api):
        strange = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
        response = await api.http.get("/api/v1/users/me", headers={"Authorization": f"Bearer {strange}"})
        assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")

    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Token x", "Bearer \xff\xfe"])
    async def test_an_authorization_that_is_none_is_refused(self, api: Api, header: str):
        response = await api.http.get(
            "/api/v1/users/me",
            headers={b"Authorization": header.encode("latin-1")},
        )
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")


class TestAccountGone:
    """No endpoint deletes accounts yet: an operator does, and invalidates what is cached of it."""

    @pytest.fixture(params=[0.0, 1.0], ids=["without limits", "with limits"])
    async def api(self, stores: Stores, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
        scale = request.param
        async with serving(stores.database_url, stores.redis_url, rate_limit_scale=scale, limits_stand=True) as api:
            yield api

    async def test_its_token_is_refused_on_every_route(self, api: Api, ann: Person, bob: Person):
        one = await ann.record()
        reads = [f"/activities/{one['id']}", "/activities", "/activities/trash", "/rate-limit", "/users/me"]
        for _ in range(2):  # until it is all cached, and answered the short way
            assert [(await ann.get(path)).status_code for path in reads] == [200] * 5
        await delete_account(api, ann)
        for method, path, handler in operations(api.app):
            if declared(handler).access is Access.PUBLIC or method == "OPTIONS":
                continue
            filled = path.removeprefix("/api/v1").format(
                activity_id=one["id"], user_id=bob.id, session_id="0" * 32, key_id=1, photo_id=1, name="hills"
            )
            refused = await seen_from_anywhere(api, ann).call(method, filled)
            assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated"), path
        assert (await bob.get("/activities")).status_code == 200

    @pytest.mark.parametrize("path", ["/activities", "/activities/{}"])
    async def test_what_is_cached_is_not_shown_to_its_token(self, api: Api, ann: Person, path: str):
        cached = path.format((await ann.record())["id"])
        origins = [(await ann.get(cached)).headers["x-cache"] for _ in range(2)]
        assert origins[-1] == "HIT"
        await delete_account(api, ann)
        assert (await ann.get(cached)).status_code == 401

    async def test_a_token_of_an_account_that_never_was_is_refused(self, api: Api):
        token = api.container.access_tokens().issue(Caller(UNKNOWN_ID, "session")).token
        nobody = Person(api.http, UNKNOWN_ID, "", token)
        for path in ("/activities", "/activities/1", "/activities/trash", "/rate-limit", "/users/me"):
            for _ in range(2):
                assert (await nobody.get(path)).status_code == 401

    async def test_that_there_was_no_account_is_forgotten_when_there_is(self, api: Api, ann: Person):
        next_id = ann.id + 1
        token = api.container.access_tokens().issue(Caller(next_id, "session")).token
        early = Person(api.http, next_id, "", token)
        assert (await early.get("/activities")).status_code == 401
        bob = await api.person()
        if bob.id == next_id:  # in memory, all kinds of ids are of one sequence
            assert (await bob.get("/activities")).status_code == 200

    async def test_a_flood_with_its_token_is_charged_to_the_address(self, api: Api, ann: Person):
        await delete_account(api, ann)
        answers = [(await seen_from_anywhere(api, ann, "203.0.113.9").get("/activities")) for _ in range(22)]
        limited = api.container.settings().rate_limit_scale > 0
        assert [answer.status_code for answer in answers] == ([401] * 20 + [429] * 2 if limited else [401] * 22)
        assert ("x-ratelimit-limit" in answers[0].headers) is limited


_addresses = count(1)


def seen_from_anywhere(api: Api, person: Person, address: str = "") -> Person:
    """From an address of which no limit is used up, unless it is given."""
    elsewhere = api.seen_from(address or f"203.0.112.{next(_addresses)}")
    return replace(person, http=elsewhere.http)


async def delete_account(api: Api, person: Person) -> None:
    settings = api.container.settings()
    if settings.in_memory:
        api.container.store().users.pop(person.id)
    else:
        async with await psycopg.AsyncConnection.connect(settings.database_url) as connection:
            await connection.execute("DELETE FROM activities WHERE user_id = %s", [person.id])
            await connection.execute("DELETE FROM users WHERE id = %s", [person.id])
    await api.container.changes().deliver(messages(account_scope(person.id)))


class TestProfile:
    async def test_a_profile_is_merged_and_read_back(self, ann: Person):
        changes = {"name": "Ann", "timezone": "Asia/Tokyo", "week_start": "sunday"}
        changed = (await ann.patch("/users/me", json=changes)).json()
        assert changed.items() >= changes.items()
        assert (await ann.get("/users/me")).json() == changed
        cleared = (await ann.patch("/users/me", json={"name": None})).json()
        assert (cleared["name"], cleared["timezone"]) == (None, "Asia/Tokyo")

    @pytest.mark.parametrize(
        "changes",
        [{"timezone": None}, {"week_start": "friday"}, {"email": "x@example.org"}, {"role": "admin"}, {"tier": "x"}],
    )
    async def test_what_may_not_change_is_refused(self, ann: Person, changes: dict[str, Any]):
        before = (await ann.get("/users/me")).json()
        response = await ann.patch("/users/me", json=changes)
        assert response.status_code == 422
        assert (await ann.get("/users/me")).json() == before

    async def test_what_changes_nothing_leaves_its_etag(self, ann: Person):
        before = await ann.patch("/users/me", json={"name": "Ann"})
        for changes in ({}, {"name": " Ann "}, {"timezone": "UTC", "week_start": "monday"}):
            same = await ann.patch("/users/me", json=changes)
            assert (same.json(), same.headers["etag"]) == (before.json(), before.headers["etag"])
        await ann.post("/users/me/password", json={"current": PASSWORD, "new": "another horse 9"})
        assert (await ann.get("/users/me")).headers["etag"] == before.headers["etag"]

    async def test_a_new_zone_counts_for_what_is_recorded_next(self, ann: Person):
        before = await ann.record()
        await ann.patch("/users/me", json={"timezone": "Asia/Tokyo"})
        assert (before["timezone"], (await ann.record())["timezone"]) == ("UTC", "Asia/Tokyo")


class TestPurge:
    async def test_an_admin_deletes_a_trashed_activity_for_good_and_it_is_logged(self, api: Api, ann: Person):
        admin = await api.admin()
        one = await ann.record(title="private title", notes="private notes")
        await ann.delete(f"/activities/{one['id']}")
        response = await admin.delete(f"/admin/activities/{one['id']}", json={"reason": " asked for "})
        assert (response.status_code, response.content) == (204, b"")
        assert (await ann.get(f"/activities/{one['id']}")).status_code == 404
        assert (await ann.get("/activities/trash")).json()["total"] == 0
        assert (await ann.post(f"/activities/{one['id']}/restore")).status_code == 404
        log = (await admin.get("/admin/audit-log")).json()
        entry = log["items"][0]
        assert (
            entry.items()
            >= {
                "actor_id": admin.id,
                "action": "activity_purged",
                "subject_id": one["id"],
                "owner_id": ann.id,
                "reason": "asked for",
            }.items()
        )
        assert "private" not in str(log)

    @pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"reason": ""}', b"[" * 100_000, b"x" * 1_100_000])
    async def test_others_are_refused_before_their_body_is_looked_at(self, ann: Person, body: bytes):
        for method, path in [("DELETE", "/admin/activities/1"), ("PATCH", f"/admin/users/{ann.id}")]:
            for headers in ({"Content-Type": "application/json"}, {"Content-Type": "text/plain"}):
                refused = await ann.call(method, path, content=body, headers=headers)
                assert (refused.status_code, refused.json()["code"]) == (403, "admin_only")

    async def test_only_a_trashed_one_may_be_purged(self, api: Api, ann: Person):
        admin = await api.admin()
        one = await ann.record()
        live = await admin.delete(f"/admin/activities/{one['id']}", json={"reason": "-"})
        assert (live.status_code, live.json()["code"]) == (409, "activity_not_in_trash")
        unknown = await admin.delete(f"/admin/activities/{UNKNOWN_ID}", json={"reason": "-"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "activity_not_found")

    @pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": "x" * 501}, {"reason": None}])
    async def test_a_reason_is_needed(self, api: Api, ann: Person, body: dict[str, Any]):
        admin = await api.admin()
        one = await ann.record()
        await ann.delete(f"/activities/{one['id']}")
        response = await admin.delete(f"/admin/activities/{one['id']}", json=body)
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "reason")
        assert (await ann.get("/activities/trash")).json()["total"] == 1

    async def test_restore_against_purge_leaves_one_winner(self, api: Api, ann: Person):
        admin = await api.admin()
        for _ in range(20):
            one = await ann.record()
            path = f"/activities/{one['id']}"
            await ann.delete(path)
            back, gone = await asyncio.gather(
                ann.post(f"{path}/restore"), admin.delete(f"/admin{path}", json={"reason": "-"})
            )
            assert (back.status_code, gone.status_code) in {(200, 409), (404, 204)}
            assert (await ann.get(path)).status_code == back.status_code


class TestAdministration:
    async def test_others_may_do_nothing_here(self, ann: Person, bob: Person):
        one = await ann.record()
        await ann.delete(f"/activities/{one['id']}")
        for answer in (
            await ann.delete(f"/admin/activities/{one['id']}", json={"reason": "mine"}),
            await bob.delete(f"/admin/activities/{UNKNOWN_ID}", json={"reason": "-"}),
            await ann.get("/admin/audit-log"),
            await ann.patch(f"/admin/users/{ann.id}", json={"role": "admin"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "admin_only")
        assert (await ann.get("/users/me")).json()["role"] == "user"

    async def test_standing_is_set_logged_and_felt_at_once(self, api: Api, ann: Person):
        admin = await api.admin()
        changed = await admin.patch(f"/admin/users/{ann.id}", json={"role": "admin", "tier": "premium"})
        assert (changed.json()["role"], changed.json()["tier"]) == ("admin", "premium")
        entries = (await ann.get("/admin/audit-log?limit=1")).json()["items"]
        assert (entries[0]["actor_id"], entries[0]["subject_id"]) == (admin.id, ann.id)
        assert entries[0]["reason"] == "role admin, tier premium"
        await admin.patch(f"/admin/users/{ann.id}", json={"role": "user"})
        assert (await ann.get("/admin/audit-log")).status_code == 403

    @pytest.mark.parametrize("body", [{}, {"role": "root"}, {"tier": None, "role": None}, {"email": "x"}])
    async def test_a_standing_that_is_none_is_refused(self, api: Api, ann: Person, body: dict[str, Any]):
        admin = await api.admin()
        assert (await admin.patch(f"/admin/users/{ann.id}", json=body)).status_code == 422
        missing = await admin.patch(f"/admin/users/{UNKNOWN_ID}", json={"tier": "premium"})
        assert (missing.status_code, missing.json()["code"]) == (404, "user_not_found")
