"""What every ObjectStorePort promises."""

import hashlib
import os
from datetime import UTC, datetime, timedelta

import pytest

from fitness.domain.model.objects import digest_in
from fitness.ports.objects import ObjectMissing, ObjectStorePort, StoredObject

LARGE = os.urandom(300_000)
UNKNOWN = "00/" + "0" * 64 + "-0000000000000000"


async def listed(objects: ObjectStorePort) -> dict[str, StoredObject]:
    return {one.name: one async for some in objects.list() for one in some}


class ObjectStoreContract:
    """An implementation's class gives the fixture `objects`, an empty store."""

    @pytest.mark.parametrize("content", [b"", b"x", LARGE], ids=["nothing", "a byte", "many"])
    async def test_what_is_stored_is_read_back(self, objects: ObjectStorePort, content: bytes):
        name = await objects.put(content)
        assert await objects.get(name) == content
        assert b"".join([chunk async for chunk in objects.chunks(name)]) == content

    async def test_a_name_says_the_digest_of_its_object(self, objects: ObjectStorePort):
        assert digest_in(await objects.put(b"abc")) == hashlib.sha256(b"abc").hexdigest()

    async def test_the_same_content_again_is_another_object(self, objects: ObjectStorePort):
        first, second = await objects.put(b"abc"), await objects.put(b"abc")
        await objects.delete(first)
        assert await objects.get(second) == b"abc"

    @pytest.mark.parametrize(("first", "length"), [(0, 10), (1, None), (100_000, 150_000), (299_999, 1)])
    async def test_a_part_is_read_alone(self, objects: ObjectStorePort, first: int, length: int | None):
        name = await objects.put(LARGE)
        chunks = [chunk async for chunk in objects.chunks(name, first=first, length=length)]
        assert b"".join(chunks) == LARGE[first : None if length is None else first + length]

    async def test_an_unknown_object_is_missing_and_deleting_it_does_nothing(self, objects: ObjectStorePort):
        await objects.delete(UNKNOWN)
        with pytest.raises(ObjectMissing):
            await objects.get(UNKNOWN)
        with pytest.raises(ObjectMissing):
            await anext(objects.chunks(UNKNOWN))

    async def test_a_deleted_object_is_gone(self, objects: ObjectStorePort):
        name = await objects.put(b"abc")
        await objects.delete(name)
        await objects.delete(name)
        with pytest.raises(ObjectMissing):
            await objects.get(name)
        assert await listed(objects) == {}

    async def test_the_list_names_all_objects_with_their_sizes_and_ages(self, objects: ObjectStorePort):
        stored = {await objects.put(b"x" * size): size for size in range(20)}
        found = await listed(objects)
        assert {name: one.size_bytes for name, one in found.items()} == stored
        now = datetime.now(UTC)
        assert all(now - timedelta(minutes=1) < one.stored_at < now + timedelta(minutes=1) for one in found.values())
