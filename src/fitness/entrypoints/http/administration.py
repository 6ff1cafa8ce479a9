"""/admin: permanent deletion, roles and tiers of accounts, and the log of both."""

from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Request, Response, Router, delete, get, patch
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from fitness.domain.model.audit import REASON, AuditEntry
from fitness.domain.model.fields import Says
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import ActivityNotFound, ActivityNotInTrash, UserNotFound
from fitness.domain.model.users import Caller, Role, Tier, User
from fitness.domain.use_cases.administration import AdminService
from fitness.entrypoints.http.bodies import JsonBody
from fitness.entrypoints.http.cursors import LATEST_LOGGED
from fitness.entrypoints.http.queries import ListBody, PageQuery, links_of, list_body, page_of, read_query
from fitness.entrypoints.http.routes import Access, Route
from fitness.ports.outages import LimiterUnavailable

ApiRequest = Request[Caller, Any, Any]


@dataclass(frozen=True, slots=True)
class Purge:
    reason: Annotated[str, REASON, Says("Why, for the audit log; nothing personal.", "Asked for by its owner.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingChanges:
    role: Role | None = None
    tier: Tier | None = None


@delete(
    "/activities/{activity_id:int}",
    dto=JsonBody[Purge],
    return_dto=None,
    opt=Route(
        access=Access.ADMIN,
        action=Action.PURGE,
        refuses=(ActivityNotFound, ActivityNotInTrash, LimiterUnavailable),
    ).opt,
)
async def purge_activity(
    activity_id: FromPath[int],
    data: JSONBody[Purge],
    request: ApiRequest,
    administration: NamedDependency[AdminService],
) -> None:
    """Delete a trashed activity for good. There is no undo."""
    await administration.purge(activity_id, reason=data.reason, by=request.user)


@get(
    "/audit-log",
    opt=Route(access=Access.ADMIN, action=Action.OTHER, query=PageQuery, sends=("Link",)).opt,
)
async def list_audit_log(
    request: ApiRequest, administration: NamedDependency[AdminService]
) -> Response[ListBody[AuditEntry]]:
    """Who purged or changed what, when and why; latest first."""
    page = page_of(read_query(request, PageQuery), order=LATEST_LOGGED)
    body = list_body(await administration.audit_log(page, by=request.user), page, order=LATEST_LOGGED)
    return Response(body, headers=links_of(request, body))


@patch(
    "/users/{user_id:int}",
    dto=JsonBody[StandingChanges],
    return_dto=None,
    opt=Route(access=Access.ADMIN, action=Action.OTHER, refuses=(UserNotFound,)).opt,
)
async def update_standing(
    user_id: FromPath[int],
    data: JSONBody[StandingChanges],
    request: ApiRequest,
    administration: NamedDependency[AdminService],
) -> User:
    """Set an account's role, tier or both; it takes effect with the next request."""
    return await administration.set_standing(user_id, role=data.role, tier=data.tier, by=request.user)


admin_router = Router(
    "/admin", tags=["administration"], route_handlers=[purge_activity, list_audit_log, update_standing]
)
