"""Passwords changed, accounts deleted and restored, and what admins can find."""

import asyncio
from typing import Any

import pytest
from argon2 import PasswordHasher
from dependency_injector import providers

from fitness.adapters.memory.clock import ManualClock
from fitness.adapters.memory.credentials import salted
from fitness.domain.model.users import RESTORED_FOR, Role
from tests.harness.api import PASSWORD, Api, Person, Stores, serving
from tests.integration.test_http_sessions import assert_ended, assert_lives, refreshed, warmed

NEW_PASSWORD = "another horse"
UNKNOWN_ID = 2**40


async def login_status(api: Api, email: str, password: str) -> int:
    body = {"email": email, "password": password}
    return (await api.http.post("/api/v1/auth/login", json=body)).status_code


class TestChange:
    async def test_it_ends_every_other_session_and_the_old_password(self, api: Api, ann: Person):
        other = await api.login(ann.id, ann.email)
        await warmed(ann, other)
        changed = await ann.post("/users/me/password", json={"current": PASSWORD, "new": NEW_PASSWORD})
        assert (changed.status_code, changed.content) == (204, b"")
        await assert_ended(api, other)
        await assert_lives(api, ann)
        assert await login_status(api, ann.email, PASSWORD) == 401
        assert await login_status(api, ann.email, NEW_PASSWORD) == 200

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"current": "wrong horse", "new": NEW_PASSWORD}, 403, "wrong_password"),
            ({"current": PASSWORD, "new": "short"}, 422, "invalid_fields"),
            ({"current": PASSWORD, "new": "password123"}, 422, "invalid_fields"),
            ({"current": PASSWORD}, 422, "invalid_fields"),
        ],
    )
    async def test_nothing_changes_otherwise(self, api: Api, ann: Person, body: dict[str, Any], status: int, code: str):
        other = await api.login(ann.id, ann.email)
        refused = await ann.post("/users/me/password", json=body)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
        if status == 422:
            assert refused.json()["errors"][0]["field"] == "new"
        await assert_lives(api, other)
        assert await login_status(api, ann.email, PASSWORD) == 200

    async def test_a_login_that_was_under_way_with_the_old_password_begins_nothing(self, api: Api, ann: Person):
        users = api.container.accounts().users
        credentials = users.credentials

        async def slow(email: str) -> Any:
            found = await credentials(email)
            if first:
                first.pop()
                changed = await ann.post("/users/me/password", json={"current": PASSWORD, "new": NEW_PASSWORD})
                assert changed.status_code == 204
            return found

        first = [True]
        users.credentials = slow  # type: ignore[method-assign]
        try:
            assert await login_status(api, ann.email, PASSWORD) == 401
        finally:
            users.credentials = credentials  # type: ignore[method-assign]

    async def test_a_hash_of_less_work_is_made_anew_at_the_next_login(self, api: Api, ann: Person):
        users, passwords = api.container.accounts().users, api.container.accounts().passwords
        strong = await users.password_hash(ann.id)
        assert strong is not None
        in_memory = api.container.settings().in_memory
        weak = salted(PASSWORD, "salt") if in_memory else PasswordHasher(1, 1024).hash(PASSWORD)
        await users.rehash(ann.id, before=strong, after=weak)
        assert await login_status(api, ann.email, "wrong horse") == 401
        assert await users.password_hash(ann.id) == weak
        assert await login_status(api, ann.email, PASSWORD) == 200
        renewed = await users.password_hash(ann.id)
        assert renewed is not None
        assert not passwords.outdated(renewed)
        assert await login_status(api, ann.email, PASSWORD) == 200
        assert await users.password_hash(ann.id) == renewed
        await assert_lives(api, ann)


class TestReset:
    async def test_an_admins_token_sets_another_password_once(self, api: Api, ann: Person):
        admin = await api.admin()
        await warmed(ann)
        issued = await admin.post(f"/admin/users/{ann.id}/password-reset")
        assert (issued.status_code, issued.headers["cache-control"]) == (201, "no-store")
        body = {"reset_token": issued.json()["reset_token"], "password": NEW_PASSWORD}
        entry = (await admin.get("/admin/audit-log?limit=1")).json()["items"][0]
        assert (entry["action"], entry["subject_id"]) == ("password_reset_issued", ann.id)
        assert body["reset_token"] not in str(entry)
        weak = await api.http.post("/api/v1/auth/reset", json=body | {"password": "short"})
        assert (weak.status_code, weak.json()["errors"][0]["field"]) == (422, "password")
        both = [api.http.post("/api/v1/auth/reset", json=body) for _ in range(5)]
        answers = [answer.status_code for answer in await asyncio.gather(*both)]
        assert sorted(answers) == [204, 401, 401, 401, 401]
        again = await api.http.post("/api/v1/auth/reset", json=body)
        assert (again.status_code, again.json()["code"]) == (401, "bad_reset_token")
        await assert_ended(api, ann)
        assert await login_status(api, ann.email, PASSWORD) == 401
        assert await login_status(api, ann.email, NEW_PASSWORD) == 200

    async def test_only_an_admin_issues_one_and_only_for_an_account(self, api: Api, ann: Person, bob: Person):
        assert (await ann.post(f"/admin/users/{bob.id}/password-reset")).status_code == 403
        missing = await (await api.admin()).post(f"/admin/users/{UNKNOWN_ID}/password-reset")
        assert (missing.status_code, missing.json()["code"]) == (404, "user_not_found")

    @pytest.mark.parametrize("token", ["", "x", "x" * 64, "x" * 65, "\u0000"])
    async def test_no_other_token_is_good(self, api: Api, token: str):
        body = {"reset_token": token, "password": NEW_PASSWORD}
        assert (await api.http.post("/api/v1/auth/reset", json=body)).status_code == 401


