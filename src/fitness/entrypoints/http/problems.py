"""Every way a request can fail, as RFC 9457 problem bodies: the only place that knows a refusal's HTTP status."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    SerializationException,
    ValidationException,
)
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from fitness.domain.model.rate_limits import RateLimited
from fitness.domain.model.refusals import (
    ActivityDeleted,
    ActivityInTrash,
    ActivityNotFound,
    ActivityNotInTrash,
    AdminOnly,
    BadCredentials,
    DuplicateActivity,
    EmailTaken,
    FieldProblem,
    IdempotencyKeyReused,
    IdempotentRequestInFlight,
    InvalidFields,
    LoginDelayed,
    NotAuthenticated,
    RecordingCorrupt,
    RecordingEmpty,
    RecordingTooLarge,
    RecordingUnknown,
    RecordingWithoutActivity,
    RecordingWithoutTimes,
    UserNotFound,
    VersionMismatch,
)
from fitness.ports.outages import CacheUnavailable, DatabaseUnavailable, LimiterUnavailable, ReaderUnavailable

RETRY_AFTER_S = 1
"""How long a client is asked to wait for a store that is down, or for its own first request."""

_log = logging.getLogger(__name__)


class MalformedRequest(Exception):
    """The request cannot be understood, whatever it asks for."""


class AddressNotAllowed(Exception):
    """This is not for everybody."""


class UnsupportedMediaType(Exception):
    """The body is of a type that this route does not read."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What all problems with one `code` share."""

    status: int
    code: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The body of every error, as RFC 9457 has it; `code` is stable, the sentences are not."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[FieldProblem, ...] | None = None
    """On invalid_fields: each thing wrong, by field."""
    restore: str | None = None
    """On activity_deleted: where to POST to undo the delete."""
    existing_id: int | None = None
    """On duplicate_activity: the activity that is there."""


CRASH = Kind(500, "internal_error", "Internal error")

KINDS: Mapping[type[Exception], Kind] = {
    InvalidFields: Kind(422, "invalid_fields", "Invalid fields"),
    MalformedRequest: Kind(400, "malformed_request", "Malformed request"),
    ValidationException: Kind(400, "malformed_request", "Malformed request"),
    SerializationException: Kind(400, "malformed_request", "Malformed request"),
    UnsupportedMediaType: Kind(415, "unsupported_media_type", "Unsupported media type"),
    RequestEntityTooLarge: Kind(413, "body_too_large", "Body too large"),
    NotFoundException: Kind(404, "not_found", "Not found"),
    MethodNotAllowedException: Kind(405, "method_not_allowed", "Method not allowed"),
    NotAuthenticated: Kind(401, "not_authenticated", "Not authenticated"),
    BadCredentials: Kind(401, "bad_credentials", "Bad credentials"),
    LoginDelayed: Kind(429, "login_delayed", "Too many failed logins"),
    RateLimited: Kind(429, "rate_limited", "Too many requests"),
    AddressNotAllowed: Kind(403, "address_not_allowed", "Address not allowed"),
    AdminOnly: Kind(403, "admin_only", "Admins only"),
    EmailTaken: Kind(409, "email_taken", "E-mail address taken"),
    UserNotFound: Kind(404, "user_not_found", "User not found"),
    ActivityNotFound: Kind(404, "activity_not_found", "Activity not found"),
    ActivityDeleted: Kind(410, "activity_deleted", "Activity deleted"),
    ActivityInTrash: Kind(409, "activity_in_trash", "Activity in the trash"),
    ActivityNotInTrash: Kind(409, "activity_not_in_trash", "Activity not in the trash"),
    VersionMismatch: Kind(412, "version_mismatch", "Changed since"),
    DuplicateActivity: Kind(409, "duplicate_activity", "Recorded already"),
    IdempotencyKeyReused: Kind(422, "idempotency_key_reused", "Idempotency-Key reused"),
    IdempotentRequestInFlight: Kind(409, "request_in_flight", "Request in flight"),
    RecordingEmpty: Kind(422, "file_empty", "Empty file"),
    RecordingTooLarge: Kind(413, "file_too_large", "File too large"),
    RecordingUnknown: Kind(422, "file_unknown", "Unknown file format"),
    RecordingCorrupt: Kind(422, "file_corrupt", "Damaged file"),
    RecordingWithoutActivity: Kind(422, "file_without_activity", "No activity in the file"),
    RecordingWithoutTimes: Kind(422, "file_without_times", "No times in the file"),
    DatabaseUnavailable: Kind(503, "database_unavailable", "Database unavailable"),
    LimiterUnavailable: Kind(503, "limiter_unavailable", "Limiter unavailable"),
    CacheUnavailable: Kind(503, "cache_unavailable", "Cache unavailable"),
    ReaderUnavailable: Kind(503, "reader_unavailable", "Reader unavailable"),
    Exception: CRASH,
}


def kind_of(error: type[Exception]) -> Kind:
    """By the nearest class that the table knows."""
    return next(KINDS[cls] for cls in error.__mro__ if cls in KINDS)


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The problem that `error` is, whether a refusal, one of Litestar's own or a crash."""
    kind = kind_of(type(error))
    if isinstance(error, HTTPException) and kind is CRASH and error.status_code < 500:
        kind = Kind(error.status_code, "malformed_request", "Malformed request")
    if kind is CRASH:
        _log.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
    problem = Problem(
        type=f"urn:fitness:problem:{kind.code}",
        title=kind.title,
        status=kind.status,
        detail=_sentence(error, kind),
        code=kind.code,
        errors=_errors(error),
        restore=_restore_link(error),
        existing_id=error.existing_id if isinstance(error, DuplicateActivity) else None,
    )
    return Response(
        _encoded(problem),
        status_code=kind.status,
        media_type="application/problem+json",
        headers=_headers(error, kind),
    )


def _encoded(problem: Problem) -> bytes:
    given = {name: value for name, value in msgspec.to_builtins(problem).items() if value is not None}
    return msgspec.json.encode(given)


def _sentence(error: Exception, kind: Kind) -> str:
    if kind is CRASH:
        return "something went wrong here; it has been logged"
    if isinstance(error, NotFoundException):
        return "there is nothing at this address"
    if isinstance(error, MethodNotAllowedException):
        return "this address does not take this method; the Allow header lists those it takes"
    if isinstance(error, RequestEntityTooLarge):
        return "the body is larger than this route takes"
    if isinstance(error, ValidationException):
        return "the request lacks its body, or a part of it"
    if isinstance(error, HTTPException):
        return error.detail
    return str(error) or kind.title


def _errors(error: Exception) -> tuple[FieldProblem, ...] | None:
    if isinstance(error, InvalidFields):
        return error.problems
    return None


def _restore_link(error: Exception) -> str | None:
    return f"/api/v1/activities/{error.activity_id}/restore" if isinstance(error, ActivityDeleted) else None


def _headers(error: Exception, kind: Kind) -> dict[str, str]:
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if error.token_given else "Bearer"
    if isinstance(error, BadCredentials):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RateLimited):
        headers |= {"Retry-After": str(error.decision.retry_after_s), "Cache-Control": "no-store"}
    if isinstance(error, LoginDelayed):
        headers |= {"Retry-After": str(error.retry_after_s), "Cache-Control": "no-store"}
    if kind.status == 503 or isinstance(error, IdempotentRequestInFlight):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return headers
