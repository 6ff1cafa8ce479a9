"""A running club's own code, and its test on the service's in-memory adapters."""

import asyncio
from datetime import UTC, datetime

from fitness.adapters.memory.activities import InMemoryActivityRepo
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.memory.users import InMemoryUserRepo
from fitness.domain.model.activities import ActivityType, NewActivity, recorded
from fitness.domain.model.listings import ActivityFilter, Page
from fitness.domain.model.users import Registration
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.messages import Messages

NOW = datetime(2026, 11, 22, tzinfo=UTC)


async def kilometres_run(repo: ActivityRepoPort, member: int) -> float:
    runs = await repo.list(member, ActivityFilter(activity_types=(ActivityType.RUN,)), Page(limit=100))
    return sum(run.distance_km or 0 for run in runs.items)


async def test_rides_do_not_count() -> None:
    store = InMemoryStore()
    repo, users = InMemoryActivityRepo(store), InMemoryUserRepo(store)
    ann = await users.add(Registration(email="ann@example.org", password="-"), password_hash="-", at=NOW)
    for number, kind in enumerate((ActivityType.RUN, ActivityType.RIDE, ActivityType.RUN)):
        new = NewActivity(activity_type=kind, activity_date=NOW, duration_minutes=30, distance_km=5)
        await repo.add(recorded(new, user_id=ann.id, timezone="UTC", now=NOW), messages=Messages(id=number))
    assert await kilometres_run(repo, ann.id) == 10


if __name__ == "__main__":
    asyncio.run(test_rides_do_not_count())
