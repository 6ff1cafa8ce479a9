"""Exports: all that is one's own, once, and nobody else's."""

import asyncio
import csv
import io
import json
import os
import socket
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dependency_injector import providers

from fitness.adapters.memory.clock import ManualClock
from fitness.domain.model.exports import LINK_TTL, USED_KEPT_FOR, WAITING_TTL, Export
from fitness.domain.model.jobs import Job, Task
from fitness.domain.use_cases import exporting
from fitness.ports.exports import ExportRepoPort
from fitness.ports.outages import ObjectsUnavailable
from tests.files import A_TRACK
from tests.harness.api import PASSWORD, Api, Person, Stores, serving
from tests.harness.listening import listening
from tests.patience import PATIENCE_S
from tests.pictures import a_jpeg

LARGE = os.urandom(3_000_000)
"""More than the kernel keeps for a client that does not read."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


@pytest.fixture
async def late_api(stores: Stores, clock: ManualClock, tmp_path: Any) -> AsyncIterator[Api]:
    """A service whose clock is moved, and whose jobs are carried out only when the test says so."""
    async with serving(
        stores.database_url,
        stores.redis_url,
        data_dir=tmp_path,
        prepare=lambda container: (
            container.clock.override(providers.Object(clock)),
            container.in_memory_worker.override(providers.Object(Idle())),
        ),
    ) as api:
        yield api


async def kept(api: Api, person: Person, content: bytes) -> tuple[Export, str]:
    """An export whose archive is that, and its address."""
    exports: ExportRepoPort = api.container.export_repo()
    await person.post("/users/me/export")
    export = await exports.begin(person.id, run=1)
    assert export is not None
    name = await api.container.objects().put(content)
    assert await exports.add_part(export.id, run=1, number=1, object_name=name)
    now = api.container.clock().now()
    assert await exports.finish(export.id, run=1, size_bytes=len(content), at=now, expires_at=now + LINK_TTL)
    return export, (await person.get("/users/me/export")).json()["url"]


async def begun(port: int, url: str) -> socket.socket:
    """A client that has a little of the archive, and reads no more for now."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (await loop.sock_recv(client, 1_000)).startswith(b"HTTP/1.1 200 ")
    return client


def out_of_reach(_: str) -> AsyncIterator[bytes]:
    raise ObjectsUnavailable("refused")


class Idle:
    async def work(self, stop: object) -> None:
        return


async def made(api: Api, person: Person) -> dict[str, Any]:
    """An export that is ready, as its owner is told."""
    asked = await person.post("/users/me/export")
    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    assert asked.json()["url"] is None
    await api.container.background().run(Job(Task.EXPORT, {"user_id": person.id}))
    told = await person.get("/users/me/export")
    assert (told.status_code, told.json()["state"]) == (200, "ready")
    found: dict[str, Any] = told.json()
    return found


async def archive(api: Api, url: str) -> zipfile.ZipFile:
    answer = await api.http.get(url)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"].startswith('attachment; filename="fitness-')
    found = zipfile.ZipFile(io.BytesIO(answer.content))
    assert found.testzip() is None
    return found