class TestDeletion:
    async def test_a_deleted_account_is_gone_at_once_and_its_address_free(self, api: Api, ann: Person):
        other = await api.login(ann.id, ann.email)
        await ann.record()
        await warmed(ann, other)
        deleted = await ann.delete("/users/me", json={"password": PASSWORD})
        assert (deleted.status_code, deleted.content) == (204, b"")
        for session in (ann, other):
            await assert_ended(api, session)
        assert await login_status(api, ann.email, PASSWORD) == 401
        again = await api.http.post("/api/v1/auth/register", json={"email": ann.email, "password": PASSWORD})
        assert again.status_code == 201
        assert again.json()["id"] != ann.id
        assert (await (await api.login(again.json()["id"], ann.email)).titles()) == []

    @pytest.mark.parametrize("body", [{"password": "wrong horse"}, {"password": ""}])
    async def test_it_takes_the_password(self, api: Api, ann: Person, body: dict[str, Any]):
        refused = await ann.delete("/users/me", json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "wrong_password")
        assert (await ann.delete("/users/me")).status_code in (400, 422)
        await assert_lives(api, ann)

    async def test_an_admin_restores_it_with_all_that_was_in_it(self, api: Api, ann: Person):
        admin = await api.admin()
        one = await ann.record()
        early = await admin.post(f"/admin/users/{ann.id}/restore")
        assert (early.status_code, early.json()["code"]) == (409, "user_not_deleted")
        await ann.delete("/users/me", json={"password": PASSWORD})
        back = await admin.post(f"/admin/users/{ann.id}/restore")
        assert (back.status_code, back.json()["email"]) == (200, ann.email)
        await assert_ended(api, ann)
        restored = await api.login(ann.id, ann.email)
        assert (await restored.get(f"/activities/{one['id']}")).status_code == 200
        entry = (await admin.get("/admin/audit-log?action=user_restored")).json()["items"][0]
        assert (entry["actor_id"], entry["subject_id"]) == (admin.id, ann.id)
        unknown = await admin.post(f"/admin/users/{UNKNOWN_ID}/restore")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "user_not_found")

    async def test_not_where_its_address_was_taken_since(self, api: Api, ann: Person):
        admin = await api.admin()
        await ann.delete("/users/me", json={"password": PASSWORD})
        await api.http.post("/api/v1/auth/register", json={"email": ann.email, "password": PASSWORD})
        refused = await admin.post(f"/admin/users/{ann.id}/restore")
        assert (refused.status_code, refused.json()["code"]) == (409, "email_taken")

    async def test_not_after_thirty_days(self, stores: Stores):
        clock = ManualClock()
        prepare = lambda container: container.clock.override(providers.Object(clock))  # noqa: E731
        async with serving(stores.database_url, stores.redis_url, prepare=prepare) as api:
            ann, admin = await api.person(), await api.admin()
            await ann.delete("/users/me", json={"password": PASSWORD})
            clock.advance(RESTORED_FOR)
            admin = await api.login(admin.id, admin.email)
            assert (await admin.post(f"/admin/users/{ann.id}/restore")).status_code == 404

    async def test_the_last_admin_stays_one(self, api: Api):
        admin, second = await api.admin(), await api.admin()
        assert (await admin.patch(f"/admin/users/{second.id}", json={"role": "user"})).status_code == 200
        for refused in (
            await admin.patch(f"/admin/users/{admin.id}", json={"role": "user"}),
            await admin.delete("/users/me", json={"password": PASSWORD}),
        ):
            assert (refused.status_code, refused.json()["code"]) == (409, "last_admin")
        assert (await admin.get("/admin/users")).status_code == 200


