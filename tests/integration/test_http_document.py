"""The document says what the service does; beside this, each answer of the HTTP suite is validated against it."""

import json
import re
from typing import Any

import httpx
import pytest

from tests.harness.api import PASSWORD, Api, Person, activity_body
from tests.harness.documented import Undocumented, hold_to_document
from tests.pictures import a_jpeg

REQUEST = httpx.Request("GET", "http://fitness/api/v1/users/me")
USUAL = {
    "X-Request-ID": "1",
    "Cache-Control": "private, no-cache",
    "Vary": "authorization",
    "X-Content-Type-Options": "nosniff",
    "Content-Type": "application/json",
}


LETTERS = "sphinx of black quartz, judge my vow".replace(" ", "")


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def has_words(schema: dict[str, Any]) -> bool:
    """A reference says it under its own name; what may be null says it of what it is otherwise."""
    choices = schema.get("anyOf", [])
    return "$ref" in schema or bool(schema.get("description")) or any(has_words(one) for one in choices)


@pytest.fixture
async def document(api: Api) -> dict[str, Any]:
    read: dict[str, Any] = (await api.http.get("/openapi.json")).json()
    return read


def answered(status: int, body: Any, **headers: str) -> httpx.Response:
    spelt = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=USUAL | spelt, content=json.dumps(body), request=REQUEST)


class TestTheJudge:
    async def test_it_takes_what_the_service_answers(self, ann: Person):
        me = (await ann.get("/users/me")).json()
        await hold_to_document(answered(200, me))

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"surplus": 1}, "'surplus' was unexpected"),
            ({"id": "1"}, "id: '1' is not of type 'integer'"),
            ({"id": 0}, "id: 0 is less than the minimum of 1"),
            ({"tier": "gold"}, "tier: 'gold' is not one of"),
            ({"name": "x" * 101}, "is too long"),
        ],
    )
    async def test_it_finds_a_body_that_is_not_as_documented(self, ann: Person, change: dict[str, Any], says: str):
        me = (await ann.get("/users/me")).json()
        with pytest.raises(Undocumented, match=says):
            await hold_to_document(answered(200, me | change))

    async def test_it_finds_a_field_that_is_missing(self, ann: Person):
        me = (await ann.get("/users/me")).json()
        del me["tier"]
        with pytest.raises(Undocumented, match="'tier' is a required property"):
            await hold_to_document(answered(200, me))

    async def test_it_finds_a_status_a_header_a_code_and_a_type_that_are_not_there(self, ann: Person):
        me = (await ann.get("/users/me")).json()
        problem = {"type": "urn:x", "title": "x", "status": 401, "detail": "x", "code": "email_taken"}
        for wrong, says in (
            (answered(418, {}), "418 is in no response"),
            (answered(200, me, X_Other="1"), "x-other"),
            (answered(200, me, Retry_After="1"), "retry-after"),
            (answered(200, me, X_RateLimit_Limit="many"), "x-ratelimit-limit"),
            (answered(200, me, Content_Type="text/plain"), "is text/plain"),
            (answered(401, problem, Content_Type="application/problem+json"), "has the code email_taken"),
        ):
            with pytest.raises(Undocumented, match=says):
                await hold_to_document(wrong)


