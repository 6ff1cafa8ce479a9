"""Kept files over HTTP: given back, told apart from what is there already, uploaded together and again."""

import asyncio
import gzip
import hashlib
from datetime import timedelta
from typing import Any

import pytest

from fitness.domain.model.objects import UNNAMED_FOR
from fitness.domain.use_cases.originals import ObjectSweep
from fitness.ports.objects import StoredObject
from tests.files import A_TRACK, MORNING, FitFile, gpx, lap, tcx, tcx_activity, track
from tests.harness.api import Api, Person
from tests.recorded import a_run, as_gpx

A_RUN = FitFile().session().clock(timedelta(hours=2)).content()
"""The same run as A_TRACK."""

A_RIDE = gpx(track("2026-05-02T06:00:00Z", "2026-05-02T07:00:00Z", kind="cycling"))
DAMAGED = A_RUN[:20]


async def stored(api: Api) -> dict[str, StoredObject]:
    return {one.name: one async for some in api.container.objects().list() for one in some}


class TestFile:
    async def test_a_file_is_given_back_as_it_came(self, ann: Person):
        packed = gzip.compress(A_TRACK)
        for content, kind in ((A_RUN, "application/vnd.ant.fit"), (packed, "application/gzip")):
            (one,) = (await ann.upload(content, name="rides/Höhe 1.x", query="on_duplicate=keep")).json()["items"]
            response = await ann.get(f"/activities/{one['id']}/file")
            assert (response.status_code, response.content) == (200, content)
            assert response.headers["content-type"] == kind
            assert response.headers["content-length"] == str(len(content))
            assert response.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
            assert response.headers["content-disposition"] == (
                "attachment; filename=\"H_he 1.x\"; filename*=UTF-8''H%C3%B6he%201.x"
            )
            assert response.headers["cache-control"] == "private, no-cache"

    async def test_a_large_file_comes_whole(self, ann: Person):
        content = A_TRACK.replace(b"</gpx>", b"<!-- x -->\n" * 300_000 + b"</gpx>")
        (one,) = (await ann.upload(content)).json()["items"]
        assert (await ann.get(f"/activities/{one['id']}/file")).content == content

    async def test_who_has_it_is_not_sent_it_again(self, ann: Person):
        (one,) = (await ann.upload(A_TRACK)).json()["items"]
        path = f"/activities/{one['id']}/file"
        tag = (await ann.get(path)).headers["etag"]
        for named in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            response = await ann.get(path, headers={"If-None-Match": named})
            assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", tag)
        assert (await ann.get(path, headers={"If-None-Match": '"x"'})).status_code == 200

    @pytest.mark.parametrize("tag_first", [True, False])
    async def test_if_none_match_in_two_lines_costs_nobody_the_body(self, ann: Person, tag_first: bool):
        (one,) = (await ann.upload(A_TRACK)).json()["items"]
        url = f"/api/v1/activities/{one['id']}/file"
        named = [f'"{hashlib.sha256(A_TRACK).hexdigest()}"', '"x"']
        lines = [("If-None-Match", tag) for tag in (named if tag_first else named[::-1])]
        response = await ann.http.get(url, headers=[("Authorization", f"Bearer {ann.token}"), *lines])
        assert (response.status_code, response.content) in [(200, A_TRACK), (304, b"")]

    async def test_a_head_says_the_same_without_the_body(self, ann: Person):
        (one,) = (await ann.upload(A_TRACK)).json()["items"]
        response = await ann.call("HEAD", f"/activities/{one['id']}/file")
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-length"] == str(len(A_TRACK))

    async def test_only_its_owner_gets_it(self, api: Api, ann: Person, bob: Person):
        (one,) = (await ann.upload(A_TRACK)).json()["items"]
        admin = await api.admin()
        for stranger in (bob, admin):
            response = await stranger.get(f"/activities/{one['id']}/file")
            assert (response.status_code, response.json()["code"]) == (404, "activity_not_found")

    async def test_what_was_typed_has_no_file(self, ann: Person):
        one = await ann.record()
        response = await ann.get(f"/activities/{one['id']}/file")
        assert (response.status_code, response.json()["code"]) == (404, "recording_not_found")

    async def test_it_goes_into_the_trash_and_back_with_its_activity_and_is_gone_with_a_purge(
        self, api: Api, ann: Person
    ):
        (one,) = (await ann.upload(A_TRACK)).json()["items"]
        path = f"/activities/{one['id']}"
        await ann.delete(path)
        response = await ann.get(f"{path}/file")
        assert (response.status_code, response.json()["code"]) == (410, "activity_deleted")
        await ann.post(f"{path}/restore")
        assert (await ann.get(f"{path}/file")).content == A_TRACK
        await ann.delete(path)
        before = await stored(api)
        admin = await api.admin()
        purged = await admin.delete(f"/admin{path}", params={"reason": "asked for"})
        assert purged.status_code == 204
        assert await api.container.sweep().delete_released() >= 1
        assert len(before.keys() - (await stored(api)).keys()) >= 1

    async def test_the_activities_of_one_recording_share_it_and_a_group(self, ann: Person):
        triathlon = FitFile().session("swimming").session("cycling").session("running").content()
        items = (await ann.upload(triathlon)).json()["items"]
        for one in items:
            assert (await ann.get(f"/activities/{one['id']}/file")).content == triathlon

    async def test_a_sweep_spares_what_is_named_and_what_is_young(self, api: Api, ann: Person):
        (one,) = (await ann.upload(A_TRACK)).json()["items"]
        young = await api.container.objects().put(b"of an import under way")
        assert await api.container.sweep().sweep() >= 0
        assert young in await stored(api)

        class InTwoHours:
            def now(self) -> Any:
                return api.container.clock().now() + UNNAMED_FOR * 2

        sweep = ObjectSweep(api.container.objects(), api.container.object_names(), InTwoHours())
        assert await sweep.sweep() >= 1
        assert young not in await stored(api)
        assert (await ann.get(f"/activities/{one['id']}/file")).content == A_TRACK


