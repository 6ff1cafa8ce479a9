"""What clients are told of photos."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fitness.domain.model.fields import Id, Says
from fitness.domain.model.photos import Caption, Photo, PhotoSize, Position


@dataclass(frozen=True, slots=True)
class PhotoFileBody:
    """The picture in one size."""

    url: Annotated[str, Says("Where the bytes are; ask with the access token.", format="uri-reference")]
    content_type: Annotated[str, Says("Its media type.", "image/jpeg")]
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    size_bytes: Annotated[int, Says("Of the file.")]


@dataclass(frozen=True, slots=True)
class PhotoBody:
    """A photo of an activity, in two sizes: `large` fits into 2048 x 2048 pixels, `small` into 400 x 400."""

    id: Id
    activity_id: Id
    position: Position
    caption: Caption | None
    created_at: datetime
    large: PhotoFileBody
    small: PhotoFileBody


@dataclass(frozen=True, slots=True)
class PhotosBody:
    items: tuple[PhotoBody, ...]
    """By position; at most 20."""


def photo_url(photo_id: int) -> str:
    return f"/api/v1/photos/{photo_id}"


def photo_body(photo: Photo) -> PhotoBody:
    return PhotoBody(
        id=photo.id,
        activity_id=photo.activity_id,
        position=photo.position,
        caption=photo.caption,
        created_at=photo.created_at,
        large=_file_body(photo, PhotoSize.LARGE),
        small=_file_body(photo, PhotoSize.SMALL),
    )


def _file_body(photo: Photo, size: PhotoSize) -> PhotoFileBody:
    file = photo.file(size)
    url = f"{photo_url(photo.id)}/file?size={size}"
    return PhotoFileBody(url, file.content_type, file.width, file.height, file.size_bytes)
