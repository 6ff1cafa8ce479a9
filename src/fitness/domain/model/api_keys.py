"""API keys: programs call the service with them, each key for what its owner allows."""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from fitness.domain.model.fields import Items, Says
from fitness.domain.model.refusals import FieldProblem, InvalidFields
from fitness.domain.model.sessions import microseconds
from fitness.domain.model.text import TextRule
from fitness.domain.model.users import Caller

KEY_PREFIX = "fit_"
"""The beginning of every key, so that a key is recognized where it should not be: in a log, in a repository."""

KEY_NAME = TextRule(min_length=1, max_length=100)
MOST_KEYS = 50
"""The most keys of one account."""

LAST_EXPIRY = datetime.max.replace(tzinfo=UTC)
"""PostgreSQL keeps later times, and Python cannot read them: 9999-12-31T23:59:59-05:00 is in the year 10000 in UTC."""

_KEY = "key-"
"""The beginning of a key's name, which stands in the place of a caller's session id; session ids are hexadecimal."""
KeyName = Annotated[str, KEY_NAME, Says("What it is for.", "backup")]

USE_NOTED_EVERY = timedelta(hours=1)


class ApiScope(StrEnum):
    """What a key may be good for."""

    ACTIVITIES_READ = "activities:read"
    ACTIVITIES_WRITE = "activities:write"
    PROFILE_READ = "profile:read"
    PROFILE_WRITE = "profile:write"


ApiScopes = Annotated[tuple[ApiScope, ...], Items(fewest=1), Says("What it may do.", ("activities:read",))]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key as it is kept, without the key itself: only a digest of that is kept."""

    id: int
    user_id: int
    name: str
    scopes: tuple[ApiScope, ...]
    created_at: datetime
    expires_at: datetime | None
    """When the key expires; None means never."""
    last_used_at: datetime | None
    """The last use of the key, to within USE_NOTED_EVERY; None means never."""

    @property
    def caller(self) -> Caller:
        """The caller that the key stands for. Whatever ends all sessions of the account ends its keys, too."""
        return Caller(self.user_id, f"{_KEY}{self.id}", microseconds(self.created_at), self.expires_at)


def key_of(caller: Caller) -> int | None:
    """The id of the API key that the caller came with; None for a session."""
    return int(caller.session_id.removeprefix(_KEY)) if caller.session_id.startswith(_KEY) else None


def new_key() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(30)


def key_digest(key: str) -> bytes:
    """The digest under which a key is kept. Keys are random, so a quick hash is as good as a slow one."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def checked_key(
    name: str, scopes: Collection[ApiScope], expires_at: datetime | None, *, now: datetime
) -> tuple[str, datetime | None]:
    """`name` and `expires_at` as they are kept, the latter in UTC. Raises InvalidFields."""
    tidy = KEY_NAME.tidied(name)
    problems = [FieldProblem("name", problem)] if (problem := KEY_NAME.problem(tidy)) else []
    if not scopes:
        problems.append(FieldProblem("scopes", "must name at least one"))
    if expires_at is not None and (expires_at.tzinfo is None or expires_at <= now):
        problems.append(FieldProblem("expires_at", "must be a time to come, with its offset from UTC"))
    elif expires_at is not None and expires_at > LAST_EXPIRY:
        problems.append(FieldProblem("expires_at", "must not be after the year 9999 in UTC"))
    if problems:
        raise InvalidFields(*problems)
    return tidy, None if expires_at is None else expires_at.astimezone(UTC)
