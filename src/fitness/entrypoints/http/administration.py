"""/admin: permanent deletion, roles and tiers of accounts, and the log of both."""

from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Request, Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from fitness.domain.model.activities import ActivityDates, ActivityState
from fitness.domain.model.audit import REASON, AuditAction, AuditEntry, AuditFilter
from fitness.domain.model.fields import MAX_INT64 as MAX_ID
from fitness.domain.model.fields import Says
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import (
    ActivityNotFound,
    ActivityNotInTrash,
    EmailTaken,
    LastAdmin,
    UserNotDeleted,
    UserNotFound,
)
from fitness.domain.model.text import text_problem
from fitness.domain.model.users import (
    EMAIL,
    Account,
    AccountFilter,
    AccountState,
    Caller,
    EmailAddress,
    Role,
    Tier,
    User,
    normalized_email,
)
from fitness.domain.use_cases.administration import AdminService, ResetIssued
from fitness.entrypoints.http.accounts import NO_STORE
from fitness.entrypoints.http.bodies import JsonBody
from fitness.entrypoints.http.cursors import LATEST_ACCOUNTS, LATEST_ACTIVITIES, LATEST_LOGGED
from fitness.entrypoints.http.queries import (
    ListBody,
    PageQuery,
    ParameterErrors,
    instant,
    listed,
    page_of,
    read_query,
)
from fitness.entrypoints.http.routes import Access, Route
from fitness.ports.outages import LimiterUnavailable

ApiRequest = Request[Caller, Any, Any]


