"""Checks that the kept totals are what the activities add up to."""

from collections.abc import Sequence

from fitness.adapters.postgres.asking import Connection, findings
from fitness.ports.health import Finding, Verdict

# A row of totals whose activities are all gone is full of zeros. A bound may be higher than every activity.
DIFFERENCES = """
    SELECT count(*), count(DISTINCT user_id), min(user_id)
    FROM activity_totals AS kept
    FULL JOIN computed_activity_totals AS computed USING (user_id, span, starts_on, activity_type)
    WHERE coalesce(kept.activities, 0) <> coalesce(computed.activities, 0)
        OR coalesce(kept.duration, 0) <> coalesce(computed.duration, 0)
        OR coalesce(kept.elapsed, 0) <> coalesce(computed.elapsed, 0)
        OR coalesce(kept.distance_m, 0) <> coalesce(computed.distance_m, 0)
        OR coalesce(kept.climb_mm, 0) <> coalesce(computed.climb_mm, 0)
        OR coalesce(kept.calories_kcal, 0) <> coalesce(computed.calories_kcal, 0)
        OR coalesce(kept.with_distance, 0) <> coalesce(computed.with_distance, 0)
        OR coalesce(kept.duration_with_distance, 0) <> coalesce(computed.duration_with_distance, 0)
        OR coalesce(kept.with_heart_rate, 0) <> coalesce(computed.with_heart_rate, 0)
        OR coalesce(kept.duration_with_heart_rate, 0) <> coalesce(computed.duration_with_heart_rate, 0)
        OR coalesce(kept.heartbeats, 0) <> coalesce(computed.heartbeats, 0)
        OR coalesce(kept.days, 0) <> coalesce(computed.days, 0)
        OR coalesce(kept.longest, 0) < coalesce(computed.longest, 0)
        OR coalesce(kept.furthest_m, 0) < coalesce(computed.furthest_m, 0)
        OR coalesce(kept.most_climb_mm, 0) < coalesce(computed.most_climb_mm, 0)
"""


class TotalsDiagnosis:
    def __init__(self, url: str) -> None:
        self._url = url

    async def diagnose(self) -> Sequence[Finding]:
        return await findings(self._url, _totals)


def _totals(connection: Connection) -> list[Finding]:
    totals, people, first = connection.execute(DIFFERENCES).fetchone() or (0, 0, None)
    if totals:
        what = f"{totals} totals of {people} accounts, from user {first} on, are not what their activities add up to"
        return [Finding(Verdict.WRONG, f"{what}; run `fitness stats rebuild`")]
    return [Finding(Verdict.GOOD, "they are what the activities add up to")]
