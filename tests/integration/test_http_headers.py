"""What stands in every answer: for caches, for browsers, and for clients that ask for less."""

import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.harness.api import PASSWORD, Api, Person, Stores, activity_body, serving

APP = "https://app.example.org"
FOREIGN = "https://elsewhere.example"
GZIP = {"Accept-Encoding": "gzip"}
PLAIN = {"Accept-Encoding": "identity"}
LISTS = ("/activities", "/activities?limit=1", "/activities/trash", "/users/me")


@pytest.fixture
async def browsed(stores: Stores) -> AsyncIterator[Api]:
    """A service that pages of APP may use."""
    async with serving(stores.database_url, stores.redis_url, cors_origins=(APP,)) as api:
        yield api


class TestCaching:
    async def test_every_answer_is_private_and_is_asked_for_again(self, api: Api, ann: Person):
        one = await ann.record()
        answers = [
            await ann.get(f"/activities/{one['id']}"),
            await ann.get("/activities"),
            await ann.get("/users/me"),
            await ann.get("/activities/99"),
            await ann.post("/activities", json={}),
            await ann.patch(f"/activities/{one['id']}", json={"title": "x"}),
            await ann.delete(f"/activities/{one['id']}"),
            await api.http.get("/api/v1/users/me"),
            await api.http.get("/api/v1/nothing"),
            await api.http.put("/api/v1/activities"),
        ]
        assert {answer.status_code for answer in answers} == {200, 201, 204, 401, 404, 405, 422} - {201}
        for answer in answers:
            assert answer.headers["cache-control"] == "private, no-cache", answer.request.url
            assert answer.headers["vary"] == "authorization, accept-encoding"
            assert answer.headers["x-content-type-options"] == "nosniff"

    async def test_tokens_are_kept_by_nobody(self, api: Api, ann: Person):
        login = await api.http.post("/api/v1/auth/login", json={"email": ann.email, "password": PASSWORD})
        assert login.headers.get_list("cache-control") == ["no-store"]
        assert "etag" not in login.headers

    @pytest.mark.parametrize("path", LISTS)
    async def test_what_has_not_changed_is_not_sent_again(self, ann: Person, path: str):
        await ann.record()
        first = await ann.get(path)
        assert first.status_code == 200
        for known in (first.headers["etag"], f'"x", W/{first.headers["etag"]}', "*"):
            again = await ann.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == first.headers["etag"]
            assert "content-type" not in again.headers
        assert (await ann.get(path, headers={"If-None-Match": '"other"'})).status_code == 200

    async def test_a_change_gives_lists_and_profile_another_tag(self, ann: Person):
        kept = await ann.record()
        before = [(await ann.get(path)).headers["etag"] for path in LISTS]
        await ann.patch("/users/me", json={"name": "Ann"})
        await ann.record(title="second")
        await ann.delete(f"/activities/{kept['id']}")
        for path, tag in zip(LISTS, before, strict=True):
            answer = await ann.get(path, headers={"If-None-Match": tag})
            assert answer.status_code == 200
            assert answer.headers["etag"] != tag

    @pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/page.js", "/docs/swagger-ui-bundle.js"])
    async def test_the_reference_is_fetched_once(self, api: Api, path: str):
        tag = (await api.http.get(path)).headers["etag"]
        assert (await api.http.get(path, headers={"If-None-Match": tag})).status_code == 304

    async def test_a_head_has_the_headers_of_its_get(self, ann: Person):
        await ann.record()
        for path in LISTS:
            got, headed = await ann.get(path), await ann.call("HEAD", path)
            assert headed.content == b""
            differing = {"x-request-id", "x-cache"}
            assert {*headed.headers.items()} - {*got.headers.items()} <= {
                (name, headed.headers[name]) for name in differing if name in headed.headers
            }


