"""/activities: recording, reading, correcting, deleting and undoing; importing is in imports.py."""

import hashlib
from typing import Any

from litestar import Request, Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from fitness.domain.model.activities import Activity, DetailsChanges, NewActivity, TrashedActivity
from fitness.domain.model.api_keys import ApiScope
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import (
    ActivityExpired,
    ActivityInTrash,
    ActivityNotFound,
    ActivityNotInTrash,
    DuplicateActivity,
    IdempotencyKeyReused,
    IdempotentRequestInFlight,
    VersionMismatch,
)
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.activities import ActivityService
from fitness.entrypoints.http.bodies import JsonBody
from fitness.entrypoints.http.changes import list_changes
from fitness.entrypoints.http.cursors import LATEST_DELETED, ORDERS
from fitness.entrypoints.http.etags import (
    IF_MATCH,
    IF_NONE_MATCH,
    IF_NONE_MATCH_TO_CHANGE,
    etag,
    versions_to_change,
    versions_to_read,
)
from fitness.entrypoints.http.filters import ListingQuery, filter_of
from fitness.entrypoints.http.idempotency import IDEMPOTENT, idempotency_key
from fitness.entrypoints.http.imports import import_file
from fitness.entrypoints.http.originals import get_file
from fitness.entrypoints.http.queries import ListBody, PageQuery, listed, page_of, read_query
from fitness.entrypoints.http.routes import Access, Route
from fitness.ports.messages import IdempotencyKey

ApiRequest = Request[Caller, Any, Any]


@post(
    "/",
    dto=JsonBody[NewActivity],
    return_dto=None,
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_WRITE,
        action=Action.CREATE,
        refuses=(DuplicateActivity, IdempotencyKeyReused, IdempotentRequestInFlight),
        headers=IDEMPOTENT,
        sends=("ETag", "Location", "Idempotent-Replayed"),
    ).opt,
)
async def create_activity(
    data: JSONBody[NewActivity], request: ApiRequest, activities: NamedDependency[ActivityService]
) -> Response[Activity]:
    """Record an activity. Requests with the same `Idempotency-Key` record it once, however many there are."""
    idempotency = await _idempotency_key(request)
    created = await activities.create(data, by=request.user, idempotency=idempotency)
    headers = _headers(created.activity) | {"Location": f"/api/v1/activities/{created.activity.id}"}
    if created.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(created.activity, status_code=201, headers=headers)


@get(
    "/",
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_READ,
        action=Action.LIST,
        query=ListingQuery,
        sends=("Link", "X-Cache"),
    ).opt,
)
async def list_activities(
    request: ApiRequest, activities: NamedDependency[ActivityService]
) -> Response[ListBody[Activity]]:
    """The caller's activities, newest first unless `sort` says otherwise."""
    query = read_query(request, ListingQuery)
    order = ORDERS[query.sort]
    page = page_of(query, order=order)
    found = await activities.list(filter_of(query), page, by=request.user)
    return listed(request, found.value, page, order=order, said={"X-Cache": found.origin})


@get(
    "/trash",
    opt=Route(
        access=Access.ACCOUNT, scope=ApiScope.ACTIVITIES_READ, action=Action.LIST, query=PageQuery, sends=("Link",)
    ).opt,
)
async def list_trash(
    request: ApiRequest, activities: NamedDependency[ActivityService]
) -> Response[ListBody[TrashedActivity]]:
    """The caller's deleted activities, latest deleted first, with the time at which each is deleted for good."""
    page = page_of(read_query(request, PageQuery), order=LATEST_DELETED)
    return listed(request, await activities.trash(page, by=request.user), page, order=LATEST_DELETED)


@get(
    "/{activity_id:int}",
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_READ,
        action=Action.OTHER,
        refuses=(ActivityNotFound, ActivityInTrash, ActivityExpired, VersionMismatch),
        headers=IF_NONE_MATCH | IF_MATCH,
        sends=("X-Cache",),
    ).opt,
)
async def get_activity(
    activity_id: FromPath[int], request: ApiRequest, activities: NamedDependency[ActivityService]
) -> Response[Activity]:
    """One of the caller's activities; 304 while `If-None-Match` names its current `ETag`."""
    versions = versions_to_read(request)
    found = await activities.get(activity_id, by=request.user)
    if found.value.version not in versions:
        raise VersionMismatch(activity_id)
    return Response(found.value, headers=_headers(found.value) | {"X-Cache": found.origin})


@patch(
    "/{activity_id:int}",
    dto=JsonBody[DetailsChanges],
    return_dto=None,
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_WRITE,
        action=Action.OTHER,
        refuses=(ActivityNotFound, ActivityInTrash, ActivityExpired, VersionMismatch),
        headers=IF_MATCH | IF_NONE_MATCH_TO_CHANGE,
        sends=("ETag",),
    ).opt,
)
async def update_activity(
    activity_id: FromPath[int],
    data: JSONBody[DetailsChanges],
    request: ApiRequest,
    activities: NamedDependency[ActivityService],
) -> Response[Activity]:
    """Merge patch: an absent field keeps its value, null clears it. `If-Match` protects the changes of others."""
    activity = await activities.update(activity_id, data, by=request.user, versions=versions_to_change(request))
    return Response(activity, headers=_headers(activity))


@delete(
    "/{activity_id:int}",
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_WRITE,
        action=Action.OTHER,
        refuses=(ActivityNotFound, ActivityInTrash, ActivityExpired, VersionMismatch),
        headers=IF_MATCH | IF_NONE_MATCH_TO_CHANGE,
    ).opt,
)
async def delete_activity(
    activity_id: FromPath[int], request: ApiRequest, activities: NamedDependency[ActivityService]
) -> None:
    """Move an activity to the trash, from which it can be restored for some weeks."""
    await activities.delete(activity_id, by=request.user, versions=versions_to_change(request))


@post(
    "/{activity_id:int}/restore",
    status_code=200,
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_WRITE,
        action=Action.OTHER,
        refuses=(ActivityNotFound, ActivityNotInTrash, ActivityExpired, DuplicateActivity, VersionMismatch),
        headers=IF_MATCH | IF_NONE_MATCH_TO_CHANGE,
        sends=("ETag",),
    ).opt,
)
async def restore_activity(
    activity_id: FromPath[int], request: ApiRequest, activities: NamedDependency[ActivityService]
) -> Response[Activity]:
    """Take an activity out of the trash, in which it may be until its `purge_at`."""
    activity = await activities.restore(activity_id, by=request.user, versions=versions_to_change(request))
    return Response(activity, headers=_headers(activity))


activities_router = Router(
    "/activities",
    tags=["activities"],
    route_handlers=[
        create_activity,
        list_activities,
        list_trash,
        import_file,
        get_file,
        get_activity,
        update_activity,
        delete_activity,
        restore_activity,
        list_changes,
    ],
)


def _headers(activity: Activity) -> dict[str, str]:
    return {"ETag": etag(activity.version)}


async def _idempotency_key(request: ApiRequest) -> IdempotencyKey | None:
    key = idempotency_key(request)
    return None if key is None else IdempotencyKey(key, hashlib.sha256(await request.body()).hexdigest())
