"""Lists over HTTP: their parameters, their orders, and whether they are counted."""

import base64
from itertools import product
from typing import Any

import msgspec
import pytest

from fitness.domain.model.listings import MAX_COUNTED
from tests.builders import an_activity, messages
from tests.harness.api import Api, Person

SORTS = ["-date", "date", "-distance", "distance", "-duration", "duration"]


def cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).decode().rstrip("=")


async def some(ann: Person) -> None:
    """Five activities: one, of unknown distance, is the newest; the first is the farthest and longest."""
    for number, distance in enumerate([9, 7.5, 7.5, 0, None]):
        await ann.record(
            title=str(number),
            activity_date=f"2026-11-0{number + 1}T12:00:00Z",
            distance_km=distance,
            duration_minutes=60 - 10 * number,
        )


class TestTotal:
    async def test_a_page_is_counted_unless_it_is_asked_not_to_be(self, ann: Person):
        await some(ann)
        page = (await ann.get("/activities?limit=2")).json()
        assert [*page] == ["items", "page", "limit", "total", "next_cursor"]
        assert page["total"] == 5
        uncounted = (await ann.get("/activities?limit=2&with_total=false")).json()
        assert [*uncounted] == ["items", "page", "limit", "next_cursor"]
        assert uncounted == {name: value for name, value in page.items() if name != "total"}

    async def test_a_cursor_is_counted_only_if_it_is_asked_to_be(self, ann: Person):
        await some(ann)
        onward = f"/activities?limit=2&cursor={(await ann.get('/activities?limit=2')).json()['next_cursor']}"
        assert "total" not in (await ann.get(onward)).json()
        assert (await ann.get(f"{onward}&with_total=true")).json()["total"] == 5
        assert "total" not in (await ann.get(f"{onward}&with_total=false")).json()

    async def test_of_more_than_10_000_the_total_is_null(self, api: Api, ann: Person):
        repo = api.container.activity_repo()
        for _ in range(100):
            batch = [an_activity(user_id=ann.id) for _ in range(MAX_COUNTED // 100)]
            await repo.add_all(batch, messages=messages())
        assert (await ann.get("/activities?limit=1&page=2")).json()["total"] == 10_000
        await ann.record()
        page = (await ann.get("/activities?limit=1")).json()
        assert page["total"] is None
        assert [*page] == ["items", "page", "limit", "total", "next_cursor"]

    async def test_the_trash_is_counted_by_the_same_rules(self, ann: Person):
        for _ in range(3):
            await ann.delete(f"/activities/{(await ann.record())['id']}")
        page = (await ann.get("/activities/trash?limit=2")).json()
        assert page["total"] == 3
        assert "total" not in (await ann.get("/activities/trash?with_total=false")).json()
        onward = (await ann.get(f"/activities/trash?limit=2&cursor={page['next_cursor']}")).json()
        assert (len(onward["items"]), "total" in onward) == (1, False)

    async def test_the_reference_says_that_it_may_be_null_or_absent(self, api: Api):
        schemas = (await api.http.get("/openapi.json")).json()["components"]["schemas"]
        bodies = {name: one for name, one in schemas.items() if name.endswith("List")}
        assert bodies.keys() >= {"ActivityList", "TrashedActivityList", "AuditEntryList"}
        for body in bodies.values():
            assert body["properties"]["total"]["type"] == ["integer", "null"]
            assert "total" not in body["required"]
            assert "next_cursor" in body["required"]


class TestOrder:
    @pytest.mark.parametrize(
        ("sort", "titles"),
        [
            ("-date", "43210"),
            ("date", "01234"),
            ("-distance", "02134"),
            ("distance", "31204"),
            ("-duration", "01234"),
            ("duration", "43210"),
        ],
    )
    async def test_a_list_comes_in_the_order_asked_for(self, ann: Person, sort: str, titles: str):
        await some(ann)
        assert await ann.titles(f"sort={sort}") == [*titles]

    @pytest.mark.parametrize("sort", SORTS)
    async def test_a_walk_by_cursor_shows_each_once_in_that_order(self, ann: Person, sort: str):
        await some(ann)
        whole = await ann.titles(f"sort={sort}")
        found, cursor = [], ""
        while True:
            answer = (await ann.get(f"/activities?sort={sort}&limit=1{cursor}")).json()
            found += [one["title"] for one in answer["items"]]
            if answer["next_cursor"] is None:
                break
            cursor = f"&cursor={answer['next_cursor']}"
        assert found == whole
        assert len(found) == 5

    @pytest.mark.parametrize("sort", SORTS)
    @pytest.mark.parametrize("other", SORTS)
    async def test_a_cursor_goes_on_in_its_own_order_only(self, ann: Person, sort: str, other: str):
        await some(ann)
        onward = (await ann.get(f"/activities?limit=1&sort={sort}")).json()["next_cursor"]
        response = await ann.get(f"/activities?limit=1&sort={other}&cursor={onward}")
        if sort == other:
            assert response.status_code == 200
        else:
            message = f"belongs to sort={sort}: ask with that, or without a cursor"
            assert response.status_code == 422
            assert response.json()["errors"] == [{"field": "cursor", "message": message}]

    async def test_a_cursor_of_another_list_is_refused(self, api: Api, bob: Person):
        admin = await api.admin()
        for _ in range(2):
            await admin.delete(f"/activities/{(await admin.record())['id']}")
            await admin.record()
            await admin.patch(f"/admin/users/{bob.id}", json={"tier": "premium"})
        mine = f"/admin/activities?user_id={admin.id}"
        lists = ["/activities?", "/activities/trash?", "/admin/users?", "/admin/audit-log?", f"{mine}&"]
        cursors = {one: (await admin.get(f"{one}limit=1")).json()["next_cursor"] for one in lists}
        for one, other in product(lists, lists):
            response = await admin.get(f"{one}cursor={cursors[other]}")
            if one == other:
                assert response.status_code == 200
            else:
                assert response.status_code == 422, (one, other)
                message = "is a next_cursor of another list"
                assert response.json()["errors"] == [{"field": "cursor", "message": message}]

    async def test_a_cursor_holds_no_filters(self, ann: Person):
        await some(ann)
        onward = (await ann.get("/activities?limit=1&min_distance_km=7.5")).json()["next_cursor"]
        assert await ann.titles(f"cursor={onward}") == ["1", "0"]
        assert await ann.titles(f"cursor={onward}&min_distance_km=8") == ["0"]

    @pytest.mark.parametrize(
        ("sort", "bad"),
        [
            ("-date", cursor(1_763_640_000_000_000, 7)),
            ("-date", cursor("-date", -1, 7)),
            ("-date", cursor("-date", 2**63, 7)),
            ("-date", cursor("-date", 1.5, 7)),
            ("-date", cursor("-date", None, 7)),
            ("-date", cursor("-date", 1, 0)),
            ("-date", cursor("-date", 1, 2**63)),
            ("-date", cursor("-date", "1", 7)),
            ("-distance", cursor("-distance", float("nan"), 7)),
            ("-distance", cursor("-distance", float("inf"), 7)),
            ("-distance", cursor("-distance", True, 7)),
            ("-distance", cursor("-distance", 1.5, 7) + "é"),
            ("-distance", "A" * 5_000),
            ("-distance", cursor(["-distance"], 1.5, 7)),
        ],
    )
    async def test_a_cursor_that_this_service_never_made_is_refused(self, ann: Person, sort: str, bad: str):
        response = await ann.get("/activities", params={"sort": sort, "cursor": bad})
        assert response.status_code == 422
        assert [one["field"] for one in response.json()["errors"]] == ["cursor"]

    async def test_the_copy_of_one_order_is_not_shown_for_another(self, ann: Person):
        await some(ann)
        for _ in range(2):
            assert (await ann.titles("sort=date"))[0] == "0"
            assert (await ann.titles("sort=duration"))[0] == "4"
            assert (await ann.titles("sort=duration&min_distance_km=1"))[0] == "2"
            assert (await ann.get("/activities?with_total=false")).json().get("total") is None
            assert (await ann.get("/activities")).json()["total"] == 5


class TestFilters:
    @pytest.mark.parametrize(
        ("query", "titles"),
        [
            ("min_distance_km=7.5", "210"),
            ("max_distance_km=7.5", "321"),
            ("min_distance_km=7.5&max_distance_km=7.5", "21"),
            ("min_duration_minutes=30&max_duration_minutes=50", "321"),
            ("max_duration_minutes=20", "4"),
            ("min_distance_km=0", "3210"),
        ],
    )
    async def test_ranges_are_inclusive_and_hold_nothing_unknown(self, ann: Person, query: str, titles: str):
        await some(ann)
        assert await ann.titles(query) == [*titles]

    async def test_several_types_are_any_of_them(self, ann: Person):
        for kind in ("run", "ride", "swim"):
            await ann.record(title=kind, activity_type=kind)
        assert {*await ann.titles("type=run&type=swim&type=run")} == {"run", "swim"}

    async def test_words_are_found_without_regard_to_order_case_and_accents(self, ann: Person):
        await ann.record(title="Höhenweg", notes="Café d’été, STRASSE")
        for q in ("cafe hohenweg", "straße  CAFÉ", "d'été", "é", "a"):
            assert (await ann.get("/activities", params={"q": q})).json()["total"] == 1, q
        assert (await ann.get("/activities", params={"q": "cafe snow"})).json()["total"] == 0

    async def test_blanks_search_for_nothing(self, ann: Person):
        await ann.record()
        assert (await ann.get("/activities?q=%20%20")).json()["total"] == 1

    @pytest.mark.parametrize(
        ("query", "field", "message"),
        [
            ("min_distance_km=5&max_distance_km=4.9", "min_distance_km", "must not be above max_distance_km"),
            ("min_duration_minutes=5&max_duration_minutes=4", "min_duration_minutes", "must not be above max_duration"),
            ("min_distance_km=-1", "min_distance_km", "must be a number from 0 to 2 000"),
            ("max_distance_km=2000.1", "max_distance_km", "must be a number from 0 to 2 000"),
            ("min_duration_minutes=0", "min_duration_minutes", "must be a number above 0 and at most 43 200"),
            ("max_duration_minutes=43201", "max_duration_minutes", "must be a number above 0 and at most 43 200"),
            ("min_distance_km=nan", "min_distance_km", ""),
            ("min_distance_km=inf", "min_distance_km", ""),
            ("min_distance_km=", "min_distance_km", ""),
            ("max_distance_km=1e999", "max_distance_km", ""),
            ("min_distance_km=1&min_distance_km=2", "min_distance_km", "may be given only once"),
            ("q=1+2+3+4+5+6+7+8+9", "q", "must be at most 8 words"),
            ("q=" + "a" * 201, "q", "must be at most 200 characters long"),
            ("q=%CC%81", "q", "must hold more than accents"),
            ("q=%00", "q", "must not hold a NUL character"),
            ("sort=title", "sort", "must be one of -date, date, "),
            ("sort=", "sort", "must be one of -date, date, "),
            ("type=run&type=flying", "type", "must be one of alpine_ski, "),
            ("with_total=maybe", "with_total", ""),
        ],
    )
    async def test_what_makes_no_sense_is_refused_by_name(self, ann: Person, query: str, field: str, message: str):
        response = await ann.get(f"/activities?{query}")
        assert response.status_code == 422, response.text
        (error,) = response.json()["errors"]
        assert error["field"] == field
        assert message in error["message"]

    async def test_both_ranges_may_be_wrong_at_once(self, ann: Person):
        query = "min_distance_km=2&max_distance_km=1&min_duration_minutes=2&max_duration_minutes=1"
        errors = (await ann.get(f"/activities?{query}")).json()["errors"]
        assert [one["field"] for one in errors] == ["min_distance_km", "min_duration_minutes"]
