"""Accounts: who someone is, what they may do, and what makes a profile valid."""

import hashlib
import hmac
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, NewType, TypedDict

from fitness.domain.model.fields import Id, Length, Says
from fitness.domain.model.passwords import (
    MAX_PASSWORD_LENGTH,
    MIN_PASSWORD_LENGTH,
    normalized_password,
    password_problem,
)
from fitness.domain.model.refusals import FieldProblem, InvalidFields, NotAuthenticated
from fitness.domain.model.text import TextRule
from fitness.domain.model.time_zones import time_zone_problem

EMAIL = TextRule(max_length=254, joiners=False)
NAME = TextRule(max_length=100)

EXAMPLE_PASSWORD = "hills at dawn, twice"  # noqa: S105 - nobody's

_EMAIL_GIVEN = r"^\s*[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)*\s*$"
Email = Annotated[str, EMAIL, Says("One person's; kept in lower case.", "ann@example.org", pattern=_EMAIL_GIVEN)]
Password = Annotated[
    str, Length(MIN_PASSWORD_LENGTH, MAX_PASSWORD_LENGTH), Says("None of the commonest.", EXAMPLE_PASSWORD, "password")
]
Name = Annotated[str, NAME, Says("As others may call them; null is none.", "Ann")]
TimeZone = Annotated[str, Says("An IANA time zone name: the default of activities that name none.", "Europe/Paris")]

# One @ with something sensible on either side; only a mail shows whether mail arrives there.
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f.]+(\.[^@\s\x00-\x1f\x7f.]+)*")


EmailAddress = NewType("EmailAddress", str)
"""The one form of an address, as `normalized_email` makes it: trimmed, NFC, lower case. It may be no valid address."""


RESTORED_FOR = timedelta(days=30)
"""How long a deleted account can be restored."""


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"


class Tier(StrEnum):
    FREE = "free"
    PREMIUM = "premium"


class WeekStart(StrEnum):
    MONDAY = "monday"
    SUNDAY = "sunday"


@dataclass(frozen=True, slots=True)
class Calendar:
    """How a person counts days: in which time zone, and on which day weeks begin."""

    timezone: str
    week_start: WeekStart


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request speaks for, as its access token says."""

    id: int
    session_id: str
    logged_in_us: int = 0
    """When the session's login began, in microseconds since 1970."""
    until: datetime | None = field(default=None, compare=False)
    """When the request's token or key expires; None means never. Callers that differ only in this are equal."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What each request has to know about its caller's account.

    No field has a default, so that a copy is not accepted if an older version cached it without one of the fields.
    """

    tier: Tier | None
    """The account's tier; None if there is no such account, or no longer."""
    role: Role
    not_before_us: int
    """Sessions whose login began earlier have ended; in microseconds since 1970."""
    spared: str | None
    """The one session that began earlier and has not ended: the session that ended the others."""
    revoked: tuple[str, ...]
    """Sessions that were revoked one by one and whose access tokens may still be valid, in the order of ids."""

    def refuses(self, caller: Caller) -> bool:
        """Whether the caller's session has been ended, or its account is gone."""
        if self.tier is None or caller.session_id in self.revoked:
            return True
        return begun_too_early(caller, not_before_us=self.not_before_us, spared=self.spared)


def begun_too_early(caller: Caller, *, not_before_us: int, spared: str | None) -> bool:
    """Whether the caller's session was ended together with all others from before that time, but the `spared` one."""
    return caller.logged_in_us < not_before_us and caller.session_id != spared


NOBODY = Standing(tier=None, role=Role.USER, not_before_us=0, spared=None, revoked=())
"""The standing of an account that does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What someone says of themselves on the way in."""

    email: Email
    password: Password
    name: Name | None = None
    timezone: TimeZone = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account without its secrets. `timezone` is the default of the activities it records."""

    id: Id
    email: Email
    name: Name | None
    timezone: TimeZone
    week_start: WeekStart
    role: Role
    tier: Tier
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(User):
    """As admins see it."""

    deleted_at: datetime | None
    """Since when it is deleted; it can be restored for RESTORED_FOR."""


class AccountState(StrEnum):
    LIVING = "living"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFilter:
    """Which accounts a list holds; a field that is None does not narrow it."""

    email: EmailAddress | None = None
    id: int | None = None
    role: Role | None = None
    tier: Tier | None = None
    state: AccountState | None = None


LIVING = AccountFilter(state=AccountState.LIVING)


class ProfileChanges(TypedDict, total=False):
    """A merge patch of a profile: an absent key keeps, None clears the name."""

    name: Name | None
    timezone: TimeZone
    week_start: WeekStart


def normalized_email(email: str) -> EmailAddress:
    return EmailAddress(EMAIL.tidied(email).lower())


def checked_registration(registration: Registration) -> Registration:
    """`registration` in the form it is kept in. Raises InvalidFields naming every rule broken."""
    tidy = replace(
        registration,
        email=normalized_email(registration.email),
        password=normalized_password(registration.password),
        name=_tidy_name(registration.name),
    )
    found = {
        "email": email_problem(tidy.email),
        "password": password_problem(tidy.password),
        "name": _name_problem(tidy.name),
        "timezone": time_zone_problem(tidy.timezone),
    }
    _refuse(found)
    return tidy


def checked_password(password: str, *, field: str) -> str:
    """`password` in the form it is hashed in. Raises InvalidFields."""
    normal = normalized_password(password)
    _refuse({field: password_problem(normal)})
    return normal


def checked_profile(changes: ProfileChanges) -> ProfileChanges:
    """`changes` in the form they are kept in. Raises InvalidFields naming every rule broken."""
    tidy = changes.copy()
    if "name" in tidy:
        tidy["name"] = _tidy_name(tidy["name"])
    _refuse(
        {
            "name": _name_problem(tidy.get("name")),
            "timezone": time_zone_problem(tidy["timezone"]) if "timezone" in tidy else None,
        }
    )
    return tidy


def account_name(email: EmailAddress, secret: bytes) -> str:
    """The name under which an account's logins are counted, whether or not the account exists.

    The address cannot be read from the name.
    """
    return hmac.new(secret, email.encode(), hashlib.sha256).hexdigest()[:32]


def still_there(user: User | None) -> User:
    """The caller's account. Raises NotAuthenticated if the account is gone, although its token is valid."""
    if user is None:
        raise NotAuthenticated("the account of this token no longer exists")
    return user


def email_problem(email: str) -> str | None:
    if len(email) > EMAIL.max_length or not _EMAIL.fullmatch(email):
        return "must be an e-mail address such as ann@example.org"
    return EMAIL.problem(email)


def _tidy_name(name: str | None) -> str | None:
    return (NAME.tidied(name) or None) if name is not None else None


def _name_problem(name: str | None) -> str | None:
    return None if name is None else NAME.problem(name)


def _refuse(found: dict[str, str | None]) -> None:
    if problems := [FieldProblem(field, message) for field, message in found.items() if message]:
        raise InvalidFields(*problems)