class TestFields:
    async def test_the_bounds_of_numbers_are_those_that_are_judged_by(self, ann: Person, document: dict[str, Any]):
        fields = document["components"]["schemas"]["NewActivity"]["properties"]
        bounded = {name: field for name, field in fields.items() if "maximum" in field}
        assert len(bounded) == 7
        for name, field in bounded.items():
            for value, status in (
                (field["maximum"], 201),
                (field["minimum"], 201),
                (field["maximum"] + 1, 422),
                (field["minimum"] - 1, 422),
            ):
                stated = {"duration_minutes": 0.001, name: value}  # so short that any elapsed time is longer
                assert (await ann.post("/activities", json=activity_body(**stated))).status_code == status, name

    async def test_the_lengths_of_texts_are_those_that_are_judged_by(self, ann: Person, document: dict[str, Any]):
        fields = document["components"]["schemas"]["NewActivity"]["properties"]
        bounded = {name: field["maxLength"] for name, field in fields.items() if "maxLength" in field}
        assert bounded.keys() == {"title", "notes", "external_id"}
        for name, most in bounded.items():
            assert (await ann.post("/activities", json=activity_body(**{name: "a" * most}))).status_code == 201
            assert (await ann.post("/activities", json=activity_body(**{name: "b" * (most + 1)}))).status_code == 422
        most = fields["tags"]["maxItems"]
        for count, status in ((most, 201), (most + 1, 422)):
            tags = [f"t{number}" for number in range(count)]
            assert (await ann.post("/activities", json=activity_body(tags=tags))).status_code == status

    async def test_the_lengths_of_names_and_passwords_are_those_that_are_judged_by(
        self, ann: Person, document: dict[str, Any]
    ):
        schemas = document["components"]["schemas"]
        await ann.record(tags=["lake"])
        for method, path, schema, field, rest in (
            ("PATCH", "/tags/lake", "TagName", "name", {}),
            ("POST", "/auth/keys", "NewKey", "name", {"scopes": ["activities:read"]}),
            ("PATCH", "/users/me", "ProfileChanges", "name", {}),
            ("POST", "/users/me/password", "PasswordChange", "new", {"current": PASSWORD}),
        ):
            stated = schemas[schema]["properties"][field]
            shortest, longest = stated.get("minLength", 0), stated["maxLength"]
            for length, good in ((longest + 1, False), (shortest - 1, False), (longest, True)):
                if length >= 0:
                    answer = await ann.call(method, path, json={field: (LETTERS * 11)[:length]} | rest)
                    assert (answer.status_code < 300) == good, (schema, length)
                    assert good or answer.status_code == 422

    async def test_a_key_has_a_scope_as_the_document_says(self, ann: Person, document: dict[str, Any]):
        assert document["components"]["schemas"]["NewKey"]["properties"]["scopes"]["minItems"] == 1
        assert (await ann.post("/auth/keys", json={"name": "x", "scopes": []})).status_code == 422

    async def test_every_field_says_what_it_is(self, document: dict[str, Any]):
        for name, schema in document["components"]["schemas"].items():
            for field, stated in schema.get("properties", {}).items():
                assert has_words(stated), f"{name}.{field} has no words: see domain/model/fields.py"

    async def test_every_body_that_is_sent_is_closed(self, document: dict[str, Any]):
        for operation in operations(document):
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
                assert document["components"]["schemas"][name]["additionalProperties"] is False

    async def test_it_is_in_the_same_order_in_every_process(self, document: dict[str, Any]):
        for path, methods in document["paths"].items():
            assert list(methods) == [one for one in ("get", "post", "patch", "delete") if one in methods], path

    async def test_every_operation_and_parameter_says_what_it_is(self, document: dict[str, Any]):
        for operation in operations(document):
            assert operation["description"], operation["operationId"]
            for parameter in operation["parameters"]:
                said = parameter["in"] == "path" or parameter["description"]
                assert said, f"{operation['operationId']}: {parameter['name']}"

    async def test_what_may_be_answered_304_takes_if_none_match(self, document: dict[str, Any]):
        lacking = [
            operation["operationId"]
            for operation in operations(document)
            if "304" in operation["responses"]
            and "If-None-Match" not in {one["name"] for one in operation["parameters"]}
        ]
        assert lacking == []

    async def test_the_patterns_of_headers_are_those_that_are_judged_by(self, ann: Person, document: dict[str, Any]):
        path = f"/activities/{(await ann.record())['id']}"
        of_patch = document["paths"]["/api/v1/activities/{activity_id}"]["patch"]["parameters"]
        patterns = {one["name"]: one["schema"]["pattern"] for one in of_patch if one["in"] == "header"}
        assert patterns.keys() == {"If-Match", "If-None-Match"}
        for header, pattern in patterns.items():
            for value in ("*", '"1"', 'W/"1", "x"', "1", '"1', "W/1", '* "1"'):
                refused = (await ann.patch(path, json={}, headers={header: value})).status_code == 400
                assert refused == (re.search(pattern, value) is None), (header, value)

    async def test_names_are_those_of_classes(self, document: dict[str, Any]):
        assert all(name.isalpha() and not name.endswith("Body") for name in document["components"]["schemas"])


