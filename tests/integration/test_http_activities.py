"""/activities over HTTP: the whole of one's own, and nothing of anybody else's."""

import asyncio
from typing import Any

import pytest

from fitness.domain.model.users import Caller
from tests.harness.api import Api, Person, activity_body

UNKNOWN_ID = 2**40

FULL = activity_body(
    activity_date="2024-12-31T23:00:00Z",
    timezone="Europe/Paris",
    title="New Year run",
    elapsed_minutes=61.0004,
    distance_km=10.1234,
    elevation_gain_m=12,
    calories_kcal=640,
    average_heart_rate_bpm=141,
    max_heart_rate_bpm=178,
    is_indoor=False,
    notes="cold",
    tags=["Race", "race ", "Long"],
    source="watch",
    external_id="w-1",
)


class TestCreate:
    async def test_an_activity_comes_back_in_the_form_it_is_kept_in(self, ann: Person):
        response = await ann.post("/activities", json=FULL)
        assert response.status_code == 201
        body = response.json()
        assert response.headers["location"] == f"/api/v1/activities/{body['id']}"
        assert response.headers["etag"] == '"1"'
        assert body["user_id"] == ann.id
        assert body["local_date"] == "2025-01-01"
        assert (body["distance_km"], body["elapsed_minutes"], body["is_indoor"]) == (10.123, 61, False)
        assert body["tags"] == ["race", "long"]
        assert (body["version"], body["deleted_at"]) == (1, None)
        assert (await ann.get(f"/activities/{body['id']}")).json() == body

    async def test_the_zone_is_the_profiles_where_none_is_given(self, api: Api):
        person = await api.person(timezone="Asia/Tokyo")
        body = await person.record(activity_date="2026-05-01T15:30:00Z")
        assert (body["timezone"], body["local_date"]) == ("Asia/Tokyo", "2026-05-02")

    async def test_every_broken_rule_is_named(self, ann: Person):
        wrong = activity_body(
            duration_minutes=0,
            distance_km=-1,
            title=7,
            average_heart_rate_bpm=180,
            max_heart_rate_bpm=150,
            timezone="Mars/Olympus",
        )
        response = await ann.post("/activities", json=wrong | {"colour": "red"})
        assert response.status_code == 422
        problem = response.json()
        assert problem["code"] == "invalid_fields"
        assert {one["field"] for one in problem["errors"]} == {"title", "colour"}
        response = await ann.post("/activities", json=wrong | {"title": "seven"})
        fields = {one["field"] for one in response.json()["errors"]}
        assert fields == {"duration_minutes", "distance_km", "average_heart_rate_bpm", "timezone"}

    @pytest.mark.parametrize("missing", ["activity_type", "activity_date", "duration_minutes"])
    async def test_what_is_required_is_asked_for(self, ann: Person, missing: str):
        body = activity_body()
        del body[missing]
        response = await ann.post("/activities", json=body)
        assert response.json()["errors"] == [{"field": missing, "message": "is required"}]

    async def test_the_same_origin_twice_is_refused_with_the_first_ones_id(self, ann: Person):
        first = await ann.record(source="watch", external_id="w-1")
        response = await ann.post("/activities", json=activity_body(source="watch", external_id="w-1"))
        assert response.status_code == 409
        assert (response.json()["code"], response.json()["existing_id"]) == ("duplicate_activity", first["id"])

    async def test_a_token_that_outlived_its_account_creates_nothing(self, api: Api):
        token = api.container.access_tokens().issue(Caller(999_999, "session")).token
        ghost = Person(api.http, 999_999, "", token)
        for body in (activity_body(), activity_body(timezone="UTC")):
            answer = await ghost.post("/activities", json=body)
            assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


