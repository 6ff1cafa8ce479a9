"""Exports of one's own data: an archive of all, made by a background job, or a table, made while it is sent."""

import asyncio
import logging
import secrets
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from fitness.domain.model.activities import Activity
from fitness.domain.model.exports import (
    ASKED_AGAIN_AFTER,
    LINK_TTL,
    USED_KEPT_FOR,
    WAITING_TTL,
    Export,
    ExportState,
    ExportStatus,
    csv_head,
    csv_row,
    exported_photo,
    json_text,
)
from fitness.domain.model.jobs import Job, Task
from fitness.domain.model.listings import MAX_LIMIT, ActivityFilter, Listing, Page
from fitness.domain.model.originals import safe_file_name
from fitness.domain.model.photos import Photo
from fitness.domain.model.refusals import ExportNotFound, NotAuthenticated
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.caching.invalidation import Changes
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.clock import ClockPort
from fitness.ports.credentials import ExportTokenPort
from fitness.ports.exports import ExportRepoPort
from fitness.ports.objects import ObjectMissing, ObjectStorePort
from fitness.ports.originals import OriginalRepoPort
from fitness.ports.outages import DatabaseUnavailable
from fitness.ports.photos import PhotoRepoPort
from fitness.ports.users import UserRepoPort

PART_BYTES = 4 * 1024 * 1024
"""The size of a part of the archive, which is one object: this much of the archive is in memory at a time."""

LINK = "/api/v1/exports/"

_log = logging.getLogger(__name__)

Pages = Callable[[Page], Awaitable[Listing[Activity]]]


@dataclass(frozen=True, slots=True)
class ExportService:
    exports: ExportRepoPort
    users: UserRepoPort
    activities: ActivityRepoPort
    originals: OriginalRepoPort
    photos: PhotoRepoPort
    objects: ObjectStorePort
    tokens: ExportTokenPort
    changes: Changes
    clock: ClockPort

    async def request(self, *, by: Caller) -> ExportStatus:
        """Request an archive, or get the one that already waits or is ready. Raises NotAuthenticated."""
        job = Job(Task.EXPORT, {"user_id": by.id})
        now = self.clock.now()
        request = partial(self.exports.request, by.id, at=now, given_up_before=now - ASKED_AGAIN_AFTER)
        await self.changes.make([], request, jobs=[job])
        export = await self.exports.latest(by.id)
        if export is None:
            raise NotAuthenticated("the account of this token no longer exists")
        return self._status(export)

    async def status(self, *, by: Caller) -> ExportStatus:
        """The status of the archive that was requested last. Raises ExportNotFound."""
        export = await self.exports.latest(by.id)
        if export is None:
            raise ExportNotFound
        return self._status(export)

    async def ready(self, token: str) -> Export:
        """The export that could be downloaded now. Raises ExportNotFound."""
        export_id = self.tokens.export_of(token)
        export = None if export_id is None else await self.exports.ready(export_id, at=self.clock.now())
        if export is None:
            raise ExportNotFound
        return export

    async def download(self, token: str) -> tuple[Export, AsyncGenerator[bytes, None]]:
        """The archive, once: nobody else gets it meanwhile, and afterwards only if it was not read to its end.

        The generator has to be closed afterwards. Raises ExportNotFound, ObjectsUnavailable.
        """
        export_id = self.tokens.export_of(token)
        used = None if export_id is None else await self.exports.use(export_id, at=self.clock.now())
        if used is None:
            raise ExportNotFound
        export, names = used
        content = self._sent(export, names)
        try:
            await anext(content)  # begins the generator: to close one that has not begun would do nothing
        except ObjectMissing as error:
            _log.error("the archive of export %s is not in the store of files: %s", export.id, error)
            raise ExportNotFound from error
        return export, content

    async def make(self, user_id: int) -> None:
        """Make the archive that the user waits for, if any. Of several runs, the one that began last finishes it."""
        run = secrets.randbits(63)
        export = await self.exports.begin(user_id, run=run)
        if export is None:
            return
        size, number = 0, 0
        async for part in in_parts(self._archive(user_id)):
            number, size = number + 1, size + len(part)
            name = await self.objects.put(part)
            if not await self.exports.add_part(export.id, run=run, number=number, object_name=name):
                await self.objects.delete(name)
                return
        now = self.clock.now()
        await self.exports.finish(export.id, run=run, size_bytes=size, at=now, expires_at=now + LINK_TTL)

    async def forget_expired(self) -> None:
        """Delete exports that nobody can download any more, with their archives."""
        now = self.clock.now()
        while await self.exports.forget(
            used_before=now - USED_KEPT_FOR, expired_before=now, requested_before=now - WAITING_TTL
        ):
            pass

    async def table(self, which: ActivityFilter, *, by: Caller) -> AsyncIterator[str]:
        """The caller's activities as CSV, line by line, while it is read."""
        yield csv_head()
        async for activity in _all(lambda page: self.activities.list(by.id, which, page)):
            yield csv_row(activity)

    def _status(self, export: Export) -> ExportStatus:
        state = export.state(self.clock.now())
        ready = state is ExportState.READY
        return ExportStatus(
            state=state,
            requested_at=export.requested_at,
            expires_at=export.expires_at,
            size_bytes=export.size_bytes,
            url=LINK + self.tokens.issue(export.id) if ready else None,
        )

    async def _sent(self, export: Export, names: Sequence[str]) -> AsyncGenerator[bytes, None]:
        over = False
        try:
            chunks = self._joined(names)
            first = await anext(chunks, b"")  # before anything is answered: the store of files may not answer
            yield b""
            yield first
            async for chunk in chunks:
                yield chunk
            over = True
        except ObjectMissing:
            over = True  # the archive is lost, and another one can be requested
            raise
        finally:
            if not over:
                # Shielded: it runs to its end although the caller is cancelled, since the client has left.
                await asyncio.shield(asyncio.ensure_future(self._give_back(export)))

    async def _joined(self, names: Sequence[str]) -> AsyncIterator[bytes]:
        for name in names:
            async for chunk in self.objects.chunks(name):
                yield chunk

    async def _give_back(self, export: Export) -> None:
        assert export.used_at is not None
        try:
            await self.exports.give_back(export.id, used_at=export.used_at)
        except DatabaseUnavailable:
            _log.warning("the link of export %s counts as used, although its download was broken off", export.id)

    async def _archive(self, user_id: int) -> AsyncIterator["tuple[str, AsyncIterator[bytes]]"]:
        """The archive's files: their names, and their contents piece by piece."""
        user = await self.users.get(user_id)
        if user is None:
            return
        yield "profile.json", _once(json_text(user))
        for name, pages in (
            ("activities", lambda page: self.activities.list(user_id, ActivityFilter(), page)),
            ("trash", lambda page: self.activities.trash(user_id, page)),
        ):
            yield f"{name}.json", _json(pages)
            yield f"{name}.csv", _csv(pages)
        after = 0
        while originals := await self.originals.after(after, owner=user_id):
            for one in originals:
                after = one.id
                file_name = safe_file_name(one.file_name, one.id, one.media_type)
                yield f"originals/{one.id}-{file_name}", self._object(one.object_name)
        yield "photos.json", self._captions(user_id)
        async for photo in self._photos(user_id):
            name = f"photos/{photo.activity_id}-{photo.id}.{photo.large.content_type.rpartition('/')[2]}"
            yield name, self._object(photo.large.object_name)

    async def _photos(self, user_id: int) -> AsyncIterator[Photo]:
        after = 0
        while photos := await self.photos.after(after, owner=user_id):
            for one in photos:
                after = one.id
                yield one

    async def _captions(self, user_id: int) -> AsyncIterator[bytes]:
        """The captions of the photos, whose file names hold their ids."""
        begun = False
        async for one in self._photos(user_id):
            yield (",\n" if begun else "[\n").encode() + json_text(exported_photo(one)).encode()
            begun = True
        yield b"\n]\n" if begun else b"[]\n"

    async def _object(self, name: str) -> AsyncIterator[bytes]:
        """The object's content; nothing if the object is lost, so that the user still gets all the rest."""
        try:
            async for chunk in self.objects.chunks(name):
                yield chunk
        except ObjectMissing:
            return


