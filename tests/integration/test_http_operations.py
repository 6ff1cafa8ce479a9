"""What operators and newcomers meet: health, the API reference, and errors when a store is down."""

import asyncio
import gc

import httpx
import pytest

from fitness.adapters.embedded.engines import EngineUrls
from fitness.adapters.postgres.migration_files import shipped_migrations
from fitness.adapters.postgres.migration_runner import Migrations
from tests.harness.api import NOWHERE_POSTGRES, Api, Person, serving
from tests.harness.documented import resolved


async def test_liveness_needs_nothing_and_readiness_names_each_store(api: Api):
    live = await api.http.get("/health/live")
    assert (live.status_code, live.json()) == (200, {"status": "alive"})
    ready = await api.http.get("/health/ready")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "checks": {"database": "up", "cache": "up"}},
    )


async def test_without_postgresql_requests_answer_503_and_readiness_says_so(engines: EngineUrls):
    async with serving(NOWHERE_POSTGRES, engines.redis_url) as api:
        assert (await api.http.get("/health/live")).status_code == 200
        ready = await api.http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        assert ready.json()["checks"] == {"database": "down", "cache": "up"}
        login = await api.http.post("/api/v1/auth/login", json={"email": "a@example.org", "password": "x"})
        assert (login.status_code, login.json()["code"]) == (503, "database_unavailable")
        assert login.headers["retry-after"] == "1"


async def test_a_schema_older_than_the_service_is_unavailable_until_it_is_migrated(
    empty_database_url: str, engines: EngineUrls
):
    Migrations(empty_database_url, shipped_migrations()[:11]).up()
    newest = shipped_migrations()[-1].version
    async with serving(empty_database_url, engines.redis_url) as api:
        ready = await api.http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        why = f"the schema is at 011, this version needs {newest:03}: run `fitness migrate up`"
        assert ready.json()["checks"] == {"database": why, "cache": "up"}
        assert (await api.http.get("/health/ready")).status_code == 503
        assert (await api.http.get("/health/live")).status_code == 200
        await asyncio.to_thread(Migrations(empty_database_url).up)
        ready = await api.http.get("/health/ready")
        assert (ready.status_code, ready.json()["checks"]["database"]) == (200, "up")


async def test_the_reference_loads_nothing_from_elsewhere(api: Api):
    page = await api.http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    for asset in ("page.js", "swagger-ui-bundle.js", "swagger-ui.css"):
        assert f"/docs/{asset}" in page.text or asset == "page.js"
        assert (await api.http.get(f"/docs/{asset}")).status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text


async def test_the_front_door_leads_to_the_reference(api: Api):
    response = await api.http.get("/")
    assert (response.status_code, response.headers["location"]) == (302, "/docs")


async def test_the_document_describes_every_route_with_its_problems(api: Api):
    document = (await api.http.get("/openapi.json")).json()
    operations = {
        f"{method.upper()} {path.removeprefix('/api/v1')}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert operations.keys() == {
        "POST /auth/register",
        "POST /auth/login",
        "GET /rate-limit",
        "GET /users/me",
        "PATCH /users/me",
        "GET /users/me/stats",
        "POST /live/ticket",
        "GET /live",
        "GET /activities/{activity_id}/file",
        "GET /activities/changes",
        "POST /users/me/export",
        "GET /users/me/export",
        "GET /exports/{token}",
        "GET /activities.csv",
        "GET /tags",
        "PATCH /tags/{name}",
        "DELETE /tags/{name}",
        "POST /activities",
        "GET /activities",
        "GET /activities/trash",
        "POST /activities/import",
        "POST /activities/{activity_id}/photos",
        "GET /activities/{activity_id}/photos",
        "GET /photos/{photo_id}",
        "GET /photos/{photo_id}/file",
        "PATCH /photos/{photo_id}",
        "DELETE /photos/{photo_id}",
        "GET /activities/{activity_id}",
        "PATCH /activities/{activity_id}",
        "DELETE /activities/{activity_id}",
        "POST /activities/{activity_id}/restore",
        "DELETE /admin/activities/{activity_id}",
        "GET /admin/audit-log",
        "PATCH /admin/users/{user_id}",
        "GET /admin/users",
        "GET /admin/activities",
        "POST /admin/users/{user_id}/restore",
        "POST /users/me/password",
        "DELETE /users/me",
        "POST /auth/refresh",
        "POST /auth/reset",
        "POST /admin/users/{user_id}/password-reset",
        "POST /auth/logout",
        "POST /auth/keys",
        "GET /auth/keys",
        "DELETE /auth/keys/{key_id}",
        "POST /auth/logout-all",
        "GET /auth/sessions",
        "DELETE /auth/sessions/{session_id}",
        "GET /health/live",
        "GET /health/ready",
    }
    public = {name for name, operation in operations.items() if operation.get("security") == []}
    tokens = {f"POST /auth/{name}" for name in ("register", "login", "refresh", "reset")}
    assert public == tokens | {"GET /health/live", "GET /health/ready", "GET /exports/{token}"}
    for name, operation in operations.items():
        assert operation["description"], name
        assert name in public or "401" in operation["responses"]
    listing = {
        parameter["name"] for parameter in operations["GET /activities"]["parameters"] if parameter["in"] == "query"
    }
    pages = {"page", "limit", "cursor", "with_total"}
    filters = {"type", "from", "to", "tag", "exclude_tag", "q"}
    ranges = {"min_distance_km", "max_distance_km", "min_duration_minutes", "max_duration_minutes"}
    assert listing == pages | filters | ranges | {"sort"}
    assert operations["GET /activities/{activity_id}"]["responses"].keys() >= {"200", "404", "410"}
    given = {name: operation["requestBody"] for name, operation in operations.items() if "requestBody" in operation}
    reads_json = {name for name, body in given.items() if "application/json" in body["content"]}
    assert len(reads_json) == 14
    for name in reads_json:
        assert operations[name]["responses"].keys() >= {"400", "413", "415", "422"}, name
    components = document["components"]
    known = {f"#/components/{kind}/{name}" for kind, named in components.items() for name in named}
    assert {*_references(document)} <= known


