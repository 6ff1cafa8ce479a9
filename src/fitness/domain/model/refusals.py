"""Why a use case says no, as facts a person can act on; how each looks on the wire is the entrypoint's business."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


def in_seconds(count: int) -> str:
    return "1 second" if count == 1 else f"{count} seconds"


class Refusal(Exception):
    """A use case's well-formed no. The message is a sentence for the person who asked."""

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is copied by calling its class with its message; most refusals take other arguments.
        return _revived, (type(self), self.args, self.__dict__)


def _revived(kind: type[Refusal], args: tuple[object, ...], state: dict[str, object]) -> Refusal:
    refusal = kind.__new__(kind, *args)
    refusal.__dict__.update(state)
    return refusal


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with one field of the input."""

    field: str
    """Its name in the body, in the query string or among the headers."""
    message: str
    """What it must be or must not."""


class InvalidFields(Refusal):
    """The input is understood and breaks rules; every broken one is listed."""

    def __init__(self, *problems: FieldProblem) -> None:
        super().__init__("; ".join(f"{p.field}: {p.message}" for p in problems))
        self.problems = problems


class NotAuthenticated(Refusal):
    """No access token, or one that is malformed, expired or signed by nobody known."""

    def __init__(self, message: str, *, token_given: bool = True) -> None:
        super().__init__(message)
        self.token_given = token_given


class BadCredentials(Refusal):
    """The same words for an unknown e-mail address and a wrong password."""

    def __init__(self) -> None:
        super().__init__("the e-mail address or the password is wrong")


class BadRefreshToken(Refusal):
    """The same words for a token that was never issued, has been used, has expired, or whose session was revoked."""

    def __init__(self) -> None:
        super().__init__("the refresh token is not good, or not any more; log in again")


class BadResetToken(Refusal):
    """The same words for a token that was never issued, has been used, or has expired."""

    def __init__(self) -> None:
        super().__init__("the reset token is not good, or not any more; ask an admin for another one")


class SessionNotFound(Refusal):
    def __init__(self) -> None:
        super().__init__("you have no such session")


class WrongPassword(Refusal):
    """Somebody who is logged in was asked for the password again, and gave a wrong one."""

    def __init__(self) -> None:
        super().__init__("the password is wrong")


class LoginDelayed(Refusal):
    """Too many failures in a row, so that the password of this login is not checked."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many failed logins; try again in {in_seconds(retry_after_s)}")
        self.retry_after_s = retry_after_s


class AdminOnly(Refusal):
    def __init__(self) -> None:
        super().__init__("this needs the admin role")


class EmailTaken(Refusal):
    def __init__(self) -> None:
        super().__init__("an account with this e-mail address exists")


class UserNotFound(Refusal):
    def __init__(self, who: int | str) -> None:
        super().__init__(f"user {who} does not exist")


class UserNotDeleted(Refusal):
    """The account that was to be restored is living."""

    def __init__(self, user_id: int) -> None:
        super().__init__(f"user {user_id} is not deleted")


class KeyNotFound(Refusal):
    def __init__(self, key_id: int) -> None:
        super().__init__(f"you have no API key {key_id}")


class TooManyKeys(Refusal):
    def __init__(self) -> None:
        super().__init__("an account has at most 50 API keys; revoke one first")


class InsufficientScope(Refusal):
    """The API key is valid, but not for this request."""

    def __init__(self, scope: str | None) -> None:
        needed = "needs a login" if scope is None else f"needs the scope {scope}"
        super().__init__(f"this {needed}, which the API key does not have")


class LastAdmin(Refusal):
    """Without the last admin, nobody could make another one."""

    def __init__(self) -> None:
        super().__init__("this is the last admin; make another one first")


class ActivityNotFound(Refusal):
    """Also said of somebody else's activity, in the very same words."""

    def __init__(self, activity_id: int) -> None:
        super().__init__(f"activity {activity_id} does not exist")


class ActivityInTrash(Refusal):
    """The activity that was to be read or changed is in its owner's trash."""

    def __init__(self, activity_id: int) -> None:
        super().__init__(f"activity {activity_id} is in the trash; restore it first")
        self.activity_id = activity_id


class ActivityNotInTrash(Refusal):
    """The activity that was to be restored or permanently deleted is live."""

    def __init__(self, activity_id: int) -> None:
        super().__init__(f"activity {activity_id} is not in the trash")


class ActivityExpired(Refusal):
    """The activity has been in its owner's trash for too long to be restored; it is deleted for good soon."""

    def __init__(self, activity_id: int) -> None:
        super().__init__(f"activity {activity_id} has been in the trash for too long, and cannot be restored any more")


class ExportNotFound(Refusal):
    """No export was requested; or its link was used before, is in use, has expired, or was made up."""

    def __init__(self) -> None:
        super().__init__("there is no such export, or its link was used or has expired; ask for another one")


class TagNotFound(Refusal):
    def __init__(self, tag: str) -> None:
        super().__init__(f"no activity of yours has the tag {tag}")


class VersionMismatch(Refusal):
    """Someone has changed the activity since the version that the caller has named."""

    def __init__(self, activity_id: int) -> None:
        super().__init__(f"activity {activity_id} has changed since; read it again and repeat")


class ProfileMismatch(Refusal):
    """The profile is not, or no longer, in a state that the caller has named."""

    def __init__(self) -> None:
        super().__init__("your profile has changed since; read it again and repeat")


class MatchedOn(StrEnum):
    """By what an activity was found to be the same as another one."""

    EXTERNAL_ID = "external_id"
    """Both have the same `source` and `external_id`."""
    FILE = "file"
    """Both are of the same file, packed or not."""
    START = "start"
    """Both are of one family of sports, and began within a minute."""


class DuplicateActivity(Refusal):
    """A live activity of the user is the same; `existing_id` is None where both are new."""

    def __init__(self, existing_id: int | None, matched_on: MatchedOn = MatchedOn.EXTERNAL_ID) -> None:
        twice = "two of these activities have the same origin"
        super().__init__(twice if existing_id is None else f"this was recorded already, as activity {existing_id}")
        self.existing_id = existing_id
        self.matched_on = matched_on


class RecordingNotFound(Refusal):
    """The activity was not made of a file, or it was made before files were kept."""

    def __init__(self, activity_id: int) -> None:
        super().__init__(f"activity {activity_id} has no file")
        self.activity_id = activity_id


class IdempotencyKeyReused(Refusal):
    def __init__(self) -> None:
        super().__init__("this Idempotency-Key was used with another body in the last 24 hours")


class IdempotentRequestInFlight(Refusal):
    def __init__(self) -> None:
        super().__init__("a request with this Idempotency-Key is being carried out; repeat it in a moment")


class ChangesNotKept(Refusal):
    """Some of the changes since the requested place have been trimmed from the change log."""

    def __init__(self) -> None:
        super().__init__(
            "some of the changes since this cursor are not kept any more: ask for a new cursor with from=now, list "
            "your activities, and go on from that cursor"
        )


class TooManyFollowers(Refusal):
    """The account has as many connections to the live feed as it may have."""

    def __init__(self, most: int) -> None:
        super().__init__(f"an account has at most {most} connections to the live feed: close one of them")