async def in_parts(files: AsyncIterator["tuple[str, AsyncIterator[bytes]]"]) -> AsyncIterator[bytes]:
    """A zip archive of the files, in parts of PART_BYTES but for the last one."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:  # type: ignore[call-overload]
        async for name, content in files:
            with archive.open(name, "w", force_zip64=True) as member:
                async for chunk in content:
                    member.write(chunk)
                    while len(sink.kept) >= PART_BYTES:
                        yield sink.take(PART_BYTES)
    while sink.kept:
        yield sink.take(PART_BYTES)


class _Sink:
    """Bytes that are written and not taken yet. There is no `seek`, so the archive knows that it cannot seek here."""

    def __init__(self) -> None:
        self.kept = bytearray()

    def write(self, data: bytes) -> int:
        self.kept += data
        return len(data)

    def flush(self) -> None:
        return

    def take(self, count: int) -> bytes:
        taken = bytes(self.kept[:count])
        del self.kept[:count]
        return taken


async def _all(pages: Pages) -> AsyncIterator[Activity]:
    page: Page | None = Page(limit=MAX_LIMIT, counted=False)
    while page is not None:
        listing = await pages(page)
        for one in listing.items:
            yield one
        page = Page(limit=MAX_LIMIT, after=listing.next, counted=False) if listing.next else None


async def _once(text: str) -> AsyncIterator[bytes]:
    yield text.encode()


async def _json(pages: Pages) -> AsyncIterator[bytes]:
    begun = False
    async for activity in _all(pages):
        yield (",\n" if begun else "[\n").encode() + json_text(activity).encode()
        begun = True
    yield b"\n]\n" if begun else b"[]\n"


async def _csv(pages: Pages) -> AsyncIterator[bytes]:
    yield csv_head().encode()
    async for activity in _all(pages):
        yield csv_row(activity).encode()