class TestConditions:
    async def test_if_match_is_looked_at_on_a_read(self, ann: Person):
        path = f"/activities/{(await ann.record())['id']}"
        assert (await ann.get(path, headers={"If-Match": '"1"'})).status_code == 200
        assert (await ann.get(path, headers={"If-Match": "*"})).status_code == 200
        refused = await ann.get(path, headers={"If-Match": '"2"'})
        assert (refused.status_code, refused.json()["code"]) == (412, "version_mismatch")

    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    async def test_if_none_match_guards_a_change(self, ann: Person, method: str):
        path = f"/activities/{(await ann.record())['id']}"
        body = {"json": {"title": "x"}} if method == "PATCH" else {}
        for known in ('"1"', 'W/"1"', '"7", "1"', "*"):
            answer = await ann.call(method, path, headers={"If-None-Match": known}, **body)
            assert answer.status_code == 412, known
        assert (await ann.call(method, path, headers={"If-None-Match": '"2"'}, **body)).status_code < 300

    async def test_restore_takes_the_version_that_is_meant(self, ann: Person):
        path = f"/activities/{(await ann.record())['id']}"
        await ann.delete(path)
        refused = await ann.post(f"{path}/restore", headers={"If-Match": '"1"'})
        assert (refused.status_code, refused.json()["code"]) == (412, "version_mismatch")
        assert (await ann.post(f"{path}/restore", headers={"If-Match": '"2"'})).status_code == 200

    async def test_the_profile_is_changed_as_it_was_read(self, ann: Person):
        tag = (await ann.get("/users/me")).headers["etag"]
        changed = await ann.patch("/users/me", json={"name": "Ann"}, headers={"If-Match": f'"x", {tag}'})
        assert changed.status_code == 200
        assert changed.headers["etag"] == (await ann.get("/users/me")).headers["etag"] != tag
        for stale in (tag, f"W/{changed.headers['etag']}"):
            refused = await ann.patch("/users/me", json={"name": "Eve"}, headers={"If-Match": stale})
            assert (refused.status_code, refused.json()["code"]) == (412, "version_mismatch")
            assert refused.json()["detail"] == "your profile has changed since; read it again and repeat"
        assert (await ann.get("/users/me")).json()["name"] == "Ann"
        assert (await ann.patch("/users/me", json={"name": "Eve"}, headers={"If-Match": "*"})).status_code == 200

    async def test_the_profile_that_an_admin_changed_is_another(self, api: Api, ann: Person):
        tag = (await ann.get("/users/me")).headers["etag"]
        await (await api.admin()).patch(f"/admin/users/{ann.id}", json={"tier": "premium"})
        assert (await ann.patch("/users/me", json={"name": "Ann"}, headers={"If-Match": tag})).status_code == 412

    async def test_if_none_match_guards_the_profile(self, ann: Person):
        tag = (await ann.get("/users/me")).headers["etag"]
        for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            answer = await ann.patch("/users/me", json={"name": "Ann"}, headers={"If-None-Match": known})
            assert answer.status_code == 412, known
        assert (await ann.patch("/users/me", json={"name": "Ann"}, headers={"If-None-Match": '"x"'})).status_code == 200

    async def test_if_match_is_looked_at_where_the_profile_is_read(self, ann: Person):
        tag = (await ann.get("/users/me")).headers["etag"]
        for met in (tag, "*", f'{tag}, "x"'):
            assert (await ann.get("/users/me", headers={"If-Match": met})).status_code == 200
        both = {"If-Match": tag, "If-None-Match": tag}
        assert (await ann.get("/users/me", headers=both)).status_code == 304
        refused = await ann.get("/users/me", headers={"If-Match": '"x"'})
        assert (refused.status_code, refused.json()["code"]) == (412, "version_mismatch")

    async def test_an_account_is_deleted_as_it_was_read(self, ann: Person):
        tag = (await ann.get("/users/me")).headers["etag"]
        await ann.patch("/users/me", json={"name": "Ann"})
        body = {"password": PASSWORD}
        assert (await ann.call("DELETE", "/users/me", json=body, headers={"If-Match": tag})).status_code == 412
        tag = (await ann.get("/users/me")).headers["etag"]
        assert (await ann.call("DELETE", "/users/me", json=body, headers={"If-Match": tag})).status_code == 204

    @pytest.mark.parametrize("header", ["3", "1, 2", '"1', "W/1", "", '"1" "2"'])
    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE", "RESTORE", "GET /users/me", "PATCH /users/me"])
    async def test_a_tag_without_its_marks_is_named(self, ann: Person, method: str, header: str):
        verb, _, path = method.partition(" ")
        path = path or f"/activities/{(await ann.record())['id']}"
        if verb == "RESTORE":
            verb, path = "POST", f"{path}/restore"
        body: dict[str, Any] = {"json": {}} if verb == "PATCH" else {}
        answer = await ann.call(verb, path, headers={"If-Match": header}, **body)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
        assert answer.json()["detail"] == 'If-Match takes ETags in their quotation marks, such as If-Match: "3"'

    async def test_a_tag_without_its_marks_is_named_in_if_none_match_too(self, ann: Person):
        for path in (f"/activities/{(await ann.record())['id']}", "/users/me"):
            answer = await ann.patch(path, json={}, headers={"If-None-Match": "1"})
            assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request"), path
            assert answer.json()["detail"].startswith("If-None-Match takes ETags in their quotation marks")


