"""/activities/{id}/photos and /photos: pictures added, shown, described, ordered, hidden and deleted."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from io import BytesIO
from typing import Any

import httpx
import pytest
from dependency_injector import providers
from PIL import Image

from fitness.adapters.memory.clock import ManualClock
from fitness.adapters.memory.objects import InMemoryObjectStore
from fitness.adapters.system.clock import SystemClock
from fitness.domain.model.photos import MAX_PHOTO_BYTES, MAX_PHOTOS
from fitness.domain.use_cases.upkeep import ERASED_AFTER
from fitness.entrypoints.wiring.container import Container
from fitness.ports.objects import ObjectStorePort
from fitness.ports.outages import ObjectsUnavailable
from tests.harness.api import IN_MEMORY, PASSWORD, Api, Person, Stores, serving
from tests.harness.servers import standing_still
from tests.pictures import REFUSED, SECRET, a_jpeg, a_png, a_webp, drawn, encoded


@pytest.fixture
async def activity_id(ann: Person) -> int:
    number: int = (await ann.record())["id"]
    return number


async def added(person: Person, activity_id: int, content: bytes | None = None, **texts: str) -> dict[str, Any]:
    response = await person.add_photo(activity_id, a_jpeg() if content is None else content, **texts)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def captions(person: Person, activity_id: int) -> list[str | None]:
    response = await person.get(f"/activities/{activity_id}/photos")
    assert response.status_code == 200, response.text
    items = response.json()["items"]
    assert [one["position"] for one in items] == list(range(1, len(items) + 1))
    return [one["caption"] for one in items]


async def file_of(person: Person, body: dict[str, Any], **headers: str) -> httpx.Response:
    """The large one, by the address that the body has."""
    return await person.get(body["large"]["url"].removeprefix("/api/v1"), headers=headers)


async def object_count(api: Api) -> int:
    objects: ObjectStorePort = api.container.objects()
    return sum([len(some) async for some in objects.list()])


async def test_a_photo_whose_file_is_lost_is_not_found(api: Api, ann: Person, activity_id: int):
    body = await added(ann, activity_id)
    objects: ObjectStorePort = api.container.objects()
    for name in [one.name async for some in objects.list() for one in some]:
        await objects.delete(name)
    lost = await file_of(ann, body)
    assert (lost.status_code, lost.json()["code"]) == (404, "photo_not_found")


async def test_a_photo_is_made_of_a_picture_and_shown_in_two_sizes(ann: Person, activity_id: int):
    response = await ann.add_photo(activity_id, a_jpeg(3_000, 2_000), caption="  The view\nfrom the top ")
    assert response.status_code == 201
    body = response.json()
    assert response.headers["location"] == f"/api/v1/photos/{body['id']}"
    assert (body["activity_id"], body["position"], body["caption"]) == (activity_id, 1, "The view\nfrom the top")
    assert (await ann.get(f"/photos/{body['id']}")).json() == body
    assert (await ann.get(f"/activities/{activity_id}/photos")).json() == {"items": [body]}
    for size, pixels in (("large", (2048, 1365)), ("small", (400, 267))):
        about = body[size]
        file = await ann.get(f"/photos/{body['id']}/file?size={size}")
        assert about["url"] == f"/api/v1/photos/{body['id']}/file?size={size}"
        assert (file.status_code, file.headers["content-type"]) == (200, about["content_type"])
        assert (about["content_type"], about["size_bytes"]) == ("image/jpeg", len(file.content))
        assert (about["width"], about["height"]) == pixels
        with Image.open(BytesIO(file.content)) as seen:
            assert seen.size == pixels
    assert (await ann.get(f"/photos/{body['id']}/file")).content == (await file_of(ann, body)).content


@pytest.mark.parametrize("content", [a_jpeg(), a_png(), a_webp()], ids=["JPEG", "PNG", "WebP"])
async def test_the_content_decides_and_nothing_of_the_file_is_stored_but_what_is_seen(
    api: Api, ann: Person, activity_id: int, content: bytes
):
    response = await ann.add_photo(activity_id, content, name="../../etc/passwd")
    assert response.status_code == 201
    objects: ObjectStorePort = api.container.objects()
    names = [one.name for some in [some async for some in objects.list()] for one in some]
    kept = {response.json()[size]["size_bytes"] for size in ("large", "small")}
    found = [stored for name in names if len(stored := await objects.get(name)) in kept]
    assert len(found) >= 2
    for stored in found:
        assert SECRET not in stored
        assert b"Exif" not in stored
    assert not [name for name in names if "passwd" in name or ".." in name]


async def test_what_is_no_picture_is_refused_with_a_code_that_says_why_and_nothing_is_kept(
    api: Api, ann: Person, activity_id: int
):
    before = await object_count(api)
    for name, (make, status, code) in REFUSED.items():
        response = await ann.add_photo(activity_id, make(), name="photo.jpg")
        assert (response.status_code, response.json()["code"]) == (status, code), name
    assert await captions(ann, activity_id) == []
    assert await object_count(api) == before


async def test_a_file_may_have_ten_megabytes_and_not_a_byte_more(ann: Person, activity_id: int):
    picture = a_jpeg()
    assert (await ann.add_photo(activity_id, picture.ljust(MAX_PHOTO_BYTES, b"\0"))).status_code == 201
    for size, code in ((MAX_PHOTO_BYTES + 1, "photo_too_large"), (MAX_PHOTO_BYTES + 1_000_000, "body_too_large")):
        response = await ann.add_photo(activity_id, picture.ljust(size, b"\0"))
        assert (response.status_code, response.json()["code"]) == (413, code)
    assert await captions(ann, activity_id) == [None]


async def test_the_form_has_a_file_and_perhaps_a_caption(ann: Person, activity_id: int):
    path = f"/activities/{activity_id}/photos"
    wrong_type = await ann.post(path, json={})
    assert (wrong_type.status_code, wrong_type.json()["code"]) == (415, "unsupported_media_type")
    picture = ("a", a_jpeg())
    for parts, field in (
        ([("caption", (None, b"text"))], "file"),
        ([("file", (None, a_jpeg()))], "file"),
        ([("file", picture), ("note", (None, b"hard"))], "note"),
        ([("file", picture), ("caption", (None, b"\xff"))], "caption"),
        ([("file", picture), ("caption", (None, b"one")), ("caption", (None, b"two"))], "caption"),
        ([("file", picture), ("caption", (None, b"x" * 501))], "caption"),
        ([("file", picture), ("caption", (None, b"a\0b"))], "caption"),
    ):
        response = await ann.post(path, files=parts)
        assert (response.status_code, [one["field"] for one in response.json()["errors"]]) == (422, [field])
    assert await captions(ann, activity_id) == []
    assert (await added(ann, activity_id, caption=" "))["caption"] is None


async def test_an_activity_has_at_most_twenty_also_where_they_come_at_once(ann: Person, activity_id: int):
    for _ in range(MAX_PHOTOS - 2):
        await added(ann, activity_id)
    answers = await asyncio.gather(*(ann.add_photo(activity_id, a_jpeg()) for _ in range(6)))
    assert sorted(one.status_code for one in answers) == [201, 201, 409, 409, 409, 409]
    assert {one.json()["code"] for one in answers if one.status_code == 409} == {"too_many_photos"}
    assert len(await captions(ann, activity_id)) == MAX_PHOTOS


async def test_captions_and_places_are_changed(ann: Person, activity_id: int):
    first, second, third = [await added(ann, activity_id, caption=name) for name in "abc"]
    changed = await ann.patch(f"/photos/{third['id']}", json={"position": 1})
    assert (changed.status_code, changed.json()) == (200, third | {"position": 1})
    assert await captions(ann, activity_id) == ["c", "a", "b"]
    await ann.patch(f"/photos/{first['id']}", json={"caption": "A", "position": 20})
    assert await captions(ann, activity_id) == ["c", "b", "A"]
    await ann.patch(f"/photos/{second['id']}", json={"caption": None})
    assert await captions(ann, activity_id) == ["c", None, "A"]
    for body, field in (({"position": 0}, "position"), ({"position": 21}, "position"), ({"caption": 1}, "caption")):
        refused = await ann.patch(f"/photos/{second['id']}", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    assert (await ann.patch(f"/photos/{second['id']}", json={"width": 1})).status_code == 422
    assert await captions(ann, activity_id) == ["c", None, "A"]


async def test_a_photo_is_changed_and_deleted_as_it_was_read(ann: Person, activity_id: int):
    path = f"/photos/{(await added(ann, activity_id, caption='a'))['id']}"
    tag = (await ann.get(path)).headers["etag"]
    changed = await ann.patch(path, json={"caption": "b"}, headers={"If-Match": f'"x", {tag}'})
    assert changed.status_code == 200
    assert changed.headers["etag"] == (await ann.get(path)).headers["etag"] != tag
    for stale in ({"If-Match": tag}, {"If-None-Match": changed.headers["etag"]}, {"If-None-Match": "*"}):
        for method, body in (("PATCH", {"json": {"caption": "c"}}), ("DELETE", {})):
            refused = await ann.call(method, path, headers=stale, **body)
            assert (refused.status_code, refused.json()["code"]) == (412, "version_mismatch"), (method, stale)
            assert refused.json()["detail"].endswith("has changed since; read it again and repeat")
    assert (await ann.get(path, headers={"If-Match": tag})).status_code == 412
    assert (await ann.get(path, headers={"If-Match": "*"})).json()["caption"] == "b"
    assert (await ann.patch(path, json={}, headers={"If-Match": "*"})).status_code == 200
    unmarked = await ann.delete(path, headers={"If-Match": "b"})
    assert (unmarked.status_code, unmarked.json()["code"]) == (400, "malformed_request")
    assert (await ann.delete(path, headers={"If-Match": changed.headers["etag"]})).status_code == 204
    assert await captions(ann, activity_id) == []


async def test_another_photo_that_takes_its_place_is_a_change_of_a_photo(ann: Person, activity_id: int):
    first, second = [await added(ann, activity_id, caption=name) for name in "ab"]
    tag = (await ann.get(f"/photos/{first['id']}")).headers["etag"]
    await ann.patch(f"/photos/{second['id']}", json={"position": 1})
    stale = await ann.patch(f"/photos/{first['id']}", json={"caption": "A"}, headers={"If-Match": tag})
    assert stale.status_code == 412
    assert await captions(ann, activity_id) == ["b", "a"]


async def test_a_deleted_photo_is_gone_and_the_others_move_up(ann: Person, activity_id: int):
    first, _ = [await added(ann, activity_id, caption=name) for name in "ab"]
    assert (await ann.delete(f"/photos/{first['id']}")).status_code == 204
    assert await captions(ann, activity_id) == ["b"]
    for method, path in (("GET", ""), ("GET", "/file"), ("DELETE", "")):
        response = await ann.call(method, f"/photos/{first['id']}{path}")
        assert (response.status_code, response.json()["code"]) == (404, "photo_not_found")


async def test_photos_are_hidden_with_the_trash_back_with_a_restore_and_gone_with_a_purge(
    api: Api, ann: Person, activity_id: int
):
    body = await added(ann, activity_id, caption="kept")
    photo, photos = f"/photos/{body['id']}", f"/activities/{activity_id}/photos"
    content = (await file_of(ann, body)).content
    await captions(ann, activity_id)  # warm
    await ann.delete(f"/activities/{activity_id}")
    for path in (photo, f"{photo}/file", photos):
        response = await ann.get(path)
        assert (response.status_code, response.json()["code"]) == (410, "activity_deleted")
        assert response.json()["restore"] == f"/api/v1/activities/{activity_id}/restore"
    for response in (
        await ann.patch(photo, json={"caption": "late"}),
        await ann.delete(photo),
        await ann.add_photo(activity_id, a_jpeg()),
    ):
        assert (response.status_code, response.json()["code"]) == (409, "activity_in_trash")
    await ann.post(f"/activities/{activity_id}/restore")
    assert await captions(ann, activity_id) == ["kept"]
    assert (await file_of(ann, body)).content == content
    await ann.delete(f"/activities/{activity_id}")
    admin = await api.admin()
    assert (await admin.delete(f"/admin/activities/{activity_id}?reason=asked")).status_code == 204
    for path, code in ((photo, "photo"), (f"{photo}/file", "photo"), (photos, "activity")):
        response = await ann.get(path)
        assert (response.status_code, response.json()["code"]) == (404, f"{code}_not_found")


async def all_agree(api: Api) -> int:
    """Each object is named by a row, and each row's objects are there. How many there are."""
    objects, names = api.container.objects(), api.container.object_names()
    await api.container.sweep().delete_released()
    there = [one.name async for some in objects.list() for one in some]
    assert await names.named(there) == {*there}
    assert await names.released() == []
    return len(there)


