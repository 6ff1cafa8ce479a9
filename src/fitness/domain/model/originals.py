"""Files as they were uploaded, what they are called, and what was read of them."""

import re
import unicodedata
from dataclasses import dataclass, fields, replace
from datetime import datetime

from fitness.domain.model.activities import Activity, Details, DetailsChanges, revised
from fitness.domain.model.objects import digest_in
from fitness.domain.model.refusals import InvalidFields
from fitness.domain.model.time_zones import local_date

GZIP = "application/gzip"
FIT = "application/vnd.ant.fit"
GPX = "application/gpx+xml"
TCX = "application/vnd.garmin.tcx+xml"
MEDIA_TYPES = (FIT, GPX, TCX, GZIP)

LONGEST_FILE_NAME = 150

_ENDINGS = {GZIP: ".gz", FIT: ".fit", GPX: ".gpx", TCX: ".tcx"}
_SEARCHED_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file on its way in."""

    content: bytes
    """The file's bytes, packed or not."""
    name: str | None = None
    """The owner's name for the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOriginal:
    """A file that was stored, and whose rows are still to be written."""

    object_name: str
    media_type: str
    file_name: str | None
    size_bytes: int
    home_timezone: str
    """The profile's time zone when the file was read, so that it can be read in the same way again."""
    made: int
    """How many activities the file made, including those that existed already."""
    warnings: tuple[str, ...] = ()
    recovered: bool = False
    existing_ids: tuple[int, ...] = ()
    """The ids of existing activities that were kept instead of activities of the file, which were skipped."""
    request_key: str | None = None
    """The client's name for the request that uploaded the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Original(NewOriginal):
    """A file that is kept for as long as one of its activities exists, live or trashed."""

    id: int
    user_id: int
    stored_at: datetime

    @property
    def digest(self) -> str:
        """SHA-256 of the file as it is, packed or not."""
        return digest_in(self.object_name)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read about one activity in a file, and the activity as it is now."""

    number: int
    """The activity's place in the file, from 1."""
    details: Details
    activity: Activity


@dataclass(frozen=True, slots=True)
class Reread:
    """An activity after its file was read again."""

    activity: Activity
    """The activity after the reading; the same object if nothing changes."""
    differing: tuple[str, ...] = ()
    """The fields that change."""
    edited: tuple[str, ...] = ()
    """The fields that differ from the file, but are kept as a person has set them."""


DETAILS = tuple(field.name for field in fields(Details))


def reread(reading: Reading, anew: Details, *, now: datetime) -> Reread:
    """Take over what the file says today, except in fields that a person has edited since the last reading.

    A field that would break a rule together with an edited field is left as it is, too.
    """
    activity = reading.activity
    other = [name for name in DETAILS if getattr(anew, name) != getattr(activity, name)]
    edited = [name for name in other if getattr(activity, name) != getattr(reading.details, name)]
    taken = [name for name in other if name not in edited]
    while True:  # ends: each further round takes fewer fields
        changes: DetailsChanges = {name: getattr(anew, name) for name in taken}  # type: ignore[assignment]
        try:
            changed = revised(activity, changes, home_timezone=activity.timezone, now=now)
        except InvalidFields as refusal:
            broken = {problem.field for problem in refusal.problems}
            left = [name for name in taken if name not in broken]
            taken = left if len(left) < len(taken) else []
        else:
            return Reread(changed, tuple(taken), tuple(name for name in other if name not in taken))


def details_of(activity: Details) -> Details:
    return Details(**{name: getattr(activity, name) for name in DETAILS})


def first_answer(reading: Reading) -> Activity:
    """The activity as the answer to its import showed it."""
    activity = reading.activity
    stated = {name: getattr(reading.details, name) for name in DETAILS}
    day = local_date(reading.details.activity_date, reading.details.timezone or activity.timezone)
    return replace(activity, **stated, version=1, local_date=day, updated_at=activity.created_at, deleted_at=None)


def media_type_of(content: bytes) -> str:
    """The media type of a file that could be read."""
    if content.startswith(b"\x1f\x8b"):
        return GZIP
    if content[8:12] == b".FIT":
        return FIT
    # Without its zeros, UTF-16 looks like Latin-1.
    head = content[:_SEARCHED_BYTES].replace(b"\0", b"")
    return TCX if b"TrainingCenterDatabase" in head else GPX


def safe_file_name(name: str | None, activity_id: int, media_type: str) -> str:
    """A name to save the file under, of letters, digits and few other characters, without any folder."""
    last = unicodedata.normalize("NFC", re.split(r"[/\\]", name or "")[-1])
    safe = re.sub(r"[^\w.,() +-]", "_", last)[-LONGEST_FILE_NAME:].strip(" .")
    return safe if re.search(r"\w", safe) else f"activity-{activity_id}{_ENDINGS[media_type]}"
