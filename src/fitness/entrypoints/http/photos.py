"""/activities/{id}/photos and /photos: pictures of an activity, what is said of them, and their bytes."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from fitness.domain.model.api_keys import ApiScope
from fitness.domain.model.file_refusals import PhotoMismatch, PhotoNotFound, PictureRefused, TooManyPhotos
from fitness.domain.model.objects import digest_in
from fitness.domain.model.photos import Caption, Photo, PhotoChanges, PhotoFile, PhotoSize
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import ActivityExpired, ActivityInTrash, ActivityNotFound
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.photos import PhotoService
from fitness.entrypoints.http.arrived import ARRIVED, Arrived
from fitness.entrypoints.http.bodies import JsonBody
from fitness.entrypoints.http.delivery import is_known
from fitness.entrypoints.http.etags import (
    IF_MATCH,
    IF_NONE_MATCH,
    IF_NONE_MATCH_TO_CHANGE,
    content_tag,
    tags_to_change,
    tags_to_read,
)
from fitness.entrypoints.http.kinds import RangeNotSatisfiable
from fitness.entrypoints.http.photo_bodies import PhotoBody, PhotosBody, photo_body, photo_url
from fitness.entrypoints.http.queries import read_query
from fitness.entrypoints.http.ranges import RANGE, SENT, asked_part, content_range
from fitness.entrypoints.http.routes import Access, Route
from fitness.entrypoints.http.uploads import MAX_PHOTO_UPLOAD_BYTES, UPLOAD_FIELD, UploadSpace, uploaded_form
from fitness.ports.outages import ObjectsUnavailable, ReaderUnavailable

CAPTION_FIELD = "caption"

ApiRequest = Request[Caller, Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileQuery:
    size: Annotated[PhotoSize, Meta(description="Which of the two sizes.")] = PhotoSize.LARGE


@post(
    "/",
    request_max_body_size=MAX_PHOTO_UPLOAD_BYTES,
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_WRITE,
        action=Action.UPLOAD,
        refuses=(
            *(ActivityNotFound, ActivityInTrash, ActivityExpired, TooManyPhotos, PictureRefused),
            *(ReaderUnavailable, ObjectsUnavailable),
        ),
        upload=UPLOAD_FIELD,
        texts={CAPTION_FIELD: Caption},
        sends=("Location",),
    ).opt,
)
async def add_photo(
    activity_id: FromPath[int],
    request: ApiRequest,
    photos: NamedDependency[PhotoService],
    upload_space: NamedDependency[UploadSpace],
) -> Response[PhotoBody]:
    """Add a picture to an activity: JPEG, PNG or WebP of at most 10 MB and 24 megapixels (WebP: 8), at most 20 of them.

    It is kept upright in two sizes, as JPEG and without anything else that was in the file, such as camera and
    position. Of an animated one the first frame is kept.
    """
    with upload_space.upload(request.user.id) as upload:
        form = await uploaded_form(request, upload, texts=(CAPTION_FIELD,))
        photo = await photos.add(activity_id, form.file, caption=form.texts.get(CAPTION_FIELD), by=request.user)
    return Response(photo_body(photo), status_code=201, headers={"Location": photo_url(photo.id)})


@get(
    "/",
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_READ,
        action=Action.OTHER,
        refuses=(ActivityNotFound, ActivityInTrash, ActivityExpired),
        headers=IF_NONE_MATCH,
        sends=("X-Cache",),
    ).opt,
)
async def list_photos(
    activity_id: FromPath[int], request: ApiRequest, photos: NamedDependency[PhotoService]
) -> Response[PhotosBody]:
    """The photos of an activity, by position."""
    found = await photos.list(activity_id, by=request.user)
    body = PhotosBody(tuple(map(photo_body, found.value.items)))
    return Response(body, headers={"X-Cache": found.origin})


@get(
    "/{photo_id:int}",
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_READ,
        action=Action.OTHER,
        refuses=(PhotoNotFound, PhotoMismatch, ActivityInTrash, ActivityExpired),
        headers=IF_NONE_MATCH | IF_MATCH,
    ).opt,
)
async def get_photo(
    photo_id: FromPath[int], request: ApiRequest, photos: NamedDependency[PhotoService]
) -> Response[PhotoBody]:
    """What is known of a photo, with the addresses of its bytes."""
    is_meant = tags_to_read(request)
    photo = await photos.get(photo_id, by=request.user)
    if not is_meant(_photo_tag(photo)):
        raise PhotoMismatch(photo_id)
    return _photo(photo)


@get(
    "/{photo_id:int}/file",
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_READ,
        action=Action.OTHER,
        refuses=(PhotoNotFound, ActivityInTrash, ActivityExpired, ObjectsUnavailable, RangeNotSatisfiable),
        query=FileQuery,
        headers=IF_NONE_MATCH | RANGE,
        sends=SENT,
        also={206: bytes},
        files=("image/jpeg",),
    ).opt,
)
async def get_photo_file(
    photo_id: FromPath[int], request: ApiRequest, photos: NamedDependency[PhotoService]
) -> Response[bytes]:
    """The bytes of a photo. They never change: while `If-None-Match` names their `ETag`, the answer is 304."""
    size = read_query(request, FileQuery).size
    photo = await photos.get(photo_id, by=request.user)
    file = photo.file(size)
    headers = {"ETag": _tag(file), "Accept-Ranges": "bytes"}
    if is_known(request, headers["ETag"]):
        return Response(b"", status_code=304, headers=headers)
    part = _asked_part(request, file)
    content = await photos.content(photo, file, by=request.user)
    if part is None:
        return Response(content, media_type=file.content_type, headers=headers)
    headers["Content-Range"] = content_range(part, file.size_bytes)
    return Response(content[part], status_code=206, media_type=file.content_type, headers=headers)


@patch(
    "/{photo_id:int}",
    dto=JsonBody[PhotoChanges],
    return_dto=None,
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_WRITE,
        action=Action.OTHER,
        refuses=(PhotoNotFound, PhotoMismatch, ActivityInTrash, ActivityExpired),
        headers=IF_MATCH | IF_NONE_MATCH_TO_CHANGE,
        sends=("ETag",),
    ).opt,
)
async def change_photo(
    photo_id: FromPath[int],
    data: JSONBody[PhotoChanges],
    request: ApiRequest,
    photos: NamedDependency[PhotoService],
) -> Response[PhotoBody]:
    """Merge patch of its caption and its position. At another position, it moves the photos in between by one."""
    return _photo(await photos.change(photo_id, data, by=request.user, meant=tags_to_change(request, _photo_tag)))


@delete(
    "/{photo_id:int}",
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_WRITE,
        action=Action.OTHER,
        refuses=(PhotoNotFound, PhotoMismatch, ActivityInTrash, ActivityExpired),
        headers=IF_MATCH | IF_NONE_MATCH_TO_CHANGE,
    ).opt,
)
async def delete_photo(photo_id: FromPath[int], request: ApiRequest, photos: NamedDependency[PhotoService]) -> None:
    """Delete a photo for good. Those behind it move up."""
    await photos.delete(photo_id, by=request.user, meant=tags_to_change(request, _photo_tag))


photos_of_activity_router = Router(
    "/activities/{activity_id:int}/photos", tags=["photos"], route_handlers=[add_photo, list_photos]
)
photos_router = Router(
    "/photos", tags=["photos"], route_handlers=[get_photo, get_photo_file, change_photo, delete_photo]
)


def _photo_tag(photo: Photo) -> str:
    """The ETag of a photo's description. It covers the position, too, which changes when other photos move."""
    return content_tag(msgspec.json.encode(photo_body(photo))).decode()


def _photo(photo: Photo) -> Response[PhotoBody]:
    return Response(photo_body(photo), headers={"ETag": _photo_tag(photo)})


def _tag(file: PhotoFile) -> str:
    """The ETag of a file's content: an object is never replaced."""
    return f'"{digest_in(file.object_name)[:32]}"'


def _asked_part(request: ApiRequest, file: PhotoFile) -> slice | None:
    """None for the whole file, also for HEAD: Range has a meaning for GET only (RFC 9110, 14.2).

    Raises RangeNotSatisfiable.
    """
    arrived: Arrived = request.scope[ARRIVED]  # type: ignore[literal-required]
    if arrived.method == "HEAD":
        return None
    asked = request.headers
    return asked_part(asked.get("range"), asked.get("if-range"), tag=_tag(file), size_bytes=file.size_bytes)
