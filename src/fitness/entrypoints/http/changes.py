"""/activities/changes: what happened to one's activities, in order."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from litestar import Request, get
from litestar.di import NamedDependency
from msgspec import Meta

from fitness.domain.model.activities import Activity
from fitness.domain.model.api_keys import ApiScope
from fitness.domain.model.changes import Change, ChangeKind
from fitness.domain.model.listings import MAX_LIMIT
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import ChangesNotKept, FieldProblem, InvalidFields
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.changes import ChangeService
from fitness.entrypoints.http.cursors import change_cursor, change_of
from fitness.entrypoints.http.queries import read_query
from fitness.entrypoints.http.routes import Access, Route


class Beginning(StrEnum):
    NOW = "now"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesQuery:
    cursor: (
        Annotated[
            str, Meta(description="`next_cursor` of the page before, or the `cursor` of a change: on from there.")
        ]
        | None
    ) = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="Changes on a page.")] = 20
    from_: (
        Annotated[Beginning, Meta(description="`now`: no changes, but the cursor from which the next ones follow.")]
        | None
    ) = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeBody:
    """One change. Changes of the same activity follow each other in the order in which they were made."""

    cursor: str
    """The place after this change."""
    kind: ChangeKind
    activity_id: int
    version: int
    """The activity's after the change; of a purged one, its last."""
    at: datetime
    """When it was made."""
    activity: Activity | None
    """As it is now, which may be after later changes; null while it is in the trash, and once it is purged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """`next_cursor` is there on the last page as well: what changes later follows from it."""

    items: tuple[ChangeBody, ...]
    next_cursor: str
    """The place after the last of these."""
    more: bool
    """Whether there are more changes at this moment."""


@get(
    "/changes",
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_READ,
        action=Action.LIST,
        query=ChangesQuery,
        refuses=(ChangesNotKept,),
    ).opt,
)
async def list_changes(request: Request[Caller, Any, Any], changes: NamedDependency[ChangeService]) -> Changes:
    """What happened to the caller's activities, in order, each with the activity as it is now.

    Without a cursor it begins with the oldest change that is kept: changes are kept for 90 days. To follow all of one's
    activities, ask for a cursor with `from=now`, list the activities, and go on from that cursor.
    """
    query, by = read_query(request, ChangesQuery), request.user
    if query.from_ is Beginning.NOW:
        if query.cursor is not None:
            raise InvalidFields(FieldProblem("from", "cannot be combined with cursor"))
        return Changes(items=(), next_cursor=change_cursor(by.id, await changes.last(by=by)), more=False)
    after = None if query.cursor is None else change_of(query.cursor, by.id)
    page = await changes.after(after, most=query.limit, by=by)
    last = page.changes[-1].seq if page.changes else page.last_seq
    items = tuple(change_body(one, by.id) for one in page.changes)
    return Changes(items=items, next_cursor=change_cursor(by.id, last), more=last < page.last_seq)


def change_body(change: Change, owner: int) -> ChangeBody:
    return ChangeBody(
        cursor=change_cursor(owner, change.seq),
        kind=change.kind,
        activity_id=change.activity_id,
        version=change.version,
        at=change.at,
        activity=change.activity,
    )
