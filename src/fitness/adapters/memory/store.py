"""What the in-memory repositories share, as the tables of one database would."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from fitness.domain.model.activities import Activity
from fitness.domain.model.audit import AuditAction, AuditEntry, Authority
from fitness.domain.model.users import User
from fitness.ports.cache import Owed


@dataclass(slots=True)
class InMemoryStore:
    activities: dict[int, Activity] = field(default_factory=dict)
    users: dict[int, User] = field(default_factory=dict)
    password_hashes: dict[int, str] = field(default_factory=dict)
    answers: dict[tuple[int, str], "StoredAnswer"] = field(default_factory=dict)
    audit: list[AuditEntry] = field(default_factory=list)
    debts: dict[int, "Debt"] = field(default_factory=dict)
    monotonic_s: Callable[[], float] = time.monotonic
    ids: "count[int]" = field(default_factory=lambda: count(1))

    def owe(self, owed: Owed) -> None:
        self.debts.setdefault(owed.id, Debt(owed, self.monotonic_s()))

    def log(self, action: AuditAction, authority: Authority, *, subject_id: int, owner_id: int) -> None:
        entry = AuditEntry(
            id=next(self.ids),
            at=authority.at,
            actor_id=authority.actor_id,
            action=action,
            subject_id=subject_id,
            owner_id=owner_id,
            reason=authority.reason,
        )
        self.audit.append(entry)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What the first request with an Idempotency-Key was told."""

    fingerprint: str
    activity: Activity
    at: datetime


@dataclass(frozen=True, slots=True)
class Debt:
    owed: Owed
    since_s: float
