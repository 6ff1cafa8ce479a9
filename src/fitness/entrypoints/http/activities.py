"""/activities: recording, reading, correcting, deleting and undoing."""

import hashlib
import re
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

from litestar import Request, Response, Router, delete, get, patch, post
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from fitness.domain.model.activities import (
    MAX_TAG_LENGTH,
    MAX_TAGS,
    Activity,
    ActivityType,
    DetailsChanges,
    NewActivity,
    TrashedActivity,
    normalized_tag,
)
from fitness.domain.model.listings import ActivityFilter
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.recordings import MAX_RECORDING_BYTES
from fitness.domain.model.refusals import (
    ActivityInTrash,
    ActivityNotFound,
    ActivityNotInTrash,
    DuplicateActivity,
    FieldProblem,
    IdempotencyKeyReused,
    IdempotentRequestInFlight,
    InvalidFields,
    RecordingCorrupt,
    RecordingTooLarge,
    VersionMismatch,
)
from fitness.domain.model.text import composed, text_problem
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.activities import ActivityService
from fitness.domain.use_cases.importing import ImportService
from fitness.entrypoints.http.bodies import JsonBody
from fitness.entrypoints.http.gate import ACTION
from fitness.entrypoints.http.problems import MalformedRequest, UnsupportedMediaType
from fitness.entrypoints.http.queries import (
    Collecting,
    ListBody,
    PageQuery,
    day_or_instant,
    list_body,
    page_of,
    read_query,
)
from fitness.ports.activities import IdempotencyKey

MULTIPART_OVERHEAD_BYTES = 100_000
MAX_WORDS_LENGTH = 200
MAX_ETAGS = 20

_ETAG = re.compile(r'(W/)?"([0-9]{1,18})"')
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")

IF_MATCH = {"If-Match": "The ETag that the change is for; another version answers 412."}
IF_NONE_MATCH = {"If-None-Match": "The ETag that is known; 304 while it is the present one."}
IDEMPOTENT = {"Idempotency-Key": "A name for this request: sent again within 24 hours, it is answered, not repeated."}