class TestCompression:
    async def test_a_hundred_activities_fit_into_8_kb(self, ann: Person):
        for number in range(100):
            await ann.record(title=f"Around the lake {number}", distance_km=number / 7, tags=["lake"])
        plain = await ann.get("/activities?limit=100", headers=PLAIN)
        small = await ann.get("/activities?limit=100", headers=GZIP)
        assert small.headers["content-encoding"] == "gzip"
        assert int(small.headers["content-length"]) < 8_000 < 45_000 < int(plain.headers["content-length"])
        assert small.content == plain.content
        assert "content-encoding" not in plain.headers

    async def test_a_list_that_the_cache_does_not_keep_is_compressed_too(self, ann: Person):
        for _ in range(30):
            await ann.record(notes="up and down " * 830)
        for _ in range(2):
            small = await ann.get("/activities?limit=30", headers=GZIP)
            assert int(small.headers["content-length"]) < 20_000 < 280_000 < len(small.content)

    async def test_what_fits_into_a_packet_is_sent_as_it_is(self, ann: Person):
        answer = await ann.get(f"/activities/{(await ann.record())['id']}", headers=GZIP)
        assert "content-encoding" not in answer.headers

    async def test_the_tag_of_compressed_bytes_is_good_for_a_change(self, ann: Person):
        path = f"/activities/{(await ann.record(notes='up and down ' * 200))['id']}"
        tag = (await ann.get(path, headers=GZIP)).headers["etag"]
        assert tag == '"1-gzip"'
        assert (await ann.get(path, headers=GZIP | {"If-None-Match": tag})).status_code == 304
        assert (await ann.patch(path, json={"title": "x"}, headers={"If-Match": tag})).status_code == 200
        assert (await ann.patch(path, json={"title": "y"}, headers={"If-Match": tag})).status_code == 412

    async def test_304_has_the_tag_of_the_answer_that_it_stands_for(self, ann: Person):
        one = f"/activities/{(await ann.record(notes='up and down ' * 200))['id']}"
        for path in (one, f"{one}?", "/activities", "/activities/trash", "/users/me"):
            if path == "/activities/trash":
                await ann.delete(one)
            plain, small = [(await ann.get(path, headers=coding)).headers["etag"] for coding in (PLAIN, GZIP)]
            assert (small == f'{plain[:-1]}-gzip"') is (path != "/users/me")
            for coding, tag in ((PLAIN, plain), (GZIP, small)):
                for known in (tag, f"W/{tag}", f'"x", {tag}', "*", f"{plain}, {small}", f"{small}, {plain}"):
                    answer = await ann.get(path, headers=coding | {"If-None-Match": known})
                    assert (answer.status_code, answer.headers["etag"]) == (304, tag), (path, known)
                    headed = await ann.call("HEAD", path, headers=coding | {"If-None-Match": known})
                    assert (headed.status_code, headed.headers["etag"]) == (304, tag)

    async def test_304_has_the_tag_that_the_client_has(self, ann: Person):
        one = f"/activities/{(await ann.record(notes='up and down ' * 200))['id']}"
        for path in (one, f"{one}?"):
            for coding in (PLAIN, GZIP):
                for tag in ('"1"', '"1-gzip"'):
                    answer = await ann.get(path, headers=coding | {"If-None-Match": f'"7", {tag}'})
                    assert (answer.status_code, answer.headers["etag"]) == (304, tag)

    @pytest.mark.parametrize("path", ["/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/openapi.json"])
    async def test_the_reference_is_compressed(self, api: Api, path: str):
        plain, small = await api.http.get(path, headers=PLAIN), await api.http.get(path, headers=GZIP)
        assert small.headers["content-encoding"] == "gzip"
        assert int(small.headers["content-length"]) < len(plain.content) / 3
        assert small.content == plain.content

    @pytest.mark.parametrize("asked", ["gzip;q=0", "br", "", "deflate, gzip;q=0.0"])
    async def test_nobody_gets_what_they_did_not_ask_for(self, api: Api, asked: str):
        answer = await api.http.get("/openapi.json", headers={"Accept-Encoding": asked})
        assert "content-encoding" not in answer.headers
        with pytest.raises(gzip.BadGzipFile):
            gzip.decompress(answer.content)


