"""Photos of activities: what is kept of a picture that somebody uploads, and what may be said of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypedDict

from fitness.domain.model.fields import Id, Number, Says
from fitness.domain.model.refusals import FieldProblem, InvalidFields
from fitness.domain.model.text import TextRule

MAX_PHOTO_BYTES = 10_000_000
"""The largest picture that may be uploaded."""

MAX_PHOTOS = 20
"""The most photos of one activity."""

CAPTION = TextRule(max_length=500, lines=True)

Caption = Annotated[str, CAPTION, Says("Text of several lines.", "The view from the top.")]
Position = Annotated[int, Number(1, MAX_PHOTOS), Says("Its place among the activity's photos, from 1.", 1)]


class PhotoSize(StrEnum):
    """The two sizes that are kept of every photo, never larger than the picture was."""

    LARGE = "large"
    SMALL = "small"


LONGEST_SIDE_PX = {PhotoSize.LARGE: 2048, PhotoSize.SMALL: 400}


@dataclass(frozen=True, slots=True)
class Rendition:
    """A picture in one size, as it is stored: it holds the visible image, and nothing else of the uploaded file."""

    content: bytes
    content_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Picture:
    """The renditions of an uploaded picture."""

    large: Rendition
    small: Rendition

    def __iter__(self) -> Iterator[Rendition]:
        return iter((self.large, self.small))


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoFile:
    """A rendition that is stored, without its content."""

    object_name: str
    """The name under which the object store has the content."""
    content_type: str
    width: int
    height: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPhoto:
    activity_id: int
    user_id: int
    caption: str | None
    created_at: datetime
    large: PhotoFile
    small: PhotoFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo(NewPhoto):
    """A kept photo."""

    id: Id
    position: Position

    @property
    def object_names(self) -> tuple[str, str]:
        return self.large.object_name, self.small.object_name

    def file(self, size: PhotoSize) -> PhotoFile:
        return self.large if size is PhotoSize.LARGE else self.small


@dataclass(frozen=True, slots=True)
class Photos:
    """The photos of one activity of that user, by position."""

    user_id: int
    items: tuple[Photo, ...]


class PhotoChanges(TypedDict, total=False):
    """A merge patch: an absent key keeps, null clears the caption. A position beyond the last photo is the last one."""

    caption: Caption | None
    position: Position


_POSITION = Number(1, MAX_PHOTOS)


def checked_caption(caption: str | None) -> str | None:
    """`caption` as it is kept; None if it is empty. Raises InvalidFields."""
    return checked_changes({"caption": caption})["caption"]


def checked_changes(changes: PhotoChanges) -> PhotoChanges:
    """`changes` in the form they are kept in. Raises InvalidFields."""
    tidy = changes.copy()
    problems = []
    if "caption" in tidy:
        tidy["caption"] = CAPTION.tidied(tidy["caption"] or "") or None
        problems.append(("caption", CAPTION.problem(tidy["caption"] or "")))
    if "position" in tidy:
        problems.append(("position", _POSITION.problem(tidy["position"])))
    wrong = [FieldProblem(field, problem) for field, problem in problems if problem is not None]
    if wrong:
        raise InvalidFields(*wrong)
    return tidy


def stored(rendition: Rendition, object_name: str) -> PhotoFile:
    return PhotoFile(
        object_name=object_name,
        content_type=rendition.content_type,
        width=rendition.width,
        height=rendition.height,
        size_bytes=len(rendition.content),
    )