async def test_objects_and_rows_agree_through_trash_restore_and_purge(own_api: Api):
    ann, admin = await own_api.person(), await own_api.admin()
    activities = [(await ann.record())["id"] for _ in range(3)]
    kept = {activity_id: [await added(ann, activity_id) for _ in range(17)] for activity_id in activities}
    assert await all_agree(own_api) == 2 * 51
    for activity_id in activities:
        await ann.delete(f"/activities/{activity_id}")
    assert await all_agree(own_api) == 2 * 51
    await ann.post(f"/activities/{activities[0]}/restore")
    for photo in kept[activities[0]]:
        assert len((await file_of(ann, photo)).content) == photo["large"]["size_bytes"]
    await ann.delete(f"/photos/{kept[activities[0]][0]['id']}")
    assert await all_agree(own_api) == 2 * 50
    await admin.delete(f"/admin/activities/{activities[1]}?reason=asked")
    assert await all_agree(own_api) == 2 * 33
    assert len(await captions(ann, activities[0])) == 16
    await ann.post(f"/activities/{activities[2]}/restore")
    assert len(await captions(ann, activities[2])) == 17
    for activity_id in (activities[0], activities[2]):
        await ann.delete(f"/activities/{activity_id}")
        await admin.delete(f"/admin/activities/{activity_id}?reason=asked")
    assert await all_agree(own_api) == 0