def preflight(method: str, origin: str = APP) -> dict[str, str]:
    return {"Origin": origin, "Access-Control-Request-Method": method}


class TestOrigins:
    @pytest.mark.parametrize(
        ("path", "methods"),
        [
            ("/activities", "GET, HEAD, OPTIONS, POST"),
            ("/activities/1", "DELETE, GET, HEAD, OPTIONS, PATCH"),
            ("/users/me", "DELETE, GET, HEAD, OPTIONS, PATCH"),
            ("/auth/login", "OPTIONS, POST"),
        ],
    )
    async def test_options_needs_no_token_and_names_every_method(self, api: Api, path: str, methods: str):
        answer = await api.http.options(f"/api/v1{path}")
        assert (answer.status_code, answer.headers["allow"]) == (204, methods)
        assert "access-control-allow-methods" not in answer.headers

    async def test_405_names_what_is_allowed(self, api: Api):
        answer = await api.http.put("/api/v1/activities")
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
        assert answer.json()["detail"] == "this address allows GET, HEAD, OPTIONS, POST"

    async def test_a_browser_may_ask_before_it_changes(self, browsed: Api):
        answer = await browsed.http.options("/api/v1/activities/1", headers=preflight("PATCH"))
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["access-control-allow-methods"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
        allowed = answer.headers["access-control-allow-headers"].split(", ")
        needed = {"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Device-Token"}
        assert {*allowed} >= needed
        assert "access-control-allow-credentials" not in answer.headers

    @pytest.mark.parametrize("tag", ["long%20run", "h%C3%B6henweg", "a_b", "run%2Fwalk", "50%25"])
    async def test_a_page_may_change_a_tag_of_any_name(self, browsed: Api, tag: str):
        for method in ("PATCH", "DELETE"):
            answer = await browsed.http.options(f"/api/v1/tags/{tag}", headers=preflight(method))
            assert answer.status_code == 204
            assert answer.headers["access-control-allow-methods"] == "DELETE, OPTIONS, PATCH"

    async def test_options_knows_no_other_spelling_of_a_path(self, api: Api):
        assert (await api.http.options("/api/v1/activities/1_0")).status_code == 404

    async def test_a_page_may_read_every_answer_and_all_of_its_headers(self, browsed: Api):
        ann = await browsed.person()
        one = await ann.record()
        for answer in (
            await ann.get(f"/activities/{one['id']}", headers={"Origin": APP}),
            await ann.get("/activities", headers={"Origin": APP}),
            await ann.get("/activities?limit=0", headers={"Origin": APP}),
            await browsed.http.get("/api/v1/users/me", headers={"Origin": APP}),
            await browsed.http.get("/api/v1/nothing", headers={"Origin": APP}),
            await browsed.http.put("/api/v1/activities", headers={"Origin": APP}),
        ):
            assert answer.headers["access-control-allow-origin"] == APP
            assert answer.headers["access-control-expose-headers"] == "*"
            assert answer.headers["vary"] == "authorization, accept-encoding, origin"

    @pytest.mark.parametrize("origin", [FOREIGN, "null", APP + ".evil.example", "http://app.example.org"])
    async def test_a_foreign_page_may_not(self, browsed: Api, origin: str):
        ann = await browsed.person()
        answers: list[httpx.Response] = [
            await browsed.http.options("/api/v1/activities", headers=preflight("POST", origin)),
            await ann.get("/activities", headers={"Origin": origin}),
            await ann.post("/activities", json=activity_body(), headers={"Origin": origin}),
        ]
        for answer in answers:
            assert not [name for name in answer.headers if name.startswith("access-control-")]

    async def test_preflights_are_free(self, stores: Stores):
        async with serving(
            stores.database_url, stores.redis_url, rate_limit_scale=1.0, limits_stand=True, cors_origins=("*",)
        ) as api:
            for _ in range(30):
                answer = await api.http.options("/api/v1/activities", headers=preflight("POST", FOREIGN))
                assert answer.status_code == 204
                assert answer.headers["access-control-allow-origin"] == "*"
            assert "x-ratelimit-limit" not in answer.headers
