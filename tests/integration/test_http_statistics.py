"""/users/me/stats and /tags over HTTP."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fitness.adapters.memory.clock import ManualClock
from fitness.entrypoints.http.tags import TagTurns
from tests.builders import an_activity, messages
from tests.files import A_TRACK
from tests.harness.api import Api, Person
from tests.harness.load import eventually

YEAR = "/users/me/stats?period=monthly&from=2025-01-01&to=2025-12-31"
NOTHING = {
    "activities": 0,
    "duration_minutes": 0.0,
    "elapsed_minutes": 0.0,
    "distance_km": 0.0,
    "elevation_gain_m": 0.0,
    "calories_kcal": 0,
    "average_speed_kmh": None,
    "average_speed_of": 0,
    "average_heart_rate_bpm": None,
    "average_heart_rate_of": 0,
}


async def stats(person: Person, query: str) -> dict[str, Any]:
    response = await person.get(f"/users/me/stats?{query}")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def counts(person: Person, query: str) -> dict[str, int]:
    """By the names of the buckets that have activities."""
    body = await stats(person, query)
    return {one["name"]: one["total"]["activities"] for one in body["buckets"] if one["total"]["activities"]}


class TestStatistics:
    async def test_they_show_buckets_totals_records_and_streaks(self, ann: Person):
        run = {
            "activity_date": "2025-06-02T08:00:00Z",
            "duration_minutes": 50,
            "elapsed_minutes": 60,
            "distance_km": 10,
        }
        first = await ann.record(**run, average_heart_rate_bpm=140, elevation_gain_m=30.5, calories_kcal=600)
        ride = await ann.record(
            activity_type="ride", activity_date="2025-06-03T08:00:00Z", duration_minutes=100.5, distance_km=40
        )
        body = await stats(ann, "period=weekly&from=2025-05-30&to=2025-06-08")
        total = {
            "activities": 2,
            "duration_minutes": 150.5,
            "elapsed_minutes": 160.5,
            "distance_km": 50.0,
            "elevation_gain_m": 30.5,
            "calories_kcal": 600,
            "average_speed_kmh": 19.934,
            "average_speed_of": 2,
            "average_heart_rate_bpm": 140.0,
            "average_heart_rate_of": 1,
        }
        assert body["total"] == total
        empty, full = body["buckets"]
        assert empty == {
            "name": "2025-W22",
            "first_day": "2025-05-30",
            "last_day": "2025-06-01",
            "total": NOTHING,
            "by_type": {},
        }
        assert (full["name"], full["total"], [*full["by_type"]]) == ("2025-W23", total, ["ride", "run"])
        assert body["by_type"] == full["by_type"]
        assert full["by_type"]["run"]["average_speed_kmh"] == 12.0
        assert body["records"]["distance_km"] == {
            "activity_id": ride["id"],
            "activity_type": "ride",
            "local_date": "2025-06-03",
            "value": 40.0,
        }
        assert body["records"]["elevation_gain_m"]["activity_id"] == first["id"]
        assert body["streaks"] == {
            "current": {"days": 0, "first_day": None, "last_day": None},
            "longest": {"days": 2, "first_day": "2025-06-02", "last_day": "2025-06-03"},
        }

    async def test_the_profile_says_where_weeks_begin(self, ann: Person):
        await ann.record(activity_date="2025-06-08T12:00:00Z")  # a Sunday
        weeks = "period=weekly&from=2025-06-01&to=2025-06-14"
        assert await counts(ann, weeks) == {"2025-W23": 1}
        await ann.patch("/users/me", json={"week_start": "sunday"})
        assert await counts(ann, weeks) == {"2025-06-08": 1}

    async def test_every_write_shows_in_the_next_answer(self, api: Api, ann: Person):
        async def year() -> tuple[int, float, list[str]]:
            body = (await ann.get(YEAR)).json()
            assert (await ann.get(YEAR)).json() == body
            named = [one["name"] for one in body["buckets"] if one["total"]["activities"]]
            return body["total"]["activities"], body["total"]["duration_minutes"], named

        assert await year() == (0, 0, [])
        one = await ann.record(activity_date="2025-06-02T08:00:00Z", duration_minutes=10)
        assert await year() == (1, 10, ["2025-06"])
        path = f"/activities/{one['id']}"
        await ann.patch(path, json={"activity_date": "2025-07-02T08:00:00Z", "duration_minutes": 20})
        assert await year() == (1, 20, ["2025-07"])
        await ann.patch(path, json={"title": "No more than a title"})
        assert await year() == (1, 20, ["2025-07"])
        await ann.delete(path)
        assert await year() == (0, 0, [])
        await ann.post(f"{path}/restore")
        assert await year() == (1, 20, ["2025-07"])
        await ann.delete(path)
        admin = await api.admin()
        purged = await admin.call("DELETE", f"/admin{path}", json={"reason": "asked for"})
        assert purged.status_code == 204
        assert await year() == (0, 0, [])

    async def test_an_import_counts(self, ann: Person):
        imported = (await ann.upload(A_TRACK)).json()["items"]
        day = imported[0]["local_date"]
        body = await stats(ann, f"period=daily&from={day}&to={day}")
        assert body["total"]["activities"] == len(imported)

    async def test_many_writes_at_once_all_count(self, ann: Person):
        await asyncio.gather(*(ann.record(activity_date=f"2025-06-{day:02}T08:00:00Z") for day in range(1, 31)))
        await asyncio.gather(*(ann.record(activity_date="2025-07-06T08:00:00Z") for _ in range(20)))
        assert await counts(ann, "period=monthly&from=2025-01-01&to=2025-12-31") == {"2025-06": 30, "2025-07": 20}
        body = await stats(ann, "period=monthly&from=2025-06-01&to=2025-07-31")
        assert body["streaks"]["longest"]["days"] == 30

    async def test_filters_narrow_it(self, ann: Person):
        await ann.record(activity_date="2025-06-02T08:00:00Z", tags=["race", "hills"])
        await ann.record(activity_date="2025-07-02T08:00:00Z", tags=["Race"])
        await ann.record(activity_date="2025-08-02T08:00:00Z", activity_type="ride")
        year = "period=monthly&from=2025-01-01&to=2025-12-31"
        assert [*await counts(ann, f"{year}&type=ride")] == ["2025-08"]
        assert [*await counts(ann, f"{year}&type=ride&type=run")] == ["2025-06", "2025-07", "2025-08"]
        assert [*await counts(ann, f"{year}&tag=RACE")] == ["2025-06", "2025-07"]
        assert [*await counts(ann, f"{year}&tag=race&tag=hills")] == ["2025-06"]
        assert [*await counts(ann, f"{year}&exclude_tag=hills")] == ["2025-07", "2025-08"]

    async def test_one_sees_only_ones_own(self, ann: Person, bob: Person):
        await ann.record(activity_date="2025-06-02T08:00:00Z")
        assert (await bob.get(YEAR)).json()["total"] == NOTHING

    async def test_the_second_answer_comes_from_the_cache(self, ann: Person):
        await ann.record(activity_date="2025-06-02T08:00:00Z")
        first, second = await ann.get(YEAR), await ann.get(YEAR)
        assert [first.headers["x-cache"], second.headers["x-cache"]] == ["MISS", "HIT"]
        assert first.content == second.content

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("period=yearly", "period"),
            ("from=yesterday", "from"),
            ("to=2025-13-01", "to"),
            ("from=2025-02-01&to=2025-01-01", "from"),
            ("period=daily&from=2024-01-01&to=2025-02-04", "from"),
            ("period=weekly&from=2020-01-01&to=2025-01-01", "from"),
            ("period=monthly&from=2010-01-01&to=2025-01-01", "from"),
            ("to=9999-12-31", "to"),
            ("type=jump", "type"),
            ("tag=", "tag"),
            ("exclude_tag=%00", "exclude_tag"),
            ("group=type", "group"),
        ],
    )
    async def test_what_cannot_be_answered_is_refused_by_name(self, ann: Person, query: str, field: str):
        response = await ann.get(f"/users/me/stats?{query}")
        assert response.status_code == 422
        assert [error["field"] for error in response.json()["errors"]] == [field]

    async def test_as_much_as_may_be_asked_for_is_answered(self, ann: Person):
        for query, most in [
            ("period=daily&from=2024-01-01&to=2025-02-03", 400),
            ("period=weekly&from=2020-01-06&to=2023-01-29", 160),
            ("period=monthly&from=2015-01-31&to=2024-12-01", 120),
        ]:
            assert len((await stats(ann, query))["buckets"]) == most


class TestMidnight:
    async def test_no_copy_is_shown_after_the_persons_midnight(self, own_api: Api):
        ann = await own_api.person(timezone="Australia/Brisbane")
        clock = ManualClock(datetime(2025, 6, 2, 13, 59, 59, tzinfo=UTC))
        object.__setattr__(own_api.container.statistics(), "clock", clock)
        await ann.record(activity_date="2025-06-01T02:00:00Z", timezone="Australia/Brisbane")
        before = await stats(ann, "period=daily")
        assert (before["last_day"], before["streaks"]["current"]["days"]) == ("2025-06-02", 1)
        clock.advance(timedelta(seconds=1))
        after = await stats(ann, "period=daily")
        assert (after["last_day"], after["streaks"]["current"]["days"]) == ("2025-06-03", 0)


class TestTags:
    async def names(self, person: Person) -> dict[str, int]:
        response = await person.get("/tags")
        assert response.status_code == 200
        return {one["name"]: one["activities"] for one in response.json()["items"]}

    async def test_they_are_listed_with_counts_and_fresh_after_every_write(self, ann: Person, bob: Person):
        one = await ann.record(tags=["race", "hills"])
        await ann.record(tags=["race"])
        await bob.record(tags=["theirs"])
        assert await self.names(ann) == {"race": 2, "hills": 1}
        assert (await ann.get("/tags")).headers["x-cache"] == "HIT"
        await ann.patch(f"/activities/{one['id']}", json={"tags": ["hills"]})
        assert await self.names(ann) == {"hills": 1, "race": 1}
        await ann.delete(f"/activities/{one['id']}")
        assert await self.names(ann) == {"race": 1}

    async def test_a_renamed_tag_shows_in_every_answer_at_once(self, ann: Person):
        one = await ann.record(tags=["a", "race"], activity_date="2025-06-02T08:00:00Z")
        path, tagged = f"/activities/{one['id']}", f"{YEAR}&tag=contest"
        for warm in (path, "/activities?tag=race", "/tags", tagged):
            await ann.get(warm)
        renamed = await ann.patch("/tags/RACE", json={"name": " Contest "})
        assert (renamed.status_code, renamed.json()) == (200, {"name": "contest"})
        read = await ann.get(path)
        assert (read.json()["tags"], read.headers["etag"]) == (["a", "contest"], '"2"')
        assert await ann.titles("tag=race") == []
        assert await self.names(ann) == {"a": 1, "contest": 1}
        assert (await ann.get(tagged)).json()["total"]["activities"] == 1

    async def test_one_change_of_a_persons_tags_is_made_at_a_time_and_another_may_wait(self, api: Api, ann: Person):
        await ann.record(tags=["a", "b", "c"])
        turns: TagTurns = api.app.dependencies["tag_turns"].dependency()  # type: ignore[union-attr]

        async def waits() -> bool:
            return turns.count == 2

        async with turns.of(ann.id):
            waiting = asyncio.create_task(ann.patch("/tags/a", json={"name": "d"}))
            await eventually(waits)
            refused = await ann.delete("/tags/b")
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert int(refused.headers["retry-after"]) >= 1
            assert not waiting.done()
        assert (await waiting).status_code == 200
        assert (await ann.delete("/tags/b")).status_code == 204

    async def test_two_tags_are_merged_into_one(self, ann: Person):
        await ann.record(tags=["race", "contest"])
        await ann.record(tags=["race"])
        await ann.patch("/tags/race", json={"name": "contest"})
        assert await self.names(ann) == {"contest": 2}

    async def test_a_deleted_tag_is_off_all_activities_in_the_trash_too(self, ann: Person, bob: Person):
        one = await ann.record(tags=["été/a b", "x"])
        theirs = await bob.record(tags=["x"])
        await ann.delete(f"/activities/{one['id']}")
        assert (await ann.delete("/tags/x")).status_code == 204
        restored = await ann.post(f"/activities/{one['id']}/restore")
        assert restored.json()["tags"] == ["été/a b"]
        assert (await ann.delete("/tags/x")).status_code == 404
        assert (await bob.get(f"/activities/{theirs['id']}")).json()["tags"] == ["x"]
        off = await ann.delete("/tags/%C3%A9t%C3%A9%2Fa%20b")
        assert off.status_code == 204, off.text
        assert await self.names(ann) == {}

    async def test_more_activities_than_one_statement_changes_are_all_renamed(self, api: Api, ann: Person):
        repo = api.container.activity_repo()
        for _ in range(3):
            many = [an_activity(user_id=ann.id, tags=("race",)) for _ in range(400)]
            await repo.add_all(many, messages=messages())
        assert (await ann.patch("/tags/race", json={"name": "contest"})).status_code == 200
        assert await self.names(ann) == {"contest": 1_200}

    async def test_a_tag_that_nothing_has_is_not_found(self, ann: Person):
        await ann.record(tags=["race"])
        for response in (
            await ann.patch("/tags/none", json={"name": "x"}),
            await ann.patch("/tags/none", json={"name": "none"}),
            await ann.delete("/tags/none"),
        ):
            assert (response.status_code, response.json()["code"]) == (404, "tag_not_found")
        same = await ann.patch("/tags/race", json={"name": "Race"})
        assert (same.status_code, same.json()) == (200, {"name": "race"})

    @pytest.mark.parametrize("name", ["", " ", "x" * 51, "a\u200bb", "a\0b"])
    async def test_a_name_that_no_tag_may_have_is_refused(self, ann: Person, name: str):
        await ann.record(tags=["race"])
        response = await ann.patch("/tags/race", json={"name": name})
        assert response.status_code == 422
        assert response.json()["errors"][0]["field"] == "name"
