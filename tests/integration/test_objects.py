"""The stores of files under the contract of their port: a folder, and an S3-compatible store."""

import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fitness.adapters.objects.diagnosis import ObjectsDiagnosis
from fitness.adapters.objects.store import FolderObjects, objects_at
from fitness.ports.health import Verdict
from fitness.ports.objects import ObjectStorePort
from fitness.ports.outages import ObjectsUnavailable
from tests.harness.buckets import Bucket, serving_bucket
from tests.unit.contracts.objects import ObjectStoreContract, listed


class TestFolder(ObjectStoreContract):
    @pytest.fixture
    def objects(self, tmp_path: Path) -> ObjectStorePort:
        return FolderObjects(tmp_path / "new" / "objects")

    async def test_what_a_killed_process_left_half_written_is_listed_and_deleted(self, tmp_path: Path):
        objects = FolderObjects(tmp_path)
        name = await objects.put(b"abc")
        half = tmp_path / f"{name}#1"
        half.write_bytes(b"ab")
        os.utime(half, (0, 0))
        left = (await listed(objects))[f"{name}#1"]
        assert (left.size_bytes, left.stored_at) == (2, datetime.fromtimestamp(0, UTC))
        await objects.delete(left.name)
        await objects.delete(left.name)
        assert [*await listed(objects)] == [name]

    async def test_nobody_else_looks_into_the_folder_which_is_in_the_data_folder_if_no_url_says_otherwise(
        self, tmp_path: Path
    ):
        await objects_at(None, tmp_path).put(b"abc")
        assert stat.S_IMODE((tmp_path / "objects").stat().st_mode) == 0o700
        await objects_at(f"file://{tmp_path}/with%20blank", tmp_path).put(b"abc")
        assert (tmp_path / "with blank").is_dir()

    async def test_a_folder_that_cannot_be_made_is_unavailable_until_it_can(self, tmp_path: Path):
        (tmp_path / "file").touch()
        objects = FolderObjects(tmp_path / "file" / "objects")
        (finding,) = await ObjectsDiagnosis(objects).diagnose()
        assert finding.verdict is Verdict.WRONG
        with pytest.raises(ObjectsUnavailable):
            await objects.put(b"abc")
        (tmp_path / "file").unlink()
        assert await objects.get(await objects.put(b"abc")) == b"abc"
        (finding,) = await ObjectsDiagnosis(objects).diagnose()
        assert finding.verdict is Verdict.GOOD
        assert len(await listed(objects)) == 1

    async def test_a_folder_that_is_gone_is_unavailable(self, tmp_path: Path):
        objects = FolderObjects(tmp_path / "objects")
        await objects.delete(await objects.put(b"abc"))
        shutil.rmtree(tmp_path / "objects")
        (tmp_path / "objects").touch()
        with pytest.raises(ObjectsUnavailable):
            await objects.put(b"abc")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with serving_bucket() as (bucket, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield bucket


class TestS3(ObjectStoreContract):
    @pytest.fixture
    def objects(self, bucket: Bucket) -> ObjectStorePort:
        return objects_at("s3://bucket/of/fitness", Path("/nowhere"))

    async def test_objects_are_below_the_prefix_of_the_url(self, objects: ObjectStorePort, bucket: Bucket):
        name = await objects.put(b"abc")
        assert [*bucket.objects] == [f"of/fitness/{name}"]

    async def test_a_store_that_is_down_is_unavailable(self, objects: ObjectStorePort, bucket: Bucket):
        name = await objects.put(b"abc")
        bucket.broken = True
        for asked in (objects.put(b"x"), objects.get(name), objects.delete(name), anext(objects.chunks(name))):
            with pytest.raises(ObjectsUnavailable):
                await asked
        with pytest.raises(ObjectsUnavailable):
            await listed(objects)
