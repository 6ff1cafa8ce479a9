"""The status and the code of the answer to each refusal and each error, ours or Litestar's: the only such table."""

from collections.abc import Mapping
from dataclasses import dataclass

from litestar.exceptions import (
    MethodNotAllowedException,
    NotFoundException,
    SerializationException,
    ValidationException,
)
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from fitness.domain.model.file_refusals import (
    PhotoMismatch,
    PhotoNotFound,
    PictureCorrupt,
    PictureEmpty,
    PictureTooLarge,
    PictureTooManyPixels,
    PictureUnknown,
    RecordingCorrupt,
    RecordingEmpty,
    RecordingTooLarge,
    RecordingTooManyActivities,
    RecordingUnknown,
    RecordingWithoutActivity,
    RecordingWithoutTimes,
    TooManyPhotos,
)
from fitness.domain.model.rate_limits import RateLimited
from fitness.domain.model.refusals import (
    ActivityExpired,
    ActivityInTrash,
    ActivityNotFound,
    ActivityNotInTrash,
    AdminOnly,
    BadCredentials,
    BadRefreshToken,
    BadResetToken,
    ChangesNotKept,
    DuplicateActivity,
    EmailTaken,
    ExportNotFound,
    IdempotencyKeyReused,
    IdempotentRequestInFlight,
    InsufficientScope,
    InvalidFields,
    KeyNotFound,
    LastAdmin,
    LoginDelayed,
    NotAuthenticated,
    ProfileMismatch,
    RecordingNotFound,
    SessionNotFound,
    TagNotFound,
    TooManyFollowers,
    TooManyKeys,
    UserNotDeleted,
    UserNotFound,
    VersionMismatch,
    WrongPassword,
)
from fitness.ports.outages import (
    CacheUnavailable,
    DatabaseUnavailable,
    LimiterUnavailable,
    ObjectsUnavailable,
    Overloaded,
    ReaderUnavailable,
    SessionsUnavailable,
    TicketsUnavailable,
)


class MalformedRequest(Exception):
    """The request cannot be decoded: broken JSON, a form or a query string that is not UTF-8."""


class AddressNotAllowed(Exception):
    """The client's address is not in FITNESS_METRICS_ALLOW."""


class UnsupportedMediaType(Exception):
    """The body is of a type that this route does not read."""


class NotAcceptable(Exception):
    """The request does not accept the type that this route answers."""


class RangeNotSatisfiable(Exception):
    """The Range begins after the end of the content."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the range begins behind the end; there are {size_bytes} bytes")
        self.size_bytes = size_bytes


@dataclass(frozen=True, slots=True)
class Kind:
    """What all problems with one `code` share."""

    status: int
    code: str
    title: str


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
    BadRefreshToken: Kind(401, "bad_refresh_token", "Bad refresh token"),
    BadResetToken: Kind(401, "bad_reset_token", "Bad reset token"),
    LoginDelayed: Kind(429, "login_delayed", "Too many failed logins"),
    RateLimited: Kind(429, "rate_limited", "Too many requests"),
    AddressNotAllowed: Kind(403, "address_not_allowed", "Address not allowed"),
    InsufficientScope: Kind(403, "insufficient_scope", "Insufficient scope"),
    AdminOnly: Kind(403, "admin_only", "Admins only"),
    WrongPassword: Kind(403, "wrong_password", "Wrong password"),
    KeyNotFound: Kind(404, "key_not_found", "API key not found"),
    TooManyKeys: Kind(409, "too_many_keys", "Too many API keys"),
    LastAdmin: Kind(409, "last_admin", "Last admin"),
    UserNotDeleted: Kind(409, "user_not_deleted", "User not deleted"),
    EmailTaken: Kind(409, "email_taken", "E-mail address taken"),
    UserNotFound: Kind(404, "user_not_found", "User not found"),
    SessionNotFound: Kind(404, "session_not_found", "Session not found"),
    ActivityNotFound: Kind(404, "activity_not_found", "Activity not found"),
    ActivityInTrash: Kind(409, "activity_in_trash", "Activity in the trash"),
    ActivityNotInTrash: Kind(409, "activity_not_in_trash", "Activity not in the trash"),
    ActivityExpired: Kind(410, "activity_expired", "Activity expired"),
    ExportNotFound: Kind(404, "export_not_found", "Export not found"),
    TagNotFound: Kind(404, "tag_not_found", "Tag not found"),
    VersionMismatch: Kind(412, "version_mismatch", "Changed since"),
    ProfileMismatch: Kind(412, "version_mismatch", "Changed since"),
    PhotoMismatch: Kind(412, "version_mismatch", "Changed since"),
    DuplicateActivity: Kind(409, "duplicate_activity", "Recorded already"),
    ChangesNotKept: Kind(410, "changes_not_kept", "Changes not kept"),
    NotAcceptable: Kind(406, "not_acceptable", "Not acceptable"),
    TooManyFollowers: Kind(409, "too_many_connections", "Too many connections"),
    IdempotencyKeyReused: Kind(422, "idempotency_key_reused", "Idempotency-Key reused"),
    IdempotentRequestInFlight: Kind(409, "request_in_flight", "Request in flight"),
    RecordingNotFound: Kind(404, "recording_not_found", "No file"),
    RecordingEmpty: Kind(422, "file_empty", "Empty file"),
    RecordingTooLarge: Kind(413, "file_too_large", "File too large"),
    RecordingTooManyActivities: Kind(422, "file_too_many_activities", "Too many activities in the file"),
    RecordingUnknown: Kind(422, "file_unknown", "Unknown file format"),
    RecordingCorrupt: Kind(422, "file_corrupt", "Damaged file"),
    RecordingWithoutActivity: Kind(422, "file_without_activity", "No activity in the file"),
    RecordingWithoutTimes: Kind(422, "file_without_times", "No times in the file"),
    DatabaseUnavailable: Kind(503, "database_unavailable", "Database unavailable"),
    LimiterUnavailable: Kind(503, "limiter_unavailable", "Limiter unavailable"),
    CacheUnavailable: Kind(503, "cache_unavailable", "Cache unavailable"),
    Overloaded: Kind(503, "overloaded", "Overloaded"),
    SessionsUnavailable: Kind(503, "sessions_unavailable", "Sessions unavailable"),
    TicketsUnavailable: Kind(503, "tickets_unavailable", "Tickets unavailable"),
    ReaderUnavailable: Kind(503, "reader_unavailable", "Reader unavailable"),
    ObjectsUnavailable: Kind(503, "objects_unavailable", "Store of files unavailable"),
    PhotoNotFound: Kind(404, "photo_not_found", "Photo not found"),
    TooManyPhotos: Kind(409, "too_many_photos", "Too many photos"),
    PictureEmpty: Kind(422, "photo_empty", "Empty file"),
    PictureTooLarge: Kind(413, "photo_too_large", "Photo too large"),
    PictureTooManyPixels: Kind(422, "photo_too_many_pixels", "Too many pixels"),
    PictureUnknown: Kind(422, "photo_unknown", "Unknown picture format"),
    PictureCorrupt: Kind(422, "photo_corrupt", "Damaged picture"),
    RangeNotSatisfiable: Kind(416, "range_not_satisfiable", "Range not satisfiable"),
    Exception: CRASH,
}