@pytest.fixture
async def late(stores: Stores) -> AsyncIterator[tuple[Api, ManualClock]]:
    """A service and its clock, which is moved."""
    clock = ManualClock(SystemClock().now())

    def prepare(container: Container) -> None:
        container.clock.override(providers.Object(clock))

    async with serving(stores.database_url, stores.redis_url, prepare=prepare) as api:
        yield api, clock


async def test_once_it_cannot_be_restored_a_photo_is_refused_as_its_activity_is(late: tuple[Api, ManualClock]):
    api, clock = late
    ann = await api.person()
    activity_id = (await ann.record())["id"]
    photo = await added(ann, activity_id)
    await ann.delete(f"/activities/{activity_id}")
    clock.advance(timedelta(days=api.container.settings().trash_days))
    ann = await api.login(ann.id, ann.email)
    for path in (f"/activities/{activity_id}", f"/activities/{activity_id}/photos", f"/photos/{photo['id']}"):
        response = await ann.get(path)
        assert (response.status_code, response.json()["code"]) == (410, "activity_expired")
    assert (await ann.delete(f"/photos/{photo['id']}")).json()["code"] == "activity_expired"
    assert (await ann.add_photo(activity_id, a_jpeg())).json()["code"] == "activity_expired"
    assert await api.container.upkeep().empty_trash() == 1
    assert (await ann.get(f"/photos/{photo['id']}")).json()["code"] == "photo_not_found"
    assert await all_agree(api) == 0