class TestExamples:
    async def test_each_is_accepted(self, api: Api, document: dict[str, Any]):
        """In the order in which a reader would execute them."""
        bodies = {
            operation["operationId"]: content["example"]
            for path in document["paths"].values()
            for operation in path.values()
            if (content := operation.get("requestBody", {}).get("content", {}).get("application/json"))
        }
        assert (await api.http.post("/api/v1/auth/register", json=bodies.pop("register"))).status_code == 201
        login = await api.http.post("/api/v1/auth/login", json=bodies.pop("login"))
        ann = Person(api.http, 0, "", login.json()["access_token"])
        created = await ann.post("/activities", json=bodies.pop("create_activity"))
        assert created.status_code == 201
        path = f"/activities/{created.json()['id']}"
        assert (await ann.patch(path, json=bodies.pop("update_activity"))).status_code == 200
        photo = await ann.add_photo(created.json()["id"], a_jpeg())
        changed = await ann.patch(f"/photos/{photo.json()['id']}", json=bodies.pop("change_photo"))
        assert changed.status_code == 200
        assert (await ann.patch("/users/me", json=bodies.pop("update_me"))).status_code == 200
        assert (await ann.patch("/tags/lake", json=bodies.pop("rename_tag"))).status_code == 200
        await ann.delete(path)
        admin = await api.admin()
        me = (await ann.get("/users/me")).json()
        assert (await admin.patch(f"/admin/users/{me['id']}", json=bodies.pop("update_standing"))).status_code == 200
        assert (await admin.delete(f"/admin{path}", json=bodies.pop("purge_activity"))).status_code == 204
        assert (await ann.post("/auth/keys", json=bodies.pop("create_key"))).status_code == 201
        for path, name in (("/auth/refresh", "refresh"), ("/auth/reset", "reset_password")):
            assert (await ann.post(path, json=bodies.pop(name))).status_code == 401  # nobody else has the token
        deletion = bodies.pop("delete_me")
        assert (await ann.post("/users/me/password", json=bodies.pop("change_password"))).status_code == 204
        assert (await ann.delete("/users/me", json=deletion)).status_code == 403  # that was the password before
        assert bodies == {}

    async def test_those_of_a_query_find_what_they_say(self, ann: Person, document: dict[str, Any]):
        parameters = document["paths"]["/api/v1/activities"]["get"]["parameters"]
        stated = {one["name"]: one["schema"]["examples"][0] for one in parameters if "examples" in one["schema"]}
        assert stated.keys() >= {"type", "from", "to", "tag", "q", "sort"}
        assert (await ann.get("/activities", params=stated)).status_code == 200

    async def test_links_lead_from_an_activity_to_what_can_be_done_with_it(self, document: dict[str, Any]):
        links = document["paths"]["/api/v1/activities"]["post"]["responses"]["201"]["links"]
        assert links.keys() >= {"get_activity", "update_activity", "delete_activity", "restore_activity"}
        assert links["get_activity"]["parameters"] == {"activity_id": "$response.body#/id"}

    async def test_links_lead_to_every_operation_on_something_that_has_a_name(self, document: dict[str, Any]):
        linked = {
            name
            for operation in operations(document)
            for response in operation["responses"].values()
            for name in response.get("links", {})
        }
        for operation in operations(document):
            names = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
            if names - {"token"}:  # which stands in an address that is answered whole
                assert operation["operationId"] in linked

    async def test_a_list_links_by_its_first_item(self, document: dict[str, Any]):
        links = document["paths"]["/api/v1/auth/sessions"]["get"]["responses"]["200"]["links"]
        assert links["revoke_session"]["parameters"] == {"session_id": "$response.body#/items/0/id"}


class TestLinkHeaders:
    async def test_they_lead_through_the_list_and_back(self, ann: Person):
        for number in range(5):
            await ann.record(title=str(number), tags=["a&b c"], activity_date=f"2026-05-0{number + 1}T08:00:00Z")
        page = await ann.get("/activities", params={"limit": 2, "tag": "a&b c", "page": 1})
        seen = []
        while True:
            seen += [one["title"] for one in page.json()["items"]]
            assert page.links["first"]["url"] == "/api/v1/activities?limit=2&tag=a%26b+c"
            if "next" not in page.links:
                break
            page = await ann.get(page.links["next"]["url"].removeprefix("/api/v1"))
        assert seen == ["4", "3", "2", "1", "0"]
        assert page.json()["next_cursor"] is None

    @pytest.mark.parametrize("path", ["/activities", "/activities/trash"])
    async def test_a_list_that_ends_has_no_next(self, ann: Person, path: str):
        assert (await ann.get(path)).headers["link"] == f'</api/v1{path}>; rel="first"'

    async def test_what_is_asked_for_cannot_break_out_of_the_link(self, ann: Person):
        answer = await ann.get('/activities?tag=%3E;rel="x&q=<y>')
        assert answer.headers["link"] == '</api/v1/activities?tag=%3E%3Brel=%22x&q=%3Cy%3E>; rel="first"'
