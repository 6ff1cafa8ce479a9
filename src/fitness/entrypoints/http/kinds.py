"""Kinds of problems, and those of photos: a part of the table in problems.py."""

from collections.abc import Mapping
from dataclasses import dataclass

from fitness.domain.model.refusals import (
    PhotoNotFound,
    PictureCorrupt,
    PictureEmpty,
    PictureTooLarge,
    PictureTooManyPixels,
    PictureUnknown,
    TooManyPhotos,
)


class RangeNotSatisfiable(Exception):
    """The Range begins behind the end of the content."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the range begins behind the end; there are {size_bytes} bytes")
        self.size_bytes = size_bytes


@dataclass(frozen=True, slots=True)
class Kind:
    """What all problems with one `code` share."""

    status: int
    code: str
    title: str


KINDS_OF_PHOTOS: Mapping[type[Exception], Kind] = {
    PhotoNotFound: Kind(404, "photo_not_found", "Photo not found"),
    TooManyPhotos: Kind(409, "too_many_photos", "Too many photos"),
    PictureEmpty: Kind(422, "photo_empty", "Empty file"),
    PictureTooLarge: Kind(413, "photo_too_large", "Photo too large"),
    PictureTooManyPixels: Kind(422, "photo_too_many_pixels", "Too many pixels"),
    PictureUnknown: Kind(422, "photo_unknown", "Unknown picture format"),
    PictureCorrupt: Kind(422, "photo_corrupt", "Damaged picture"),
    RangeNotSatisfiable: Kind(416, "range_not_satisfiable", "Range not satisfiable"),
}
