"""Exports of all of a person's data: in which form, and for how long."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from fitness.domain.model.activities import Activity
from fitness.domain.model.fields import Says
from fitness.domain.model.photos import Photo

LINK_TTL = timedelta(hours=24)
"""How long an archive can be downloaded, from when it is ready."""

USED_KEPT_FOR = timedelta(hours=1)
"""How long a download that has begun may take."""

ASKED_AGAIN_AFTER = timedelta(minutes=30)
"""After this time the attempts of an export's job are over: whoever asks again has the export made anew."""

WAITING_TTL = timedelta(hours=24)
"""An export that could not be made in this time is given up, so that another one can be requested."""

_RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Characters that a cell may not begin with; the last four are full-width forms of the first four."""


class ExportState(StrEnum):
    WAITING = "waiting"
    READY = "ready"
    OVER = "over"
    """The export was downloaded, or not in time, or something of its owner's was deleted for good since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    id: int
    user_id: int
    requested_at: datetime
    ready_at: datetime | None
    expires_at: datetime | None
    size_bytes: int | None
    used_at: datetime | None

    def state(self, at: datetime) -> ExportState:
        if self.ready_at is None or self.expires_at is None:
            return ExportState.WAITING
        return ExportState.READY if self.used_at is None and at < self.expires_at else ExportState.OVER


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportStatus:
    state: Annotated[
        ExportState,
        Says("`over` once it was downloaded, was not in time, or something of the caller's was deleted for good."),
    ]
    requested_at: Annotated[datetime, Says("When it was asked for.")]
    expires_at: Annotated[datetime, Says("Until then the link is good.")] | None
    size_bytes: Annotated[int, Says("Of the archive.")] | None
    url: Annotated[str, Says("Of the archive, for one download without a token. Show it to nobody.")] | None
    """While it is ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedPhoto:
    """What an archive says about a picture in it."""

    id: int
    activity_id: int
    position: int
    caption: str | None
    created_at: datetime


def exported_photo(photo: Photo) -> ExportedPhoto:
    return ExportedPhoto(
        id=photo.id,
        activity_id=photo.activity_id,
        position=photo.position,
        caption=photo.caption,
        created_at=photo.created_at,
    )


ACTIVITY_COLUMNS = tuple(field.name for field in fields(Activity))


def csv_head() -> str:
    return csv_line(ACTIVITY_COLUMNS)


def csv_row(activity: Activity) -> str:
    """A line of the table; `csv_head` is the table's first line."""
    return csv_line(csv_cell(getattr(activity, name)) for name in ACTIVITY_COLUMNS)


def csv_cell(value: object) -> str:
    """`value` as text. A text that a spreadsheet would take for a formula gets an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, tuple | frozenset):
        return csv_cell("; ".join(value))
    if isinstance(value, str) and value.startswith(_RUN_BY_SPREADSHEETS):
        return f"'{value}"
    return _plain(value) if not isinstance(value, bool) else str(value).lower()


def csv_line(cells: Iterable[str]) -> str:
    """A line of CSV as in RFC 4180."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()


def json_text(record: object) -> str:
    """A dataclass as JSON, with its fields as the API names and writes them."""
    return json.dumps(_members(record), default=_plain, ensure_ascii=False)


def _members(record: object) -> Mapping[str, object]:
    return {field.name: getattr(record, field.name) for field in fields(record)}  # type: ignore[arg-type]


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)