ApiRequest = Request[Caller, Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingQuery(PageQuery):
    """Which of one's own activities."""

    type: Annotated[ActivityType, Meta(description="Of this type.")] | None = None
    from_: (
        Annotated[str, Meta(description="A date: on that local day or later. An instant: started then or later.")]
        | None
    ) = None
    to: (
        Annotated[str, Meta(description="A date: on that local day or earlier. An instant: started before it.")] | None
    ) = None
    tag: Annotated[tuple[str, ...], Meta(description="Has this tag; repeat it to ask for several at once.")] = ()
    exclude_tag: Annotated[tuple[str, ...], Meta(description="Lacks this tag; repeatable.")] = ()
    q: Annotated[str, Meta(description="Stands in the title or the notes, in any letter case.")] | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    items: tuple[Activity, ...]


@post(
    "/",
    dto=JsonBody[NewActivity],
    return_dto=None,
    opt={
        ACTION: Action.CREATE,
        "refuses": (DuplicateActivity, IdempotencyKeyReused, IdempotentRequestInFlight),
        "headers": IDEMPOTENT,
    },
)
async def create_activity(
    data: JSONBody[NewActivity], request: ApiRequest, activities: NamedDependency[ActivityService]
) -> Response[Activity]:
    """Record an activity. With an `Idempotency-Key` header it is recorded once, however often it is sent."""
    idempotency = await _idempotency_key(request)
    created = await activities.create(data, by=request.user, idempotency=idempotency)
    headers = _headers(created.activity) | {"Location": f"/api/v1/activities/{created.activity.id}"}
    if created.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(created.activity, status_code=201, headers=headers)


@get("/", opt={ACTION: Action.LIST, "query": ListingQuery})
async def list_activities(
    request: ApiRequest, activities: NamedDependency[ActivityService]
) -> Response[ListBody[Activity]]:
    """One's own activities, newest first."""
    query = read_query(request, ListingQuery)
    page = page_of(query)
    found = await activities.list(_filter(query), page, by=request.user)
    return Response(list_body(found.value, page), headers={"X-Cache": found.origin})


@get("/trash", opt={ACTION: Action.LIST, "query": PageQuery})
async def list_trash(request: ApiRequest, activities: NamedDependency[ActivityService]) -> ListBody[TrashedActivity]:
    """One's own deleted activities, latest deleted first, with the time at which each will be gone for good."""
    page = page_of(read_query(request, PageQuery))
    return list_body(await activities.trash(page, by=request.user), page)


@post(
    "/import",
    request_max_body_size=MAX_RECORDING_BYTES + MULTIPART_OVERHEAD_BYTES,
    opt={ACTION: Action.CREATE, "upload": "file", "refuses": (DuplicateActivity, RecordingTooLarge, RecordingCorrupt)},
)
async def import_file(request: ApiRequest, imports: NamedDependency[ImportService]) -> Imported:
    """Make activities of one FIT, GPX or TCX file, plain or gzipped, of at most 25 MB: one for each session in it."""
    return Imported(tuple(await imports.import_file(await _uploaded_file(request), by=request.user)))


@get("/{activity_id:int}", opt={"refuses": (ActivityNotFound, ActivityInTrash), "headers": IF_NONE_MATCH})
async def get_activity(
    activity_id: FromPath[int], request: ApiRequest, activities: NamedDependency[ActivityService]
) -> Response[Activity] | Response[None]:
    """One of one's own activities; 304 where `If-None-Match` names its present `ETag`."""
    found = await activities.get(activity_id, by=request.user)
    headers = _headers(found.value) | {"X-Cache": found.origin}
    known = _versions(request.headers.get("if-none-match"), weak=True)
    if known is None or found.value.version in known:
        return Response(None, status_code=304, headers=headers)
    return Response(found.value, headers=headers)


@patch(
    "/{activity_id:int}",
    dto=JsonBody[DetailsChanges],
    return_dto=None,
    opt={"refuses": (ActivityNotFound, ActivityInTrash, VersionMismatch), "headers": IF_MATCH},
)
async def update_activity(
    activity_id: FromPath[int],
    data: JSONBody[DetailsChanges],
    request: ApiRequest,
    activities: NamedDependency[ActivityService],
) -> Response[Activity]:
    """Merge in what is given: an absent field keeps its value, null clears it. `If-Match` guards other changes."""
    activity = await activities.update(activity_id, data, by=request.user, versions=_demanded(request))
    return Response(activity, headers=_headers(activity))


@delete(
    "/{activity_id:int}", opt={"refuses": (ActivityNotFound, ActivityInTrash, VersionMismatch), "headers": IF_MATCH}
)
async def delete_activity(
    activity_id: FromPath[int], request: ApiRequest, activities: NamedDependency[ActivityService]
) -> None:
    """Into the trash, from where it can be restored for some weeks."""
    await activities.delete(activity_id, by=request.user, versions=_demanded(request))


@post(
    "/{activity_id:int}/restore",
    status_code=200,
    opt={"refuses": (ActivityNotFound, ActivityNotInTrash, DuplicateActivity)},
)
async def restore_activity(
    activity_id: FromPath[int], request: ApiRequest, activities: NamedDependency[ActivityService]
) -> Response[Activity]:
    """Out of the trash again."""
    activity = await activities.restore(activity_id, by=request.user)
    return Response(activity, headers=_headers(activity))


activities_router = Router(
    "/activities",
    tags=["activities"],
    route_handlers=[
        create_activity,
        list_activities,
        list_trash,
        import_file,
        get_activity,
        update_activity,
        delete_activity,
        restore_activity,
    ],
)


def _headers(activity: Activity) -> dict[str, str]:
    return {"ETag": f'"{activity.version}"'}


async def _uploaded_file(request: ApiRequest) -> bytes:
    """Raises UnsupportedMediaType, MalformedRequest, InvalidFields."""
    media_type, _ = request.content_type
    if media_type != RequestEncodingType.MULTI_PART:
        raise UnsupportedMediaType(f"this route reads {RequestEncodingType.MULTI_PART.value} with a field `file`")
    try:
        file = (await request.form()).get("file")
    except (LookupError, UnicodeError) as error:  # a part in an encoding that is none
        raise MalformedRequest("the form's parts cannot be decoded") from error
    if not isinstance(file, UploadFile):
        raise InvalidFields(FieldProblem("file", "is required, as an uploaded file"))
    return await file.read()


async def _idempotency_key(request: ApiRequest) -> IdempotencyKey | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidFields(FieldProblem("Idempotency-Key", "must be 1 to 255 visible ASCII characters"))
    return IdempotencyKey(key, hashlib.sha256(await request.body()).hexdigest())


def _versions(header: str | None, *, weak: bool) -> set[int] | None:
    """The versions that an If-Match or If-None-Match names, None for any; what is no tag of ours names nothing."""
    if header is not None and header.strip() == "*":
        return None
    found = islice(_ETAG.finditer(header or ""), MAX_ETAGS)
    return {int(match[2]) for match in found if weak or not match[1]}


def _demanded(request: ApiRequest) -> set[int] | None:
    """The versions that a change is for, None for any."""
    header = request.headers.get("if-match")
    return None if header is None else _versions(header, weak=False)


def _filter(query: ListingQuery) -> ActivityFilter:
    """Raises InvalidFields."""
    collecting = Collecting()
    since = collecting.parsed("from", query.from_, day_or_instant)
    until = collecting.parsed("to", query.to, day_or_instant)
    words = collecting.parsed("q", query.q, _words)
    tags = collecting.parsed("tag", query.tag, _tags)
    excluded_tags = collecting.parsed("exclude_tag", query.exclude_tag, _tags)
    collecting.refuse()
    return ActivityFilter(
        activity_type=query.type,
        since=since,
        until=until,
        tags=tags or (),
        excluded_tags=excluded_tags or (),
        words=words,
    )


def _words(text: str) -> str | None:
    tidy = composed(text.strip(), max_length=MAX_WORDS_LENGTH)
    if problem := text_problem(tidy, max_length=MAX_WORDS_LENGTH):
        raise ValueError(problem)
    return tidy or None


def _tags(texts: tuple[str, ...]) -> tuple[str, ...]:
    tags = tuple(sorted({normalized_tag(text) for text in texts}))
    if len(tags) > MAX_TAGS:
        raise ValueError(f"may be given at most {MAX_TAGS} times")
    for tag in tags:
        if problem := text_problem(tag, min_length=1, max_length=MAX_TAG_LENGTH):
            raise ValueError(problem)
    return tags