async def test_an_account_that_is_erased_takes_its_photos_with_it(late: tuple[Api, ManualClock]):
    api, clock = late
    ann, bob = await api.person(), await api.person()
    for person, photos in ((ann, 17), (ann, 17), (ann, 16), (bob, 5)):
        activity_id = (await person.record())["id"]
        for _ in range(photos):
            await added(person, activity_id)
        if photos == 16:
            await ann.delete(f"/activities/{activity_id}")
    assert (await ann.call("DELETE", "/users/me", json={"password": PASSWORD})).status_code == 204
    assert await all_agree(api) == 2 * 55
    clock.advance(ERASED_AFTER)
    assert await api.container.upkeep().erase_accounts() == 1
    assert await all_agree(api) == 2 * 5


async def test_a_list_of_photos_is_cached_and_never_older_than_a_change(ann: Person, activity_id: int):
    path = f"/activities/{activity_id}/photos"
    assert (await ann.get(path)).headers["x-cache"] == "MISS"
    assert (await ann.get(path)).headers["x-cache"] == "HIT"
    body = await added(ann, activity_id, caption="one")
    for change, expected in (
        (None, ["one"]),
        (ann.patch(f"/photos/{body['id']}", json={"caption": "two"}), ["two"]),
        (ann.delete(f"/photos/{body['id']}"), []),
    ):
        if change is not None:
            await change
        assert await captions(ann, activity_id) == expected
        assert (await ann.get(path)).headers["x-cache"] == "HIT"


