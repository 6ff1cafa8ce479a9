"""The record of what was done with authority: who, what, when and why; nothing personal."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fitness.domain.model.fields import Id, Says
from fitness.domain.model.refusals import FieldProblem, InvalidFields
from fitness.domain.model.text import TextRule

REASON = TextRule(min_length=1, max_length=500)


class AuditAction(StrEnum):
    ACTIVITY_PURGED = "activity_purged"
    USER_CHANGED = "user_changed"
    PASSWORD_RESET_ISSUED = "password_reset_issued"  # noqa: S105 - no password
    USER_RESTORED = "user_restored"
    USER_ERASED = "user_erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """`actor_id` None is the service itself or its operator's command line."""

    id: Id
    at: Annotated[datetime, Says("When it was done.")]
    actor_id: Annotated[Id, Says("The account that did it; null is the service, or its operator.")] | None
    action: AuditAction
    subject_id: Annotated[Id, Says("The activity purged, or the user changed.")]
    owner_id: Annotated[Id, Says("Whose it was.")]
    reason: Annotated[str, Says("As whoever did it gave it; null is none.")] | None
    position: Annotated[Id, Says("In the order in which entries were written, from 1 and without gaps.")]
    hash: Annotated[str, Says("In hexadecimal, over this entry and the one before it.")]
    """See audit_chain.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """On whose authority, when and why something is done."""

    actor_id: int | None
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries a list holds; a field that is None does not narrow it."""

    actor_id: int | None = None
    action: AuditAction | None = None
    subject_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    """The end of the period, exclusive."""


ALL_ENTRIES = AuditFilter()


def checked_reason(reason: str) -> str:
    """`reason` as it is kept. Raises InvalidFields."""
    tidy = REASON.tidied(reason)
    if message := REASON.problem(tidy):
        raise InvalidFields(FieldProblem("reason", message))
    return tidy
