"""Objects through obstore, in an S3-compatible store or a folder."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from fitness.domain.model.objects import new_name
from fitness.ports.objects import ObjectMissing, StoredObject
from fitness.ports.outages import ObjectsUnavailable

if TYPE_CHECKING:  # obstore has them for type checkers only
    from obstore import GetOptions
    from obstore.store import ClientConfig, RetryConfig

DEADLINE_S = 20.0
"""The longest time for one call, even for an object of 25 MB; smaller objects take milliseconds."""

CONNECT_TIMEOUT = timedelta(seconds=2)
READ_TIMEOUT = timedelta(seconds=10)
"""The longest wait for the next bytes of an answer."""

DOWNLOAD_TIMEOUT = timedelta(minutes=5)
"""The longest time for an object that is passed on piece by piece, perhaps over a client's slow connection."""

RETRIES = 2
CHUNK_BYTES = 64 * 1024


class ObstoreObjects:
    def __init__(self, opened: Callable[[], ObjectStore]) -> None:
        """`opened` is called on first use, so that the service also starts while its store of files is missing."""
        self._opened = opened

    @cached_property
    def _store(self) -> ObjectStore:
        return self._opened()

    async def put(self, content: bytes) -> str:
        name = await asyncio.to_thread(new_name, content)
        try:
            with _translated(name):
                async with asyncio.timeout(DEADLINE_S):
                    await self._store.put_async(name, content, use_multipart=False)
                    await self._stored(name)
        except ObjectMissing as error:
            raise ObjectsUnavailable("the folder of files is gone") from error
        return name

    async def get(self, name: str) -> bytes:
        with _translated(name):
            async with asyncio.timeout(DEADLINE_S):
                found = await self._store.get_async(name)
                return bytes(await found.bytes_async())

    async def chunks(self, name: str, *, first: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        options: GetOptions = {}  # a range of an empty object would be refused
        if length is not None:
            options["range"] = first, first + length
        elif first:
            options["range"] = {"offset": first}
        with _translated(name):
            async with asyncio.timeout(DEADLINE_S):
                found = await self._store.get_async(name, options=options)
            async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    async def delete(self, name: str) -> None:
        with suppress(ObjectMissing), _translated(name):
            async with asyncio.timeout(DEADLINE_S):
                await self._store.delete_async(name)

    async def list(self) -> AsyncIterator[Sequence[StoredObject]]:
        with _translated("all"):
            async for some in self._store.list():
                yield [StoredObject(one["path"], one["size"], one["last_modified"]) for one in some]

    async def _stored(self, name: str) -> None:
        """Nothing to do: an S3-compatible store answers only once it has stored the object."""


class FolderObjects(ObstoreObjects):
    """Objects in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        super().__init__(self._open)
        self._folder = folder

    async def delete(self, name: str) -> None:
        if "#" in name:
            await asyncio.to_thread((self._folder / name).unlink, missing_ok=True)
        else:
            await super().delete(name)

    async def list(self) -> AsyncIterator[Sequence[StoredObject]]:
        async for some in super().list():
            yield some
        yield await asyncio.to_thread(lambda: [*self._half_written()])

    def _open(self) -> ObjectStore:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LocalStore(self._folder)

    async def _stored(self, name: str) -> None:
        await asyncio.to_thread(_written_to_disk, self._folder / name)

    def _half_written(self) -> Iterator[StoredObject]:
        """obstore writes to `name#1`, which it renames at the end. It never lists what a killed process left there."""
        for path in self._folder.glob("??/*#*"):
            with suppress(FileNotFoundError):
                about = path.stat()
                stored_at = datetime.fromtimestamp(about.st_mtime, UTC)
                yield StoredObject(str(path.relative_to(self._folder)), about.st_size, stored_at)


def objects_at(url: str | None, data_dir: Path) -> ObstoreObjects:
    """The store at file:///folder or s3://bucket/prefix; None stands for a folder in `data_dir`.

    The bucket's endpoint and credentials are the AWS_* variables of the environment.
    """
    if url is None:
        return FolderObjects(data_dir / "objects")
    if url.startswith("file:"):
        return FolderObjects(Path(url2pathname(urlsplit(url).path)))
    return ObstoreObjects(partial(_bucket, url))


def _bucket(url: str) -> ObjectStore:
    client: ClientConfig = {
        "timeout": DOWNLOAD_TIMEOUT,
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": READ_TIMEOUT,
        "allow_http": True,  # an endpoint without TLS is the operator's decision
    }
    retry: RetryConfig = {"max_retries": RETRIES, "retry_timeout": READ_TIMEOUT}
    return S3Store.from_url(url, client_options=client, retry_config=retry)


def _written_to_disk(path: Path) -> None:
    """Flush the file, and its names in the two folders above it, to the disk."""
    for one in (path, path.parent, path.parent.parent):
        descriptor = os.open(one, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissing(name) from error
    except TimeoutError as error:
        raise ObjectsUnavailable("the store of files does not answer in time") from error
    except (BaseError, OSError) as error:
        raise ObjectsUnavailable("the store of files does not answer") from error
