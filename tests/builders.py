"""Things to test with: sound in every respect that a test does not name."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

from fitness.domain.model.activities import Activity, ActivityType, NewActivity, checked, recorded
from fitness.domain.model.audit import Authority
from fitness.domain.model.users import Registration
from fitness.ports.cache import Scope
from fitness.ports.messages import IdempotencyKey, Messages

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LUNCH = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)

_numbers = count(1)


def a_registration(**stated: Any) -> Registration:
    return Registration(**({"email": f"runner{next(_numbers)}@example.org", "password": "correct horse"} | stated))


def a_new_activity(**stated: Any) -> NewActivity:
    plain: dict[str, Any] = {"activity_type": ActivityType.RUN, "activity_date": LUNCH, "duration_minutes": 30.0}
    return NewActivity(**(plain | stated))


def an_activity(*, user_id: int = 1, at: datetime = NOW, timezone: str = "UTC", **stated: Any) -> Activity:
    """Ready to be added by a repository."""
    return recorded(checked(a_new_activity(**stated), now=at), user_id=user_id, timezone=timezone, now=at)


def messages(*stale: Scope, authority: Authority | None = None, idempotency: IdempotencyKey | None = None) -> Messages:
    """What a change carries; under an id of its own."""
    return Messages(id=next(_numbers), invalidates=stale, authority=authority, idempotency=idempotency)
