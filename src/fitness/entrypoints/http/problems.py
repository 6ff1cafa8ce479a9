"""Every way a request can fail, as RFC 9457 problem bodies; kinds.py has the table of their statuses and codes."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from fitness.domain.model.rate_limits import RateLimited
from fitness.domain.model.refusals import (
    ActivityInTrash,
    BadCredentials,
    BadRefreshToken,
    BadResetToken,
    DuplicateActivity,
    FieldProblem,
    IdempotentRequestInFlight,
    InsufficientScope,
    InvalidFields,
    LoginDelayed,
    MatchedOn,
    NotAuthenticated,
)
from fitness.entrypoints.http.kinds import (
    CRASH,
    KINDS,
    Kind,
    RangeNotSatisfiable,
)

RETRY_AFTER_S = 1
"""Retry-After while a store is down, and while an earlier request with the same Idempotency-Key is being answered."""

MEDIA_TYPE = "application/problem+json"

NOSNIFF = (b"x-content-type-options", b"nosniff")
NO_STORE = (b"cache-control", b"no-store")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The body of every error (RFC 9457). `code` is stable, the sentences are not."""

    type: str
    """A name for this kind of problem; nothing is to be fetched there."""
    title: str
    """The kind, in words."""
    status: int
    """As in the status line."""
    detail: str
    """What is wrong with this request, and maybe what to do."""
    code: str
    """The kind, for programs."""
    errors: tuple[FieldProblem, ...] | None = None
    """On invalid_fields: each thing wrong, by field."""
    restore: str | None = None
    """On activity_deleted: where to POST to undo the delete."""
    existing_id: int | None = None
    """On duplicate_activity: the activity that is there."""
    matched_on: MatchedOn | None = None
    """On duplicate_activity: what both have in common."""


KINDS_OF_READS: Mapping[type[Exception], Kind] = {
    ActivityInTrash: Kind(410, "activity_deleted", "Activity deleted"),
}
"""Replaces KINDS for a GET: to a reader, an activity in the trash is gone; to a change, it is in the wrong state."""


def kind_of(error: type[Exception], method: str) -> Kind:
    """The kind of the nearest class in the tables, for a request of this method."""
    if method == "GET" and error in KINDS_OF_READS:
        return KINDS_OF_READS[error]
    return next(KINDS[cls] for cls in error.__mro__ if cls in KINDS)


KINDS_WITH_RETRY = {KINDS[IdempotentRequestInFlight].code}
"""The codes of problems with Retry-After, beside those of 429 and 503."""

KINDS_OF_SERVER: Mapping[int, Kind] = {
    kind.status: kind
    for kind in (
        Kind(400, "malformed_request", "Malformed request"),
        Kind(403, "origin_not_allowed", "Origin not allowed"),
        Kind(408, "request_too_slow", "Request too slow"),
        Kind(414, "target_too_long", "Target too long"),
        Kind(431, "headers_too_large", "Headers too large"),
        CRASH,
    )
}
"""The kinds of the answers that the server gives in the application's place, by status."""


def problem_of_server(status: int, detail: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The headers and the body of an answer of KINDS_OF_SERVER."""
    kind = KINDS_OF_SERVER[status]
    problem = Problem(
        type=f"urn:fitness:problem:{kind.code}", title=kind.title, status=status, detail=detail, code=kind.code
    )
    return [(b"content-type", MEDIA_TYPE.encode()), NOSNIFF, NO_STORE], _encoded(problem)


def allow_header(methods: Iterable[str]) -> str:
    """The Allow header for `methods`: OPTIONS is allowed everywhere, HEAD where GET is."""
    found = {*methods, "OPTIONS"}
    return ", ".join(sorted(found | {"HEAD"} if "GET" in found else found))


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The problem body for `error`: a refusal, an outage, an exception of Litestar's or a crash."""
    kind, body, headers = logged_problem_of(error, request.method, request.scope["path"])
    return Response(body, status_code=kind.status, media_type=MEDIA_TYPE, headers=headers)


def logged_problem_of(error: Exception, method: str, path: str) -> tuple[Kind, bytes, dict[str, str]]:
    """As `problem_of`; a crash is logged."""
    kind, body, headers = problem_of(error, method)
    if kind is CRASH:
        _log.error("%s %s failed", method, path, exc_info=error)
    return kind, body, headers


def problem_of(error: Exception, method: str) -> tuple[Kind, bytes, dict[str, str]]:
    """The kind, the body and the headers of the answer to a request that failed with `error`."""
    kind = kind_of(type(error), method)
    if isinstance(error, HTTPException) and kind is CRASH and error.status_code < 500:
        kind = Kind(error.status_code, "malformed_request", "Malformed request")
    problem = Problem(
        type=f"urn:fitness:problem:{kind.code}",
        title=kind.title,
        status=kind.status,
        detail=_sentence(error, kind),
        code=kind.code,
        errors=_errors(error),
        restore=_restore_link(error, kind),
        existing_id=error.existing_id if isinstance(error, DuplicateActivity) else None,
        matched_on=error.matched_on if isinstance(error, DuplicateActivity) else None,
    )
    return kind, _encoded(problem), _headers(error, kind)


def _encoded(problem: Problem) -> bytes:
    given = {name: value for name, value in msgspec.to_builtins(problem).items() if value is not None}
    return msgspec.json.encode(given)


def _sentence(error: Exception, kind: Kind) -> str:
    if kind is CRASH:
        return "the service failed to answer this; the failure has been logged"
    if isinstance(error, NotFoundException):
        return "there is nothing at this address; where it has an id, that is a whole number such as 42"
    if isinstance(error, MethodNotAllowedException):
        return f"this address allows {_headers(error, kind)['Allow']}"
    if isinstance(error, RequestEntityTooLarge):
        return "the body is larger than this route allows"
    if isinstance(error, ValidationException):
        return "the request has no body, or a part of it is missing"
    if isinstance(error, HTTPException):
        return "the request cannot be read"
    return str(error) or kind.title


def _errors(error: Exception) -> tuple[FieldProblem, ...] | None:
    if isinstance(error, InvalidFields):
        return error.problems
    return None


def _restore_link(error: Exception, kind: Kind) -> str | None:
    if isinstance(error, ActivityInTrash) and kind is KINDS_OF_READS[ActivityInTrash]:
        return f"/api/v1/activities/{error.activity_id}/restore"
    return None


def _headers(error: Exception, kind: Kind) -> dict[str, str]:
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if isinstance(error, MethodNotAllowedException):
        headers = {"Allow": allow_header(headers["allow"].split(", "))}
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if error.token_given else "Bearer"
    if isinstance(error, (BadCredentials, BadRefreshToken, BadResetToken)):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, InsufficientScope):
        headers["WWW-Authenticate"] = 'Bearer error="insufficient_scope"'
    if isinstance(error, RateLimited):
        headers |= {"Retry-After": str(error.decision.retry_after_s), "Cache-Control": "no-store"}
    if isinstance(error, LoginDelayed):
        headers |= {"Retry-After": str(error.retry_after_s), "Cache-Control": "no-store"}
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size_bytes}"
    if kind.status == 503 or isinstance(error, IdempotentRequestInFlight):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return headers
