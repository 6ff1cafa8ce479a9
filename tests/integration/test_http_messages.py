"""A refusal says what would have been taken, in the service's own words."""

from typing import Any

import pytest

from tests.harness.api import Api, Person, activity_body

OWN_ZONE = "a time with its offset from UTC, such as 2026-05-01T08:00:00+02:00"


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"duration_minutes": None}, "must be a number above 0 and at most 43 200"),
        ({"duration_minutes": "42"}, "must be a number above 0 and at most 43 200"),
        ({"duration_minutes": 0}, "must be above 0 and at most 43 200"),
        ({"distance_km": "far"}, "must be a number from 0 to 2 000 or null"),
        ({"calories_kcal": 1.5}, "must be a whole number from 0 to 50 000 or null"),
        ({"calories_kcal": 10**30}, "must be at least 0 and at most 50 000"),
        ({"activity_date": 5}, f"must be {OWN_ZONE}"),
        ({"activity_date": "2026-13-01"}, f"must be {OWN_ZONE}"),
        ({"title": 5}, "must be text or null"),
        ({"tags": "lake"}, "must be a list, each item text"),
        ({"tags": [1]}, "must be a list, each item text"),
        ({"source": "My Watch"}, "must be 1 to 32 lower-case letters, digits and _, a letter first"),
    ],
)
async def test_a_body_is_told_what_a_field_takes(ann: Person, stated: dict[str, Any], message: str):
    answer = await ann.post("/activities", json=activity_body(**stated))
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": next(iter(stated)), "message": message}]


async def test_a_choice_is_told_what_there_is_to_choose_from(ann: Person):
    answer = await ann.post("/activities", json=activity_body(activity_type="Run"))
    [problem] = answer.json()["errors"]
    assert problem["message"].startswith("must be one of alpine_ski, backcountry_ski, ")
    assert ", run, " in problem["message"]


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("limit=x", "limit", "must be a whole number from 1 to 100"),
        ("limit=101", "limit", "must be a whole number from 1 to 100"),
        ("page=0", "page", "must be a whole number from 1"),
        ("with_total=null", "with_total", "must be true or false"),
        ("min_distance_km=Null", "min_distance_km", "must be a number from 0 to 2 000"),
        ("with_total=maybe", "with_total", "must be true or false"),
        ("sort=title", "sort", "must be one of -date, date, -distance, distance, -duration, duration"),
        ("max_distance_km=x", "max_distance_km", "must be a number from 0 to 2 000"),
        (
            "from=2026-05-01T08:00:00+02:00",
            "from",
            "must be a date such as 2026-11-22, or a time with its offset from UTC such as 2026-11-22T08:00:00Z; "
            "write + as %2B, since a + in a query string is a space",
        ),
    ],
)
async def test_a_parameter_is_told_what_it_takes(ann: Person, query: str, field: str, message: str):
    answer = await ann.get(f"/activities?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": field, "message": message}]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the request has no body, or a part of it is missing"),
        (b"{", "the body is not JSON: it is not complete"),
        (b'{"distance_km": 1e999}', "the body is not JSON: a number in it is too large"),
        (b'{"a": 1,}', "the body is not JSON: from byte 8 on it cannot be read"),
        (b'{"a": "\xff"}', "the body is not JSON: it is not UTF-8"),
    ],
)
async def test_a_body_that_is_no_json_is_told_where(ann: Person, body: bytes, detail: str):
    answer = await ann.post("/activities", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["detail"]) == (400, detail)


@pytest.mark.parametrize("path", ["/activities/abc", "/activities/0x1", "/activities/1/restores"])
async def test_an_id_in_a_wrong_form_is_told_its_form(api: Api, path: str):
    answer = await api.http.get(f"/api/v1{path}")
    assert answer.status_code == 404
    assert answer.json()["detail"].endswith("where it has an id, that is a whole number such as 42")
