"""POST /activities/import: recorded files become activities, or a problem that says why not."""

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial

import httpx
import pytest

from fitness.domain.model.recordings import MAX_RECORDING_BYTES
from fitness.entrypoints.http.uploads import OWN_BYTES, SMALL_BYTES
from fitness.entrypoints.wiring.lifecycle import begin_drain
from tests.files import A_TRACK, FitFile, gpx, lap, tcx, tcx_activity, track
from tests.harness.api import Api, Person
from tests.harness.load import until
from tests.harness.servers import standing_still
from tests.hostile import declared, hostile_files
from tests.mutations import BASES, mutated
from tests.recorded import a_run, as_gpx
from tests.unit.contracts.recordings import TOO_MANY_TRACKS

LARGE = b"x" * (MAX_RECORDING_BYTES - 1_000)


async def test_a_file_becomes_an_activity(ann: Person):
    response = await ann.upload(FitFile().sport("Run").session().clock(timedelta(hours=2)).content())
    assert response.status_code == 201
    (one,) = response.json()["items"]
    assert (one["activity_type"], one["title"], one["source"]) == ("run", "Run", "import")
    assert (one["duration_minutes"], one["distance_km"]) == (30, 5)
    assert (one["timezone"], one["local_date"]) == ("+02:00", "2026-05-01")
    assert (await ann.get(f"/activities/{one['id']}")).json() == one


@pytest.mark.parametrize(
    "content",
    [
        A_TRACK,
        gzip.compress(A_TRACK),
        tcx(tcx_activity(lap("2026-05-01T06:00:00Z", seconds=600, metres=9, kcal=1, average=99, highest=99))),
        gzip.compress(FitFile().session().content()),
    ],
    ids=["gpx", "gpx.gz", "tcx", "fit.gz"],
)
async def test_every_format_is_read_plain_and_gzipped(ann: Person, content: bytes):
    response = await ann.upload(content)
    assert response.status_code == 201
    assert response.json()["items"][0]["activity_date"] == "2026-05-01T06:00:00Z"


async def test_several_sessions_become_several_activities(ann: Person):
    triathlon = FitFile().session("swimming").session("cycling").session("running").content()
    items = (await ann.upload(triathlon)).json()["items"]
    assert [one["activity_type"] for one in items] == ["swim", "ride", "run"]
    assert (await ann.get("/activities")).json()["total"] == 3


async def test_where_the_file_tells_no_offset_the_zone_is_the_profiles(api: Api):
    person = await api.person(timezone="Asia/Tokyo")
    nowhere = A_TRACK.replace(b' lat="', b' latitude="')
    (one,) = (await person.upload(nowhere)).json()["items"]
    assert one["timezone"] == "Asia/Tokyo"


async def test_the_zone_is_that_of_the_place_whatever_the_profile_says(api: Api):
    person = await api.person(timezone="Asia/Tokyo")
    (one,) = (await person.upload(A_TRACK)).json()["items"]
    assert (one["timezone"], one["local_date"]) == ("Europe/Ljubljana", "2026-05-01")


async def test_where_the_offset_fits_the_profiles_zone_that_is_it(api: Api):
    person = await api.person(timezone="Europe/Ljubljana")
    file = FitFile().session().clock(timedelta(hours=2)).content()
    (one,) = (await person.upload(file)).json()["items"]
    assert one["timezone"] == "Europe/Ljubljana"


async def test_the_same_file_again_is_a_conflict_packed_or_not(ann: Person, bob: Person):
    (one,) = (await ann.upload(A_TRACK)).json()["items"]
    for again in (A_TRACK, gzip.compress(A_TRACK)):
        response = await ann.upload(again)
        assert response.status_code == 409
        assert (response.json()["code"], response.json()["existing_id"]) == ("duplicate_activity", one["id"])
    assert (await bob.upload(A_TRACK)).status_code == 201


async def test_the_same_file_many_times_at_once_becomes_one_activity(ann: Person):
    statuses = [answer.status_code for answer in await asyncio.gather(*(ann.upload(A_TRACK) for _ in range(10)))]
    assert sorted(statuses) == [201] + [409] * 9
    assert (await ann.get("/activities")).json()["total"] == 1


