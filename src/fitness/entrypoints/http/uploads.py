"""Files that are uploaded as a field of a multipart form, and the memory that they may take."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from litestar import Request
from litestar.enums import RequestEncodingType
from litestar.types import HTTPReceiveMessage
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from fitness.domain.model.originals import LONGEST_FILE_NAME, UploadedFile
from fitness.domain.model.photos import MAX_PHOTO_BYTES
from fitness.domain.model.recordings import MAX_RECORDING_BYTES
from fitness.domain.model.refusals import FieldProblem, InvalidFields
from fitness.entrypoints.http.kinds import MalformedRequest, UnsupportedMediaType
from fitness.ports.outages import Overloaded

UPLOAD_FIELD = "file"
MAX_PARTS = 20
MULTIPART_OVERHEAD_BYTES = 100_000
"""What a form may hold beside the file."""

OWN_BYTES = 256_000
"""So many bytes of each user's uploads are counted apart. A user with little under way finds room whatever others send,
unless hundreds of accounts take theirs."""

SMALL_BYTES = 1_000_000
"""So many further bytes of each upload are counted apart: a small file finds room whatever large files others send."""

MAX_UPLOAD_BYTES = MAX_RECORDING_BYTES + MULTIPART_OVERHEAD_BYTES
MAX_PHOTO_UPLOAD_BYTES = MAX_PHOTO_BYTES + MULTIPART_OVERHEAD_BYTES


class Room:
    """Bytes that uploads may take, all together and those of each user."""

    def __init__(self, most_bytes: int, most_each_bytes: int) -> None:
        self._most = most_bytes
        self._most_each = most_each_bytes
        self._taken: Counter[int] = Counter()

    def left(self, user_id: int) -> int:
        """How much more the user may take."""
        return min(self._most_each - self._taken[user_id], self._most - self._taken.total())

    def take(self, user_id: int, size: int) -> None:
        """Raises Overloaded."""
        if size > self.left(user_id):
            raise Overloaded("too many files are being uploaded")
        self._taken[user_id] += size

    def give_back(self, user_id: int, size: int) -> None:
        self._taken[user_id] -= size
        if not self._taken[user_id]:
            del self._taken[user_id]


class UploadSpace:
    """The memory of one process for files that are being received, wait to be read, or are read.

    It counts the bytes that have arrived, so that a client that sends slowly, or announces much, takes no room away.
    """

    def __init__(self, *, own: Room | None = None, small: Room | None = None, large: Room | None = None) -> None:
        self._own = own or Room(250 * OWN_BYTES, OWN_BYTES)
        self._small = small or Room(32 * SMALL_BYTES, 16 * SMALL_BYTES)
        self._large = large or Room(4 * MAX_UPLOAD_BYTES, 2 * MAX_UPLOAD_BYTES)

    @contextmanager
    def upload(self, user_id: int) -> Iterator["Upload"]:
        """Room for an upload of the user, given back at the end."""
        upload = Upload(user_id, self._own, self._small, self._large)
        try:
            yield upload
        finally:
            upload.give_back()


class Upload:
    """What one upload has taken so far."""

    def __init__(self, user_id: int, own: Room, small: Room, large: Room) -> None:
        self._user_id = user_id
        self._own, self._small, self._large = own, small, large
        self._own_bytes = self._small_bytes = self._large_bytes = 0

    def take(self, size: int) -> None:
        """Raises Overloaded."""
        own = min(size, self._own.left(self._user_id))
        self._own.take(self._user_id, own)
        self._own_bytes += own
        small = min(size - own, SMALL_BYTES - self._small_bytes)
        self._small.take(self._user_id, small)
        self._small_bytes += small
        large = size - own - small
        self._large.take(self._user_id, large)
        self._large_bytes += large

    def give_back(self) -> None:
        self._own.give_back(self._user_id, self._own_bytes)
        self._small.give_back(self._user_id, self._small_bytes)
        self._large.give_back(self._user_id, self._large_bytes)


async def uploaded_files(request: Request[Any, Any, Any], upload: Upload) -> list[UploadedFile]:
    """One or more files, all in the field UPLOAD_FIELD.

    Raises UnsupportedMediaType, MalformedRequest, InvalidFields, Overloaded.
    """
    parts = await _sent_parts(request, upload)
    files = [part for part in parts if part.name == UPLOAD_FIELD]
    problems = []
    if not files or any(part.filename is None for part in files):
        problems.append(FieldProblem(UPLOAD_FIELD, "is required, as an uploaded file"))
    problems += [FieldProblem(part.name, "is not a field here") for part in parts if part.name != UPLOAD_FIELD]
    if problems:
        raise InvalidFields(*problems)
    return [UploadedFile(bytes(part.content), _name(part.filename)) for part in files]


@dataclass(frozen=True, slots=True)
class Form:
    file: bytes
    texts: Mapping[str, str]
    """The other fields that were sent."""


async def uploaded_form(request: Request[Any, Any, Any], upload: Upload, *, texts: Collection[str]) -> Form:
    """One file in UPLOAD_FIELD, and fields of `texts`, each at most once.

    Raises UnsupportedMediaType, MalformedRequest, InvalidFields, Overloaded.
    """
    parts = await _sent_parts(request, upload)
    found: dict[str, str] = {}
    file: bytes | None = None
    problems = []
    for part in parts:
        if part.name in found or (part.name == UPLOAD_FIELD and file is not None):
            problems.append(FieldProblem(part.name, "may be given only once"))
        elif part.name == UPLOAD_FIELD and part.filename is not None:
            file = bytes(part.content)
        elif part.name in texts:
            found[part.name] = part.content.decode(errors="surrogateescape")  # no text may hold surrogates
        elif part.name != UPLOAD_FIELD:
            problems.append(FieldProblem(part.name, "is not a field here"))
    if file is None:
        problems.append(FieldProblem(UPLOAD_FIELD, "is required, as an uploaded file"))
    if file is None or problems:
        raise InvalidFields(*problems)
    return Form(file, found)


def _name(given: str | None) -> str | None:
    """The name as it can be kept: cut, and of characters that PostgreSQL takes. None if nothing is left."""
    return (given or "").replace("\0", "").encode("utf-8", "replace").decode()[:LONGEST_FILE_NAME] or None


async def _sent_parts(request: Request[Any, Any, Any], upload: Upload) -> "list[_Part]":
    """Raises UnsupportedMediaType, MalformedRequest, Overloaded."""
    media_type, options = request.content_type
    if media_type != RequestEncodingType.MULTI_PART:
        raise UnsupportedMediaType(
            f"this route reads {RequestEncodingType.MULTI_PART.value} with a field `{UPLOAD_FIELD}`"
        )

    async def receive() -> HTTPReceiveMessage:
        message: HTTPReceiveMessage = await request.receive()  # type: ignore[assignment]
        if message["type"] == "http.request":
            upload.take(len(message["body"]))
        return message

    return await _parts(Request(request.scope, receive), options.get("boundary", ""))


@dataclass(slots=True)
class _Part:
    name: str
    filename: str | None
    content: bytearray


async def _parts(request: Request[Any, Any, Any], boundary: str) -> list[_Part]:
    """The parts, in memory: Litestar's parser writes each file to disk, and leaves it there if the upload breaks off.

    Raises MalformedRequest.
    """
    if not boundary:
        raise MalformedRequest("the form cannot be read: its Content-Type names no boundary")
    parts: list[_Part] = []
    wrong = "one of its parts is not as multipart/form-data has it"
    try:
        parser = PushMultipartParser(boundary.encode("latin-1"))
        async for chunk in request.stream():
            for event in parser.parse(chunk) if chunk else ():
                if isinstance(event, MultipartSegment):
                    if len(parts) == MAX_PARTS:
                        raise MalformedRequest(f"a form may have {MAX_PARTS} parts at most")
                    parts.append(_Part(event.name or "", event.filename, bytearray()))
                elif event is not None:
                    parts[-1].content += event
        wrong = "it ends before its last boundary"
        parser.close()
    except MultipartError as error:
        raise MalformedRequest(f"the form cannot be read: {wrong}") from error
    return parts