class TestDuplicates:
    async def test_the_same_recording_in_another_format_is_told(self, ann: Person, bob: Person):
        (one,) = (await ann.upload(A_RUN)).json()["items"]
        for content, matched_on in ((A_TRACK, "start"), (gzip.compress(A_RUN), "file")):
            response = await ann.upload(content)
            body = response.json()
            assert (response.status_code, body["code"]) == (409, "duplicate_activity")
            assert (body["existing_id"], body["matched_on"]) == (one["id"], matched_on)
        assert (await bob.upload(A_TRACK)).status_code == 201

    async def test_an_origin_is_told_as_such(self, ann: Person):
        one = await ann.record(source="watch", external_id="w-1")
        body = {"activity_type": "run", "activity_date": "2026-11-20T12:30:00Z", "duration_minutes": 30}
        response = await ann.post("/activities", json=body | {"source": "watch", "external_id": "w-1"})
        assert (response.json()["existing_id"], response.json()["matched_on"]) == (one["id"], "external_id")

    async def test_it_may_be_skipped_or_kept(self, ann: Person):
        (one,) = (await ann.upload(A_RUN)).json()["items"]
        skipped = await ann.upload(A_TRACK, query="on_duplicate=skip")
        assert skipped.status_code == 200
        assert skipped.json() == {
            "items": [],
            "warnings": [],
            "results": [
                {
                    "file_name": "recording",
                    "outcome": "skipped",
                    "activity_ids": [],
                    "existing_ids": [one["id"]],
                    "warnings": [],
                    "recovered": False,
                    "problem": None,
                }
            ],
        }
        assert (await ann.upload(A_TRACK, query="on_duplicate=keep")).status_code == 201
        assert (await ann.upload(A_TRACK, query="on_duplicate=keep")).status_code == 409
        assert (await ann.get("/activities")).json()["total"] == 2

    async def test_what_is_no_way_to_treat_one_is_refused(self, ann: Person):
        response = await ann.upload(A_TRACK, query="on_duplicate=replace")
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "on_duplicate")
        assert "refuse, skip, keep" in response.json()["errors"][0]["message"]

    async def test_eleven_files_of_three_rides_make_three_activities(self, ann: Person):
        made = [await ann.upload(content) for content in rides()]
        assert [one.status_code for one in made].count(201) == 3
        assert [one.status_code for one in made].count(409) == 8
        assert (await ann.get("/activities")).json()["total"] == 3

    @pytest.mark.engines
    async def test_also_where_they_come_at_once(self, ann: Person, engines: object):
        answers = await asyncio.gather(*(ann.upload(content) for content in rides()))
        assert [one.status_code for one in answers].count(201) == 3
        assert (await ann.get("/activities")).json()["total"] == 3


def rides() -> list[bytes]:
    """Three rides in eleven files."""
    found = []
    for day in (1, 2, 3):
        start = MORNING + timedelta(days=day)
        times = [f"2026-05-0{day + 1}T06:{minute:02}:{3 + day:02}Z" for minute in (0, 10, 20)]
        laps = lap(times[0], seconds=1200, metres=9000, kcal=300, average=120, highest=150)
        found += [
            FitFile().session("cycling", start=start, timer_s=1200, elapsed_s=1200).content(),
            gpx(track(*times, kind="cycling")),
            gpx(track(*times, kind="")),
            tcx(tcx_activity(laps, sport="Biking")),
        ]
    return [*found[:10], gzip.compress(found[10])]