async def test_a_deleted_import_may_be_imported_again(ann: Person):
    (one,) = (await ann.upload(A_TRACK)).json()["items"]
    await ann.delete(f"/activities/{one['id']}")
    assert (await ann.upload(A_TRACK)).status_code == 201


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "file_empty"),
        (gzip.compress(b"\n"), 422, "file_empty"),
        (b"PK\x03\x04 no activity", 422, "file_unknown"),
        (b'{"activity": "run"}', 422, "file_unknown"),
        (FitFile().session().content()[:30], 422, "file_corrupt"),
        (A_TRACK.replace(b"</trkseg>", b"</segment>"), 422, "file_corrupt"),
        (gzip.compress(A_TRACK)[:-20], 422, "file_corrupt"),
        (gpx(header='<!DOCTYPE x [<!ENTITY e "boom">]>'), 422, "file_corrupt"),
        (FitFile().content(), 422, "file_without_activity"),
        (gpx(), 422, "file_without_activity"),
        (gpx(track(None, None)), 422, "file_without_times"),
        (TOO_MANY_TRACKS, 422, "file_too_many_activities"),
        (gzip.compress(b"", mtime=0) * 100_000, 422, "file_corrupt"),
        (declared("windows-1252"), 422, "file_corrupt"),
        (gzip.compress(b"\0" * (MAX_RECORDING_BYTES + 1), compresslevel=1), 413, "file_too_large"),
        (b"x" * (MAX_RECORDING_BYTES + 1), 413, "file_too_large"),
        (b"x" * (MAX_RECORDING_BYTES + 1_000_000), 413, "body_too_large"),
    ],
)
async def test_what_is_no_activity_is_refused_with_a_code_that_says_why(
    ann: Person, content: bytes, status: int, code: str
):
    response = await ann.upload(content)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert (await ann.get("/activities")).json()["total"] == 0


async def test_a_session_of_impossible_times_is_left_out_and_alone_it_is_refused(ann: Person):
    endless_s = 43_201 * 60.0
    response = await ann.upload(FitFile().session(timer_s=endless_s, elapsed_s=endless_s).content())
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "duration_minutes"
    assert (await ann.get("/activities")).json()["total"] == 0
    response = await ann.upload(FitFile().session(timer_s=endless_s, elapsed_s=endless_s).session().content())
    assert [one["duration_minutes"] for one in response.json()["items"]] == [30]


@pytest.mark.parametrize("form", BASES)
async def test_files_with_faults_made_at_random_are_answered_like_any_other(ann: Person, form: str):
    answers = [await ann.upload(mutated(form, seed)) for seed in range(2_000, 2_020)]
    assert {answer.status_code for answer in answers} <= {201, 409, 422}


async def test_all_sessions_are_kept_or_none(ann: Person):
    file = FitFile().session().session("cycling").content()
    second = f"{hashlib.sha256(file).hexdigest()}#2"
    await ann.record(source="import", external_id=second)
    assert (await ann.upload(file)).status_code == 409
    assert (await ann.get("/activities")).json()["total"] == 1


async def test_the_service_answers_others_while_a_large_file_is_read(api: Api, ann: Person, bob: Person):
    times = [f"2026-05-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z" for second in range(12_000)]
    upload = asyncio.ensure_future(ann.upload(gpx(track(*times))))
    reader = api.container.recording_reader()
    while not reader.long_readings:  # noqa: ASYNC110 - ends: it is no small file
        await asyncio.sleep(0)
    with standing_still(reader.pids()):
        for _ in range(20):
            assert (await bob.get("/users/me")).status_code == 200
        assert not upload.done()
    assert (await upload).status_code == 201


async def test_a_file_whose_client_leaves_is_not_read_on_and_nothing_of_it_is_kept(api: Api, ann: Person):
    reader = api.container.recording_reader()
    points = hostile_files(5_000_000)["a million bare points"]()
    upload = asyncio.ensure_future(ann.upload(points))
    while not reader.long_readings or len(reader.pids()) < 2:  # noqa: ASYNC110 - ends: it is no small file
        await asyncio.sleep(0)
    begun = {*reader.pids()}
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert begun - {*reader.pids()}
    assert reader.long_readings == 0
    assert (await ann.get("/activities")).json()["total"] == 0
    assert (await ann.upload(A_TRACK)).status_code == 201


async def test_when_the_service_ends_a_long_reading_is_cut_off_and_nothing_of_it_is_kept(own_api: Api):
    ann = await own_api.person()
    points = hostile_files()["a million bare points"]()
    upload = asyncio.ensure_future(ann.upload(points))
    reader = own_api.container.recording_reader()
    while not reader.long_readings or len(reader.pids()) < 2:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    with standing_still(reader.pids()):  # else it may end in the time that it is given
        begin_drain(own_api.container)
        answer = await upload
    assert (answer.status_code, answer.json()["code"]) == (503, "reader_unavailable")
    assert (await ann.get("/activities")).json()["total"] == 0