class TestIdempotency:
    async def test_a_repeated_request_gets_the_stored_answer(self, ann: Person):
        headers = {"Idempotency-Key": "0b6c1e"}
        first = await ann.post("/activities", json=FULL, headers=headers)
        await ann.patch(f"/activities/{first.json()['id']}", json={"title": "changed since"})
        again = await ann.post("/activities", json=FULL, headers=headers)
        assert (first.status_code, again.status_code) == (201, 201)
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json() == first.json()
        assert again.headers["location"] == first.headers["location"]

    async def test_the_key_with_another_body_is_refused(self, ann: Person):
        headers = {"Idempotency-Key": "0b6c1e"}
        await ann.post("/activities", json=activity_body(), headers=headers)
        response = await ann.post("/activities", json=activity_body(title="other"), headers=headers)
        assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")

    @pytest.mark.parametrize("key", ["", " ", "x" * 256, "clé"])
    async def test_a_key_that_is_none_is_refused(self, ann: Person, key: str):
        response = await ann.post("/activities", json=activity_body(), headers={"Idempotency-Key": key.encode()})
        assert response.status_code == 422
        assert response.json()["errors"][0]["field"] == "Idempotency-Key"

    async def test_50_at_once_with_one_key_make_one_activity(self, ann: Person):
        headers = {"Idempotency-Key": "0b6c1e"}
        posts = [ann.post("/activities", json=activity_body(), headers=headers) for _ in range(50)]
        answers = await asyncio.gather(*posts)
        statuses = {answer.status_code for answer in answers}
        assert statuses <= {201, 409}
        created = [answer for answer in answers if answer.status_code == 201]
        assert sum("idempotent-replayed" not in answer.headers for answer in created) == 1
        assert len({answer.json()["id"] for answer in created}) == 1
        for answer in answers:
            if answer.status_code == 409:
                assert answer.json()["code"] == "request_in_flight"
                assert answer.headers["retry-after"] == "1"
        assert (await ann.get("/activities")).json()["total"] == 1