class TestForms:
    async def test_each_of_several_files_has_a_result(self, ann: Person):
        response = await ann.upload(A_TRACK, DAMAGED, A_RIDE, A_RUN)
        assert response.status_code == 201
        body = response.json()
        run, ride = body["items"]
        assert [one["activity_type"] for one in body["items"]] == ["run", "ride"]
        assert [(one["outcome"], one["activity_ids"]) for one in body["results"]] == [
            ("imported", [run["id"]]),
            ("refused", []),
            ("imported", [ride["id"]]),
            ("refused", []),
        ]
        damaged, duplicate = (one["problem"] for one in body["results"] if one["problem"])
        assert (damaged["status"], damaged["code"]) == (422, "file_corrupt")
        assert (duplicate["status"], duplicate["existing_id"], duplicate["matched_on"]) == (409, run["id"], "start")

    async def test_where_none_makes_an_activity_the_answer_is_200(self, ann: Person):
        response = await ann.upload(DAMAGED, DAMAGED)
        assert (response.status_code, response.json()["items"]) == (200, [])

    async def test_nothing_but_files_is_in_the_form(self, ann: Person):
        files = [("file", ("a", A_TRACK)), ("title", (None, b"Mine")), ("file", (None, b"text"))]
        response = await ann.post("/activities/import", files=files)
        assert [one["field"] for one in response.json()["errors"]] == ["file", "title"]
        assert (await ann.get("/activities")).json()["total"] == 0


class TestIdempotency:
    async def test_a_request_that_is_sent_again_gets_its_first_answer(self, ann: Person, bob: Person):
        named = {"Idempotency-Key": "upload-1"}
        first = await ann.upload(A_TRACK, headers=named)
        (one,) = first.json()["items"]
        await ann.patch(f"/activities/{one['id']}", json={"title": "Mine"})
        again = await ann.upload(A_TRACK, headers=named)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
        assert again.json() == first.json()
        other = await ann.upload(A_RIDE, headers=named)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert (await bob.upload(A_TRACK, headers=named)).status_code == 201
        assert (await ann.get("/activities")).json()["total"] == 1

    async def test_the_first_answer_says_what_was_recovered_and_skipped(self, ann: Person):
        cut = as_gpx(a_run())[:40_000]
        first = await ann.upload(cut, headers={"Idempotency-Key": "cut"})
        assert first.json()["results"][0]["recovered"]
        run = (await ann.upload(A_TRACK)).json()["items"][0]
        both = gpx(
            track("2026-05-01T06:00:00Z", "2026-05-01T06:05:00Z", "2026-05-01T06:10:00Z"),
            track("2026-05-02T06:00:00Z", "2026-05-02T07:00:00Z", kind="cycling"),
        )
        skipped = await ann.upload(both, query="on_duplicate=skip", headers={"Idempotency-Key": "skip"})
        assert skipped.json()["results"][0]["existing_ids"] == [run["id"]]
        for content, query, answer, key in ((cut, "", first, "cut"), (both, "on_duplicate=skip", skipped, "skip")):
            again = await ann.upload(content, query=query, headers={"Idempotency-Key": key})
            assert again.headers["idempotent-replayed"] == "true"
            assert (again.status_code, again.json()) == (answer.status_code, answer.json())

    async def test_many_at_once_make_one_activity(self, ann: Person):
        named = {"Idempotency-Key": "upload-1"}
        answers = await asyncio.gather(*(ann.upload(A_TRACK, headers=named) for _ in range(10)))
        assert {one.status_code for one in answers} <= {201, 409}
        made = [one.json()["items"][0]["id"] for one in answers if one.status_code == 201]
        assert len({*made}) == 1
        assert (await ann.upload(A_TRACK, headers=named)).json()["items"][0]["id"] == made[0]
        assert (await ann.get("/activities")).json()["total"] == 1

    async def test_files_that_failed_are_tried_again_and_the_others_answered(self, ann: Person):
        named = {"Idempotency-Key": "upload-1"}
        first = (await ann.upload(A_TRACK, DAMAGED, headers=named)).json()
        again = await ann.upload(A_TRACK, A_RIDE, headers=named)
        assert "idempotent-replayed" not in again.headers
        run, ride = again.json()["items"]
        assert [run] == first["items"]
        assert ride["activity_type"] == "ride"
        assert (await ann.get("/activities")).json()["total"] == 2

    async def test_a_key_of_other_characters_is_refused(self, ann: Person):
        response = await ann.upload(A_TRACK, headers={"Idempotency-Key": "two words"})
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