async def unfinished_upload(
    person: Person, content: bytes, go_on: asyncio.Event, come: Callable[[], None] = lambda: None
) -> httpx.Response:
    """Calls `come` when the service has received the content. The rest of the form comes once it may go on."""

    async def parts() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        yield content
        come()
        await go_on.wait()
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return await person.post("/activities/import", content=parts(), headers=headers)


async def test_a_user_who_uploads_more_than_there_is_room_for_is_refused_and_others_are_not(ann: Person, bob: Person):
    go_on = asyncio.Event()
    uploads = [asyncio.ensure_future(unfinished_upload(ann, LARGE, go_on)) for _ in range(3)]
    done, _ = await asyncio.wait(uploads, return_when=asyncio.FIRST_COMPLETED)
    refused = done.pop().result()
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert (await bob.upload(A_TRACK)).status_code == 201
    assert (await ann.upload(A_TRACK)).status_code == 201
    go_on.set()
    assert sorted(one.status_code for one in await asyncio.gather(*uploads)) == [422, 422, 503]
    assert (await ann.upload(LARGE)).status_code == 422


async def test_two_users_who_take_all_the_room_for_small_uploads_do_not_keep_a_third_one_out(
    api: Api, ann: Person, bob: Person
):
    go_on, content = asyncio.Event(), b"x" * (OWN_BYTES + SMALL_BYTES)
    held: list[Person] = []
    uploads = [
        asyncio.ensure_future(unfinished_upload(who, content, go_on, partial(held.append, who)))
        for who in (ann, bob)
        for _ in range(16)
    ]
    await until(lambda: len(held) == len(uploads))
    cyd = await api.person()
    assert (await cyd.upload(A_TRACK)).status_code == 201
    go_on.set()
    await asyncio.gather(*uploads)


async def test_the_upload_has_to_be_a_file_in_the_field_file(ann: Person):
    wrong_type = await ann.post("/activities/import", json={})
    assert (wrong_type.status_code, wrong_type.json()["code"]) == (415, "unsupported_media_type")
    for parts in ({"other": ("x", A_TRACK)}, {"file": (None, b"text")}):
        response = await ann.post("/activities/import", files=parts)
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "file")
    beside = {"file": ("a", A_TRACK), "note": (None, b"hard")}
    assert (await ann.post("/activities/import", files=beside)).json()["errors"] == [
        {"field": "note", "message": "is not a field here"}
    ]


async def test_what_was_left_out_and_recovered_is_answered(ann: Person):
    points = a_run()
    points[0].latitude = points[0].longitude = 0.0
    response = await ann.upload(as_gpx(points)[:-20], A_TRACK)
    body = response.json()
    assert response.status_code == 201
    assert (
        body["warnings"]
        == body["results"][0]["warnings"]
        == [
            "track 1: left out 1 place off the globe or at 0° N, 0° E",
            "the file: it ends too early; this is made of what is there",
        ]
    )
    assert body["results"][1]["warnings"] == []
    assert [one["recovered"] for one in body["results"]] == [True, False]


HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"rubbish", "the form cannot be read: it ends before its last boundary"),
        (b"", "the form cannot be read: it ends before its last boundary"),
        (HEAD + b"\r\nthe first half", "the form cannot be read: it ends before its last boundary"),
        (b"--x\r\n\r\n", "the form cannot be read: one of its parts is not as multipart/form-data has it"),
        (HEAD * 2, "the form cannot be read: one of its parts is not as multipart/form-data has it"),
        ((HEAD + b"\r\na\r\n") * 21 + b"--x--", "a form may have 20 parts at most"),
    ],
)
async def test_what_is_wrong_with_a_form_is_said(ann: Person, content: bytes, said: str):
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    broken = await ann.post("/activities/import", content=content, headers=headers)
    assert (broken.status_code, broken.json()["code"], broken.json()["detail"]) == (400, "malformed_request", said)


async def test_a_form_may_have_twenty_parts(ann: Person):
    assert len((await ann.upload(*[b"none"] * 20)).json()["results"]) == 20


async def test_a_form_without_a_boundary_is_told_so(ann: Person):
    headers = {"Content-Type": "multipart/form-data"}
    broken = await ann.post("/activities/import", content=HEAD, headers=headers)
    assert broken.json()["detail"] == "the form cannot be read: its Content-Type names no boundary"