@dataclass(frozen=True, slots=True)
class Purge:
    reason: (
        Annotated[
            str,
            REASON,
            Says(
                "Why, for the audit log; nothing personal. It may stand in the query string instead.",
                "Asked for by its owner.",
            ),
        ]
        | None
    ) = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeQuery:
    reason: Annotated[str, REASON, Meta(description="Why, for clients that cannot send a body with DELETE.")] | None = (
        None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersQuery(PageQuery):
    email: Annotated[str, Meta(description="Of exactly this address.")] | None = None
    id: Annotated[int, Meta(ge=1, le=MAX_ID, description="Of this id.")] | None = None
    role: Annotated[Role, Meta(description="Of this role.")] | None = None
    tier: Annotated[Tier, Meta(description="Of this tier.")] | None = None
    state: Annotated[AccountState, Meta(description="Living or deleted.")] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivitiesQuery(PageQuery):
    user_id: Annotated[int, Meta(ge=1, le=MAX_ID, description="Whose activities.", examples=[1])]
    state: Annotated[ActivityState, Meta(description="Live or trashed.")] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery(PageQuery):
    actor_id: Annotated[int, Meta(ge=1, le=MAX_ID, description="Done by this admin.")] | None = None
    action: Annotated[AuditAction, Meta(description="What was done.")] | None = None
    subject_id: Annotated[int, Meta(ge=1, le=MAX_ID, description="Done to this activity or user.")] | None = None
    from_: Annotated[str, Meta(description="An instant with its offset from UTC, inclusive.")] | None = None
    to: Annotated[str, Meta(description="An instant with its offset from UTC, exclusive.")] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingChanges:
    role: Annotated[Role, Says("What the account may do; null leaves it.", "user")] | None = None
    tier: Annotated[Tier, Says("Which limits it has; null leaves it.", "premium")] | None = None


@delete(
    "/activities/{activity_id:int}",
    dto=JsonBody[Purge],
    return_dto=None,
    opt=Route(
        access=Access.ADMIN,
        action=Action.PURGE,
        query=PurgeQuery,
        refuses=(ActivityNotFound, ActivityNotInTrash, LimiterUnavailable),
    ).opt,
)
async def purge_activity(
    activity_id: FromPath[int],
    request: ApiRequest,
    administration: NamedDependency[AdminService],
    data: JSONBody[Purge | None] = None,
) -> None:
    """Delete a trashed activity for good. There is no undo."""
    asked = read_query(request, PurgeQuery).reason
    reason = asked if data is None or data.reason is None else data.reason
    await administration.purge(activity_id, reason=reason or "", by=request.user)


@get(
    "/audit-log",
    opt=Route(access=Access.ADMIN, action=Action.OTHER, query=AuditQuery, sends=("Link",)).opt,
)
async def list_audit_log(
    request: ApiRequest, administration: NamedDependency[AdminService]
) -> Response[ListBody[AuditEntry]]:
    """Who purged or changed what, when and why; latest first."""
    query = read_query(request, AuditQuery)
    page = page_of(query, order=LATEST_LOGGED)
    found = await administration.audit_log(page, _audit_filter(query), by=request.user)
    return listed(request, found, page, order=LATEST_LOGGED)


@get("/users", opt=Route(access=Access.ADMIN, action=Action.OTHER, query=UsersQuery, sends=("Link",)).opt)
async def list_users(request: ApiRequest, administration: NamedDependency[AdminService]) -> Response[ListBody[Account]]:
    """Accounts, the latest first; deleted ones too, while they can be restored."""
    query = read_query(request, UsersQuery)
    page = page_of(query, order=LATEST_ACCOUNTS)
    errors = ParameterErrors()
    email = errors.parsed("email", query.email, _address)
    errors.refuse()
    which = AccountFilter(email=email, id=query.id, role=query.role, tier=query.tier, state=query.state)
    found = await administration.list_users(page, which, by=request.user)
    return listed(request, found, page, order=LATEST_ACCOUNTS)


@get("/activities", opt=Route(access=Access.ADMIN, action=Action.OTHER, query=ActivitiesQuery, sends=("Link",)).opt)
async def list_user_activities(
    request: ApiRequest, administration: NamedDependency[AdminService]
) -> Response[ListBody[ActivityDates]]:
    """A user's activities, in the trash too, the latest first: ids and dates, no content."""
    query = read_query(request, ActivitiesQuery)
    page = page_of(query, order=LATEST_ACTIVITIES)
    found = await administration.list_activities(query.user_id, page, query.state, by=request.user)
    return listed(request, found, page, order=LATEST_ACTIVITIES)


@post(
    "/users/{user_id:int}/restore",
    status_code=200,
    opt=Route(access=Access.ADMIN, action=Action.OTHER, refuses=(UserNotFound, UserNotDeleted, EmailTaken)).opt,
)
async def restore_user(
    user_id: FromPath[int], request: ApiRequest, administration: NamedDependency[AdminService]
) -> User:
    """Undo the deletion of an account, within 30 days. Its owner has to log in again."""
    return await administration.restore_user(user_id, by=request.user)


@patch(
    "/users/{user_id:int}",
    dto=JsonBody[StandingChanges],
    return_dto=None,
    opt=Route(access=Access.ADMIN, action=Action.OTHER, refuses=(UserNotFound, LastAdmin)).opt,
)
async def update_standing(
    user_id: FromPath[int],
    data: JSONBody[StandingChanges],
    request: ApiRequest,
    administration: NamedDependency[AdminService],
) -> User:
    """Set an account's role, tier or both; it takes effect with the next request."""
    return await administration.set_standing(user_id, role=data.role, tier=data.tier, by=request.user)


@post(
    "/users/{user_id:int}/password-reset",
    status_code=201,
    opt=Route(access=Access.ADMIN, action=Action.OTHER, refuses=(UserNotFound,)).opt,
)
async def issue_password_reset(
    user_id: FromPath[int], request: ApiRequest, administration: NamedDependency[AdminService]
) -> Response[ResetIssued]:
    """A token with which the account's owner sets another password, once, within 24 hours. It is logged."""
    issued = await administration.issue_reset(user_id, by=request.user)
    return Response(issued, headers=NO_STORE)


def _address(text: str) -> EmailAddress:
    """Of any account there may be. Raises ValueError."""
    email = normalized_email(text)
    if problem := text_problem(email, max_length=EMAIL.max_length):
        raise ValueError(problem)
    return email


def _audit_filter(query: AuditQuery) -> AuditFilter:
    """Raises InvalidFields."""
    errors = ParameterErrors()
    since = errors.parsed("from", query.from_, instant)
    until = errors.parsed("to", query.to, instant)
    errors.refuse()
    return AuditFilter(
        actor_id=query.actor_id, action=query.action, subject_id=query.subject_id, since=since, until=until
    )


admin_router = Router(
    "/admin",
    tags=["administration"],
    route_handlers=[
        purge_activity,
        list_user_activities,
        list_audit_log,
        list_users,
        update_standing,
        restore_user,
        issue_password_reset,
    ],
)