async def test_a_copy_that_is_current_is_not_sent_again(ann: Person, activity_id: int):
    body = await added(ann, activity_id)
    whole = await file_of(ann, body)
    assert whole.headers["cache-control"] == "private, no-cache"
    assert whole.headers["x-content-type-options"] == "nosniff"
    tag = whole.headers["etag"]
    for named in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        known = await file_of(ann, body, **{"If-None-Match": named})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in known.headers
    assert (await file_of(ann, body, **{"If-None-Match": '"other"'})).content == whole.content
    assert (await ann.get(f"/photos/{body['id']}/file?size=small")).headers["etag"] != tag
    for path in (f"/photos/{body['id']}", f"/activities/{activity_id}/photos"):
        tag = (await ann.get(path)).headers["etag"]
        assert (await ann.get(path, headers={"If-None-Match": tag})).status_code == 304


async def test_a_part_is_sent_where_a_range_asks_for_it(ann: Person, activity_id: int):
    body = await added(ann, activity_id)
    whole = await file_of(ann, body)
    assert whole.headers["accept-ranges"] == "bytes"
    part = await file_of(ann, body, Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    assert (part.headers["etag"], part.headers["content-type"]) == (whole.headers["etag"], "image/jpeg")
    several = await file_of(ann, body, Range="bytes=0-1,3-4")
    assert (several.status_code, several.content) == (200, whole.content)
    current = await file_of(ann, body, Range="bytes=10-19", **{"If-None-Match": whole.headers["etag"]})
    assert current.status_code == 304
    for asked in ("bytes=10-19", "bytes=999999-"):
        head = await ann.call("HEAD", body["large"]["url"].removeprefix("/api/v1"), headers={"Range": asked})
        assert (head.status_code, int(head.headers["content-length"])) == (200, len(whole.content))


async def test_a_range_behind_the_end_is_refused_and_one_of_another_version_is_not_looked_at(
    ann: Person, activity_id: int
):
    body = await added(ann, activity_id)
    response = await file_of(ann, body, Range="bytes=999999-")
    assert (response.status_code, response.json()["code"]) == (416, "range_not_satisfiable")
    assert response.headers["content-range"] == f"bytes */{body['large']['size_bytes']}"
    tag = (await file_of(ann, body)).headers["etag"]
    assert (await file_of(ann, body, Range="bytes=0-1", **{"If-Range": tag})).status_code == 206
    for other in ('"other"', f"W/{tag}"):
        assert (await file_of(ann, body, Range="bytes=0-1", **{"If-Range": other})).status_code == 200


async def test_head_says_what_get_would_send(ann: Person, activity_id: int):
    body = await added(ann, activity_id)
    head = await ann.call("HEAD", f"/photos/{body['id']}/file")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(body["large"]["size_bytes"])


async def test_only_two_sizes_can_be_asked_for(ann: Person, activity_id: int):
    body = await added(ann, activity_id)
    for query in ("size=huge", "size=", "width=9", "size=small&size=large"):
        assert (await ann.get(f"/photos/{body['id']}/file?{query}")).status_code == 422


async def test_the_same_picture_twice_is_two_photos_and_each_can_go_alone(api: Api, ann: Person, activity_id: int):
    one, two = await added(ann, activity_id), await added(ann, activity_id)
    await ann.delete(f"/photos/{one['id']}")
    assert (await file_of(ann, two)).status_code == 200


async def test_photos_are_counted(own_api: Api):
    ann = await own_api.person()
    activity_id = (await ann.record())["id"]
    await added(ann, activity_id)
    await ann.add_photo(activity_id, b"no picture")
    assert 'photos_uploaded_total{worker="0"} 1.0' in (await own_api.scrape()).text


async def test_uploads_have_a_limit_of_their_own():
    async with serving(IN_MEMORY.database_url, IN_MEMORY.redis_url, rate_limit_scale=1.0, limits_stand=True) as api:
        ann = await api.person()
        activity_id = (await ann.record())["id"]
        answers = [await ann.add_photo(activity_id, b"no picture") for _ in range(21)]
        assert [one.status_code for one in answers] == [422] * 20 + [429]
        assert 'upload";q=20;w=60' in answers[0].headers["ratelimit-policy"]


class FailingObjects(InMemoryObjectStore):
    """Of which nothing can be had while it is `down`."""

    down = False

    async def put(self, content: bytes) -> str:
        self._refuse()
        return await super().put(content)

    async def get(self, name: str) -> bytes:
        self._refuse()
        return await super().get(name)

    def _refuse(self) -> None:
        if self.down:
            raise ObjectsUnavailable("the store of files does not answer")


async def test_while_the_store_of_files_is_down_uploads_and_bytes_are_503_and_all_else_goes_on():
    objects = FailingObjects(SystemClock())

    def prepare(container: Container) -> None:
        container.objects.override(providers.Object(objects))

    async with serving(IN_MEMORY.database_url, IN_MEMORY.redis_url, prepare=prepare) as api:
        ann = await api.person()
        activity_id = (await ann.record())["id"]
        body = await added(ann, activity_id)
        objects.down = True
        for response in (await ann.add_photo(activity_id, a_jpeg()), await file_of(ann, body)):
            assert (response.status_code, response.json()["code"]) == (503, "objects_unavailable")
            assert response.headers["retry-after"] == "1"
        assert await captions(ann, activity_id) == [None]
        objects.down = False
        assert (await file_of(ann, body)).status_code == 200


async def test_others_are_answered_while_a_large_picture_is_read(api: Api, ann: Person, bob: Person, activity_id: int):
    large = encoded(drawn(3_000, 2_000), "PNG", compress_level=1)
    upload = asyncio.ensure_future(ann.add_photo(activity_id, large))
    reader = api.container.picture_reader()
    while not reader.readings:  # noqa: ASYNC110 - ends: it is read
        await asyncio.sleep(0)
    with standing_still(reader.pids()):
        for _ in range(20):
            assert (await bob.get("/users/me")).status_code == 200
        assert not upload.done()
    assert (await upload).status_code == 201


async def test_an_upload_whose_client_leaves_while_it_is_read_keeps_nothing(api: Api, ann: Person, activity_id: int):
    before = await object_count(api)
    await added(ann, activity_id)  # the process runs
    large = encoded(Image.effect_noise((3_000, 2_000), 80), "PNG", compress_level=1)
    upload = asyncio.ensure_future(ann.add_photo(activity_id, large))
    reader = api.container.picture_reader()
    begun = reader.pids()
    while not reader.readings:  # noqa: ASYNC110 - ends: it is read
        await asyncio.sleep(0)
    await asyncio.sleep(0)  # now the process has it
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert not {*begun} & {*reader.pids()}
    assert await captions(ann, activity_id) == [None]
    assert await object_count(api) == before + 2