class TestGet:
    async def test_a_known_version_answers_304_without_a_body(self, ann: Person):
        body = await ann.record()
        path = f"/activities/{body['id']}"
        for known in ('"1"', 'W/"1"', '"9", "1"', "*"):
            response = await ann.get(path, headers={"If-None-Match": known})
            assert (response.status_code, response.content) == (304, b"")
            assert response.headers["etag"] == '"1"'
        for unknown in ('"2"', "1", "rubbish", '"' + "1" * 40 + '"'):
            assert (await ann.get(path, headers={"If-None-Match": unknown})).status_code == 200

    async def test_somebody_elses_looks_exactly_like_an_unknown_one(self, ann: Person, bob: Person):
        theirs = await ann.record()
        assert (await ann.get(f"/activities/{theirs['id']}")).headers["x-cache"] == "HIT"
        foreign = await bob.get(f"/activities/{theirs['id']}")
        unknown = await bob.get(f"/activities/{UNKNOWN_ID}")
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.text.replace(str(theirs["id"]), "#") == unknown.text.replace(str(UNKNOWN_ID), "#")
        own = {"date", "content-length"}
        assert {*foreign.headers} - own == {*unknown.headers} - own

    @pytest.mark.parametrize("state", ["live", "trashed"])
    async def test_no_route_touches_somebody_elses(self, ann: Person, bob: Person, state: str):
        theirs = await ann.record()
        path = f"/activities/{theirs['id']}"
        if state == "trashed":
            await ann.delete(path)
        for answer in (
            await bob.get(path),
            await bob.patch(path, json={"title": "mine now"}),
            await bob.delete(path),
            await bob.post(f"{path}/restore"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "activity_not_found")
        assert (await ann.get(path)).status_code == (200 if state == "live" else 410)

    async def test_without_a_token_nothing_is_said(self, api: Api, ann: Person):
        theirs = await ann.record()
        response = await api.http.get(f"/api/v1/activities/{theirs['id']}")
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        bad = await api.http.get("/api/v1/activities", headers={"Authorization": "Bearer x.y.z"})
        assert (bad.status_code, bad.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')


class TestList:
    async def test_pages_and_cursors_cut_the_same_list(self, ann: Person):
        for minute in (0, 5, 5, 7, 9):
            await ann.record(title=str(minute), activity_date=f"2026-11-20T12:{minute:02}:00Z")
        whole = (await ann.get("/activities")).json()
        assert (whole["page"], whole["limit"], whole["total"], whole["next_cursor"]) == (1, 20, 5, None)
        by_number = [
            one for page in (1, 2, 3) for one in (await ann.get(f"/activities?page={page}&limit=2")).json()["items"]
        ]
        assert by_number == whole["items"]
        by_cursor = []
        answer = (await ann.get("/activities?limit=2")).json()
        while True:
            by_cursor += answer["items"]
            if answer["next_cursor"] is None:
                break
            answer = (await ann.get(f"/activities?limit=2&cursor={answer['next_cursor']}")).json()
            assert answer["page"] is None
        assert by_cursor == whole["items"]

    @pytest.mark.parametrize(
        ("query", "titles"),
        [
            ("type=ride", ["ride"]),
            ("from=2026-11-02&to=2026-11-02", ["swim"]),
            ("from=2026-11-02", ["ride", "swim"]),
            ("to=2026-11-02T08:00:00Z", ["run"]),
            ("to=2026-11-02T08:00:00.001Z", ["swim", "run"]),
            ("tag=Hills", ["ride", "run"]),
            ("tag=hills&tag=race", ["run"]),
            ("exclude_tag=race", ["ride", "swim"]),
            ("q=WIN", ["swim"]),
            ("q=%25", []),
            ("type=run&tag=race&q=start", ["run"]),
        ],
    )
    async def test_filters_narrow_it(self, ann: Person, query: str, titles: list[str]):
        await ann.record(title="run", activity_date="2026-11-01T08:00:00Z", tags=["hills", "race"], notes="false start")
        await ann.record(title="swim", activity_type="swim", activity_date="2026-11-02T08:00:00Z", notes="windy")
        await ann.record(title="ride", activity_type="ride", activity_date="2026-11-03T08:00:00Z", tags=["hills"])
        assert await ann.titles(query) == titles
        assert (await ann.get(f"/activities?{query}")).json()["total"] == len(titles)

    @pytest.mark.parametrize(
        ("query", "fields"),
        [
            ("page=0", ["page"]),
            ("limit=101", ["limit"]),
            ("limit=x&page=y", ["limit", "page"]),
            ("page=101&limit=100", ["page"]),
            ("cursor=rubbish", ["cursor"]),
            ("cursor=", ["cursor"]),
            ("cursor=kgEC&page=1", ["cursor"]),
            ("type=flying", ["type"]),
            ("from=yesterday&to=2026-02-30", ["from", "to"]),
            ("from=2026-11-01T08:00:00", ["from"]),
            ("q=%00", ["q"]),
            ("tag=", ["tag"]),
            ("colour=red&limit=0", ["colour", "limit"]),
            ("page=1&page=2", ["page"]),
            ("from_=2026-11-01", ["from_"]),
        ],
    )
    async def test_a_query_that_makes_no_sense_is_refused_by_parameter(
        self, ann: Person, query: str, fields: list[str]
    ):
        response = await ann.get(f"/activities?{query}")
        assert response.status_code == 422, response.text
        assert sorted(one["field"] for one in response.json()["errors"]) == sorted(fields)

    async def test_the_deepest_page_is_reachable_and_empty(self, ann: Person):
        response = await ann.get("/activities?page=100&limit=100")
        assert (response.status_code, response.json()["items"]) == (200, [])


class TestUpdate:
    async def test_a_merge_patch_keeps_what_is_absent_and_clears_what_is_null(self, ann: Person):
        before = (await ann.post("/activities", json=FULL)).json()
        changes = {"title": None, "tags": None, "distance_km": 0, "activity_type": "trail_run", "is_indoor": None}
        response = await ann.patch(f"/activities/{before['id']}", json=changes)
        assert (response.status_code, response.headers["etag"]) == (200, '"2"')
        after = response.json()
        changed: dict[str, Any] = {
            "title": None,
            "tags": [],
            "distance_km": 0,
            "activity_type": "trail_run",
            "is_indoor": None,
            "version": 2,
        }
        assert after == before | changed | {"updated_at": after["updated_at"]}
        assert after["updated_at"] > before["updated_at"]
        assert (await ann.get(f"/activities/{before['id']}")).json() == after

    async def test_a_cleared_zone_is_the_profiles_and_the_local_date_follows(self, api: Api):
        person = await api.person(timezone="Asia/Tokyo")
        body = await person.record(activity_date="2026-05-01T15:30:00Z", timezone="UTC")
        assert body["local_date"] == "2026-05-01"
        after = (await person.patch(f"/activities/{body['id']}", json={"timezone": None})).json()
        assert (after["timezone"], after["local_date"]) == ("Asia/Tokyo", "2026-05-02")

    @pytest.mark.parametrize("changes", [{}, {"title": "same"}, {"tags": ["A "]}])
    async def test_a_patch_that_changes_nothing_makes_no_version(self, ann: Person, changes: dict[str, Any]):
        body = await ann.record(title="same", tags=["a"])
        response = await ann.patch(f"/activities/{body['id']}", json=changes)
        assert (response.status_code, response.json()) == (200, body)

    @pytest.mark.parametrize(
        "changes",
        [
            {"activity_type": None},
            {"duration_minutes": None},
            {"activity_date": None},
            {"id": 7},
            {"user_id": 7},
            {"version": 7},
            {"local_date": "2026-01-01"},
            {"deleted_at": None},
            {"source": "x"},
            {"group_id": 1},
            {"elapsed_minutes": 29},
            {"duration_minutes": 50_000},
        ],
    )
    async def test_what_may_not_change_is_refused(self, ann: Person, changes: dict[str, Any]):
        body = await ann.record()
        response = await ann.patch(f"/activities/{body['id']}", json=changes)
        assert response.status_code == 422
        assert [one["field"] for one in response.json()["errors"]] == list(changes)
        assert (await ann.get(f"/activities/{body['id']}")).json() == body

    async def test_if_match_lets_only_the_version_through_that_it_names(self, ann: Person):
        body = await ann.record()
        path = f"/activities/{body['id']}"
        for stale in ('"2"', 'W/"1"', '"rubbish"'):
            refused = await ann.patch(path, json={"title": "x"}, headers={"If-Match": stale})
            assert (refused.status_code, refused.json()["code"]) == (412, "version_mismatch")
        assert (await ann.patch(path, json={"title": "x"}, headers={"If-Match": '"1"'})).status_code == 200
        assert (await ann.patch(path, json={"title": "y"}, headers={"If-Match": "*"})).status_code == 200
        assert (await ann.patch(path, json={"title": "z"}, headers={"If-Match": '"3", "7"'})).status_code == 200

    @pytest.mark.parametrize("apart", [False, True])
    async def test_a_condition_may_take_several_lines_and_any_number_of_tags(self, ann: Person, apart: bool):
        path = f"/activities/{(await ann.record())['id']}"
        tags = ['"1"', *[f'"{number}"' for number in range(100, 150)]]

        def meant(name: str, tags: list[str]) -> list[tuple[str, str]]:
            return [(name, tag) for tag in tags] if apart else [(name, ", ".join(tags))]

        async def asked(method: str, headers: list[tuple[str, str]], **given: Any) -> int:
            sent = [("Authorization", f"Bearer {ann.token}"), *headers]
            return (await ann.http.request(method, f"/api/v1{path}", headers=sent, **given)).status_code

        for order in (tags, tags[::-1]):
            assert await asked("GET", meant("If-None-Match", order)) == 304
            assert await asked("DELETE", meant("If-None-Match", order)) == 412
            assert await asked("PATCH", meant("If-Match", order), json={}) == 200
        assert await asked("GET", meant("If-None-Match", tags[1:])) == 200
        assert await asked("PATCH", meant("If-Match", tags[1:]), json={}) == 412

    @pytest.mark.parametrize(("said", "status"), [('"9", ,"1"', 200), (', "1",', 200), (",*", 200), ('"01"', 412)])
    async def test_empty_elements_of_a_condition_say_nothing_and_tags_are_compared_as_text(
        self, ann: Person, said: str, status: int
    ):
        path = f"/activities/{(await ann.record())['id']}"
        assert (await ann.patch(path, json={"title": "x"}, headers={"If-Match": said})).status_code == status

    async def test_of_two_writers_with_one_version_one_wins(self, ann: Person):
        body = await ann.record()
        attempts = [
            ann.patch(f"/activities/{body['id']}", json={"title": f"no {n}"}, headers={"If-Match": '"1"'})
            for n in range(8)
        ]
        statuses = sorted([answer.status_code for answer in await asyncio.gather(*attempts)])
        assert statuses == [200] + [412] * 7

    async def test_writers_without_a_version_all_go_through(self, ann: Person):
        body = await ann.record()
        fields = ["title", "notes", "distance_km", "calories_kcal"]
        values = ["t", "n", 1.5, 100]
        patches = [
            ann.patch(f"/activities/{body['id']}", json={field: value})
            for field, value in zip(fields, values, strict=True)
        ]
        assert {answer.status_code for answer in await asyncio.gather(*patches)} == {200}
        after = (await ann.get(f"/activities/{body['id']}")).json()
        assert [after[field] for field in fields] == values
        assert after["version"] == 5


class TestDeleteAndRestore:
    async def test_a_deleted_activity_is_gone_from_sight_and_can_be_restored(self, ann: Person):
        body = await ann.record(title="keep me", tags=["a"])
        path = f"/activities/{body['id']}"
        deleted = await ann.delete(path)
        assert (deleted.status_code, deleted.content) == (204, b"")
        gone = await ann.get(path)
        assert (gone.status_code, gone.json()["restore"]) == (410, f"/api/v1{path}/restore")
        assert (await ann.get("/activities")).json()["total"] == 0
        trash = (await ann.get("/activities/trash")).json()
        (trashed,) = trash["items"]
        assert (trashed["title"], trash["total"]) == ("keep me", 1)
        assert trashed["purge_at"][:10] > trashed["deleted_at"][:10]
        restored = await ann.http.post(gone.json()["restore"], headers={"Authorization": f"Bearer {ann.token}"})
        assert restored.status_code == 200
        changed = {"version": 3, "updated_at": restored.json()["updated_at"]}
        assert restored.json() == body | changed
        assert restored.headers["etag"] == '"3"'
        assert (await ann.get(path)).json() == restored.json()
        assert (await ann.get("/activities/trash")).json()["total"] == 0

    async def test_the_wrong_state_is_a_conflict(self, ann: Person):
        body = await ann.record()
        path = f"/activities/{body['id']}"
        live = await ann.post(f"{path}/restore")
        assert (live.status_code, live.json()["code"]) == (409, "activity_not_in_trash")
        await ann.delete(path)
        for answer in (await ann.delete(path), await ann.patch(path, json={"title": "x"})):
            assert (answer.status_code, answer.json()["code"]) == (409, "activity_in_trash")

    async def test_an_unknown_one_is_not_found(self, ann: Person):
        path = f"/activities/{UNKNOWN_ID}"
        for answer in (
            await ann.delete(path),
            await ann.patch(path, json={}),
            await ann.post(f"{path}/restore"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "activity_not_found")

    async def test_a_delete_with_another_version_is_refused(self, ann: Person):
        body = await ann.record()
        path = f"/activities/{body['id']}"
        assert (await ann.delete(path, headers={"If-Match": '"2"'})).status_code == 412
        assert (await ann.delete(path, headers={"If-Match": '"1"'})).status_code == 204

    async def test_restore_gives_way_to_a_new_one_of_the_same_origin(self, ann: Person):
        old = await ann.record(external_id="x")
        await ann.delete(f"/activities/{old['id']}")
        new = await ann.record(external_id="x")
        response = await ann.post(f"/activities/{old['id']}/restore")
        assert (response.status_code, response.json()["existing_id"]) == (409, new["id"])