class TestAnArchive:
    async def test_holds_all_that_is_ones_own_and_nothing_of_anybody_else(self, late_api: Api):
        ann, ben = await late_api.person(name="Ann"), await late_api.person()
        live = [await ann.record(title=f"run {number}", tags=["a", "b"]) for number in range(3)]
        trashed = await ann.record(title="gone")
        await ann.delete(f"/activities/{trashed['id']}")
        await ben.record(title="not hers")
        (imported,) = (await ann.upload(A_TRACK, name="lake.gpx")).json()["items"]
        photo = (await ann.add_photo(live[0]["id"], a_jpeg(), caption="hers")).json()
        found = await archive(late_api, (await made(late_api, ann))["url"])
        assert json.loads(found.read("profile.json"))["email"] == ann.email
        activities = json.loads(found.read("activities.json"))
        assert {one["id"] for one in activities} == {imported["id"], *(one["id"] for one in live)}
        shown = (await ann.get(f"/activities/{live[0]['id']}")).json()
        assert next(one for one in activities if one["id"] == live[0]["id"]) == shown
        assert [one["title"] for one in json.loads(found.read("trash.json"))] == ["gone"]
        table = list(csv.DictReader(io.StringIO(found.read("activities.csv").decode())))
        assert {row["id"] for row in table} == {str(one["id"]) for one in activities}
        assert {row["tags"] for row in table if row["title"] == "run 1"} == {"a; b"}
        (original,) = [name for name in found.namelist() if name.startswith("originals/")]
        assert original.endswith("lake.gpx")
        assert found.read(original) == A_TRACK
        (told,) = json.loads(found.read("photos.json"))
        assert told == {name: photo[name] for name in ("id", "activity_id", "position", "caption", "created_at")}
        shown = await ann.get(photo["large"]["url"].removeprefix("/api/v1"))
        assert found.read(f"photos/{photo['activity_id']}-{photo['id']}.jpeg") == shown.content
        assert "not hers" not in "".join(found.read(name).decode(errors="replace") for name in found.namelist())

    async def test_is_whole_in_however_many_parts_it_is_kept(self, late_api: Api, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(exporting, "PART_BYTES", 100)
        ann = await late_api.person()
        for number in range(101):  # more than a page
            await ann.record(title=f"run {number}")
        told = await made(late_api, ann)
        answer = await late_api.http.get(told["url"])
        assert len(answer.content) == told["size_bytes"] == int(answer.headers["content-length"])
        found = zipfile.ZipFile(io.BytesIO(answer.content))
        assert len(json.loads(found.read("activities.json"))) == 101

    async def test_is_given_once(self, late_api: Api):
        ann = await late_api.person()
        url = (await made(late_api, ann))["url"]
        await archive(late_api, url)
        again = await late_api.http.get(url)
        assert (again.status_code, again.json()["code"]) == (404, "export_not_found")
        told = (await ann.get("/users/me/export")).json()
        assert (told["state"], told["url"]) == ("over", None)

    async def test_is_shown_by_head_and_not_used_up(self, late_api: Api):
        ann = await late_api.person()
        told = await made(late_api, ann)
        shown = await late_api.http.head(told["url"])
        assert (shown.status_code, shown.content) == (200, b"")
        answer = await late_api.http.get(told["url"])
        assert (answer.status_code, len(answer.content)) == (200, told["size_bytes"])
        lasting = {"content-length", "content-type", "content-disposition", "cache-control", "x-accel-buffering"}
        assert {name: shown.headers[name] for name in lasting} == {name: answer.headers[name] for name in lasting}
        assert (await late_api.http.head(told["url"])).status_code == 404

    async def test_can_be_downloaded_anew_by_whom_it_was_cut_off(self, late_api: Api):
        ann = await late_api.person()
        export, url = await kept(late_api, ann, LARGE)
        async with listening(late_api.app) as here:
            leaving = await begun(here.port, url)
            during = await late_api.http.get(url)
            assert (during.status_code, during.json()["code"]) == (404, "export_not_found")
            leaving.close()
            exports, now = late_api.container.export_repo(), late_api.container.clock().now()
            async with asyncio.timeout(PATIENCE_S):
                while await exports.ready(export.id, at=now) is None:  # noqa: ASYNC110 - it knows no event
                    await asyncio.sleep(0.01)
        assert (await ann.get("/users/me/export")).json()["url"] == url
        assert (await late_api.http.get(url)).content == LARGE
        assert (await late_api.http.get(url)).status_code == 404

    async def test_can_be_downloaded_anew_after_the_store_of_files_was_out_of_reach(
        self, late_api: Api, monkeypatch: pytest.MonkeyPatch
    ):
        ann = await late_api.person()
        _, url = await kept(late_api, ann, LARGE)
        with monkeypatch.context() as broken:
            broken.setattr(late_api.container.exports().objects, "chunks", out_of_reach)
            answer = await late_api.http.get(url)
            assert (answer.status_code, answer.json()["code"]) == (503, "objects_unavailable")
        assert (await late_api.http.get(url)).content == LARGE

    async def test_can_be_asked_for_anew_if_it_is_lost(self, late_api: Api):
        ann = await late_api.person()
        _, url = await kept(late_api, ann, LARGE)
        async for some in late_api.container.objects().list():
            for one in some:
                await late_api.container.objects().delete(one.name)
        answer = await late_api.http.get(url)
        assert (answer.status_code, answer.json()["code"]) == (404, "export_not_found")
        assert (await ann.post("/users/me/export")).json()["state"] == "waiting"

    async def test_is_given_within_a_day(self, late_api: Api, clock: ManualClock):
        ann = await late_api.person()
        url = (await made(late_api, ann))["url"]
        clock.advance(LINK_TTL)
        assert (await late_api.http.get(url)).status_code == 404

    async def test_is_over_once_a_photo_is_deleted(self, late_api: Api):
        ann = await late_api.person()
        photo = (await ann.add_photo((await ann.record())["id"], a_jpeg())).json()
        url = (await made(late_api, ann))["url"]
        assert (await ann.delete(f"/photos/{photo['id']}")).status_code == 204
        assert (await late_api.http.get(url)).status_code == 404
        assert (await ann.get("/users/me/export")).json()["state"] == "over"
        found = await archive(late_api, (await made(late_api, ann))["url"])
        assert json.loads(found.read("photos.json")) == []

    async def test_is_given_by_a_whole_link_alone(self, late_api: Api):
        ann = await late_api.person()
        url: str = (await made(late_api, ann))["url"]
        other = "a" if url[-2] != "a" else "b"
        for wrong in (url[:-1], url[:-2] + other + url[-1], f"{url}A", "/api/v1/exports/1", "/api/v1/exports/é"):
            assert (await late_api.http.get(wrong)).status_code == 404
        await archive(late_api, url)

    async def test_is_not_given_of_an_account_that_was_deleted(self, late_api: Api):
        ann = await late_api.person()
        url = (await made(late_api, ann))["url"]
        await ann.call("DELETE", "/users/me", json={"password": PASSWORD})
        assert (await late_api.http.get(url)).status_code == 404

    async def test_is_made_once_however_often_it_is_asked_for(self, late_api: Api):
        ann = await late_api.person()
        for _ in range(3):
            assert (await ann.post("/users/me/export")).json()["state"] == "waiting"
        assert len([one for one in await late_api.container.job_queue().list() if one.task == Task.EXPORT]) == 1
        await late_api.container.background().run(Job(Task.EXPORT, {"user_id": ann.id}))
        url = (await ann.get("/users/me/export")).json()["url"]
        await late_api.container.background().run(Job(Task.EXPORT, {"user_id": ann.id}))
        assert (await ann.post("/users/me/export")).json()["url"] == url
        await archive(late_api, url)
        assert (await ann.post("/users/me/export")).json()["state"] == "waiting"

    async def test_was_never_asked_for(self, late_api: Api):
        answer = await (await late_api.person()).get("/users/me/export")
        assert (answer.status_code, answer.json()["code"]) == (404, "export_not_found")

    async def test_leaves_no_file_once_it_is_over(self, late_api: Api, clock: ManualClock):
        """Also not one that was begun and given up, or that another run began anew."""
        ann, ben = await late_api.person(), await late_api.person()
        await archive(late_api, (await made(late_api, ann))["url"])
        await made(late_api, ben)
        export = late_api.container.export_repo()
        await ann.post("/users/me/export")
        begun = await export.begin(ann.id, run=1)
        name = await late_api.container.objects().put(b"half of it")
        assert await export.add_part(begun.id, run=1, number=1, object_name=name)
        assert await export.begin(ann.id, run=2) is not None
        assert not await export.add_part(begun.id, run=1, number=2, object_name="lost/race")
        assert not await export.finish(begun.id, run=1, size_bytes=1, at=clock.now(), expires_at=clock.now())
        clock.advance(max(LINK_TTL, WAITING_TTL, USED_KEPT_FOR) + timedelta(seconds=1))
        await late_api.container.background().run(Job(Task.FORGET_EXPIRED))
        await late_api.container.background().run(Job(Task.DELETE_OBJECTS))
        assert [one async for some in late_api.container.objects().list() for one in some] == []
        assert await export.latest(ann.id) is None


class TestATable:
    async def test_has_what_the_filters_name_in_their_order(self, late_api: Api):
        ann, ben = await late_api.person(), await late_api.person()
        for number in range(101):  # more than a page
            await ann.record(distance_km=number, title=f"run {number}", tags=["a"] if number % 2 else [])
        await ben.record(title="not hers")
        answer = await ann.get("/activities.csv?sort=distance&tag=a")
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [row["title"] for row in rows] == [f"run {number}" for number in range(1, 101, 2)]
        assert len((await ann.get("/activities.csv")).text.splitlines()) == 102

    @pytest.mark.parametrize("title", ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1+1"])
    async def test_has_no_cell_that_a_spreadsheet_would_run(self, late_api: Api, title: str):
        ann = await late_api.person()
        await ann.record(title=title, notes=f'{title}"\n,x', tags=[title])
        (row,) = csv.DictReader(io.StringIO((await ann.get("/activities.csv")).text, newline=""))
        kept = (await ann.get("/activities")).json()["items"][0]
        assert row["title"] == f"'{kept['title']}"
        assert row["notes"] == f"'{kept['notes']}"
        assert row["tags"] == f"'{kept['tags'][0]}"

    async def test_refuses_what_is_no_filter(self, late_api: Api):
        assert (await (await late_api.person()).get("/activities.csv?page=2")).status_code == 422