async def test_the_document_says_what_an_import_refuses_and_what_a_read_brings(api: Api):
    paths = (await api.http.get("/openapi.json")).json()["paths"]
    responses = paths["/api/v1/activities/import"]["post"]["responses"]
    codes = {code for response in responses.values() for code in response["description"].split(" or ")}
    assert codes >= {"file_empty", "file_unknown", "file_without_activity", "file_without_times"}
    assert codes >= {"file_corrupt", "file_too_large", "reader_unavailable", "unsupported_media_type"}
    responses = paths["/api/v1/activities/{activity_id}"]["get"]["responses"]
    assert responses["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Activity"}
    assert responses["410"]["description"] == "activity_deleted or activity_expired"
    assert "304" in responses


async def test_the_document_says_that_whatever_needs_a_database_may_find_it_down_or_the_process_overloaded(api: Api):
    document = (await api.http.get("/openapi.json")).json()
    operations = {
        f"{method.upper()} {path}": operation["responses"]
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    refused = {name: resolved(of["503"], document)["description"] for name, of in operations.items() if "503" in of}
    assert len(refused) > 40
    for name in refused.keys() - {"GET /health/ready"}:
        assert {*refused[name].split(" or ")} >= {"database_unavailable", "overloaded"}, name


async def test_the_document_says_what_is_sent_for_a_photo_and_what_comes_of_its_bytes(api: Api):
    document = (await api.http.get("/openapi.json")).json()
    paths = document["paths"]
    add = paths["/api/v1/activities/{activity_id}/photos"]["post"]
    form = add["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["file"]
    assert form["properties"]["caption"]["maxLength"] == 500
    codes = {code for response in add["responses"].values() for code in response["description"].split(" or ")}
    assert codes >= {"photo_empty", "photo_unknown", "photo_corrupt", "photo_too_large", "photo_too_many_pixels"}
    responses = paths["/api/v1/photos/{photo_id}/file"]["get"]["responses"]
    for status in ("200", "206"):
        assert responses[status]["content"].keys() == {"image/jpeg"}
    assert "Content-Range" in resolved(responses["416"], document)["headers"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/openapi.yaml", 404, "not_found"),
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/docs/nothing", 404, "not_found"),
        ("PUT", "/api/v1/activities/1", 405, "method_not_allowed"),
        ("DELETE", "/health/live", 405, "method_not_allowed"),
    ],
)
async def test_addresses_that_do_not_exist_are_problems_too(api: Api, method: str, path: str, status: int, code: str):
    response = await api.http.request(method, path)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.engines
async def test_a_crash_is_an_internal_error_without_its_details(api: Api, ann: Person):
    assert (await ann.get("/users/me")).status_code == 200  # so that its standing is cached
    await api.container.database().close()
    object.__setattr__(api.container.activities(), "repo", None)
    response: httpx.Response = await ann.get("/activities?limit=7")
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "NoneType" not in response.text


async def test_building_and_running_an_app_leaves_the_collector_of_its_process_as_it_was(
    database_url: str, engines: EngineUrls
):
    before = gc.get_threshold(), gc.get_freeze_count()
    async with serving(database_url, engines.redis_url):
        assert (gc.get_threshold(), gc.get_freeze_count()) == before


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [str(node["$ref"])] if "$ref" in node else []
        return own + [name for child in node.values() for name in _references(child)]
    if isinstance(node, list):
        return [name for child in node for name in _references(child)]
    return []