class TestAdminLists:
    async def test_accounts_are_found(self, api: Api, ann: Person, bob: Person):
        admin = await api.admin()
        await admin.patch(f"/admin/users/{bob.id}", json={"tier": "premium"})
        await ann.delete("/users/me", json={"password": PASSWORD})

        async def found(query: str) -> list[int]:
            answer = await admin.get(f"/admin/users?{query}")
            assert answer.status_code == 200, answer.text
            return [one["id"] for one in answer.json()["items"]]

        assert await found("") == [admin.id, bob.id, ann.id]
        assert await found(f"email={ann.email.upper()}") == await found("state=deleted") == [ann.id]
        assert await found("tier=premium") == await found(f"id={bob.id}") == [bob.id]
        assert await found("role=admin") == [admin.id]
        assert await found("state=living&role=user") == [bob.id]
        first = (await admin.get("/admin/users?limit=2")).json()
        assert first["total"] == 3
        assert await found(f"limit=2&cursor={first['next_cursor']}") == [ann.id]
        (gone,) = (await admin.get("/admin/users?state=deleted")).json()["items"]
        assert gone["deleted_at"] is not None
        assert "password" not in str(gone)

    async def test_a_users_activities_are_listed_without_their_content(self, api: Api, ann: Person, bob: Person):
        admin = await api.admin()
        live, gone = await ann.record(title="private", notes="private"), await ann.record(tags=["private"])
        await bob.record()
        await ann.delete(f"/activities/{gone['id']}")
        for query, ids in [
            ("", [gone["id"], live["id"]]),
            ("&state=trashed", [gone["id"]]),
            ("&state=live", [live["id"]]),
        ]:
            answer = await admin.get(f"/admin/activities?user_id={ann.id}{query}")
            assert [one["id"] for one in answer.json()["items"]] == ids
            assert "private" not in answer.text
            keys = {"id", "user_id", "created_at", "updated_at", "deleted_at"}
            assert all(one.keys() == keys for one in answer.json()["items"])
        missing = await admin.get("/admin/activities")
        assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "user_id")

    async def test_the_log_is_narrowed_and_goes_on_by_cursor(self, api: Api, ann: Person, bob: Person):
        admin = await api.admin()
        for person in (ann, bob, ann):
            await admin.patch(f"/admin/users/{person.id}", json={"tier": "premium"})

        async def log(query: str) -> dict[str, Any]:
            answer = await admin.get(f"/admin/audit-log?{query}")
            assert answer.status_code == 200, answer.text
            body: dict[str, Any] = answer.json()
            return body

        assert [one["subject_id"] for one in (await log(f"actor_id={admin.id}"))["items"]] == [ann.id, bob.id, ann.id]
        narrowed = await log(f"actor_id={admin.id}&subject_id={ann.id}&action=user_changed&limit=1")
        assert (len(narrowed["items"]), narrowed["total"]) == (1, 2)
        rest = await log(f"actor_id={admin.id}&subject_id={ann.id}&cursor={narrowed['next_cursor']}")
        assert [one["subject_id"] for one in rest["items"]] == [ann.id]
        (middle,) = (await log(f"subject_id={bob.id}"))["items"]
        since = await log(f"actor_id={admin.id}&from={middle['at'].replace('+', '%2B')}")
        until = await log(f"actor_id={admin.id}&to={middle['at'].replace('+', '%2B')}")
        assert (since["total"], until["total"]) == (2, 1)
        for query in ("from=2026-11-22", "action=other", "actor_id=0"):
            assert (await admin.get(f"/admin/audit-log?{query}")).status_code == 422

    async def test_a_reason_may_stand_beside_the_body(self, api: Api, ann: Person):
        admin = await api.admin()
        one = await ann.record()
        await ann.delete(f"/activities/{one['id']}")
        for query in ("", "?reason=", "?reason=%20"):
            refused = await admin.delete(f"/admin/activities/{one['id']}{query}")
            assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "reason")
        assert (await admin.delete(f"/admin/activities/{one['id']}?reason=asked%20for")).status_code == 204
        assert (await admin.get("/admin/audit-log?limit=1")).json()["items"][0]["reason"] == "asked for"

    async def test_a_demotion_holds_on_the_next_request(self, api: Api):
        admin, other = await api.admin(), await api.admin()
        for _ in range(3):
            assert (await other.get("/admin/users")).status_code == 200
            await admin.patch(f"/admin/users/{other.id}", json={"role": Role.USER})
            assert (await other.get("/admin/users")).status_code == 403
            await admin.patch(f"/admin/users/{other.id}", json={"role": Role.ADMIN})
        await other.delete("/users/me", json={"password": PASSWORD})
        assert (await other.get("/admin/users")).status_code == 401
        assert (await refreshed(api, other.refresh_token)).status_code == 401
