"""Checks that no activity or account is overdue to be deleted for good, and that background jobs are carried out."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from fitness.adapters.postgres.asking import Connection, findings
from fitness.adapters.postgres.jobs import BACKLOG
from fitness.adapters.postgres.upkeep import OVERDUE
from fitness.ports.health import Finding, Verdict

GOOD, DOUBTFUL, WRONG = Verdict

LATE_S = 6 * 3600.0
"""The threshold of the alert PurgeOverdue."""

WAITING_S = 900.0
"""The threshold of the alert JobsLate."""

FAILED = """
    SELECT count(*)
    FROM procrastinate_jobs
    WHERE status = 'failed'
"""


class DeletionDiagnosis:
    """Activities that are in the trash since `trashed` or longer, and accounts deleted by `departed`, are overdue."""

    def __init__(self, url: str, *, trashed: datetime, departed: datetime) -> None:
        self._url = url
        self._since = {"trashed": trashed, "departed": departed}

    async def diagnose(self) -> Sequence[Finding]:
        return await findings(self._url, partial(_overdue, since=self._since))


class JobsDiagnosis:
    def __init__(self, url: str) -> None:
        self._url = url

    async def diagnose(self) -> Sequence[Finding]:
        return await findings(self._url, _jobs)


def _overdue(connection: Connection, since: dict[str, datetime]) -> list[Finding]:
    activities, activities_s, accounts, accounts_s = connection.execute(OVERDUE, since).fetchone() or (0, 0.0, 0, 0.0)
    if not activities and not accounts:
        return [Finding(GOOD, "nothing is overdue")]
    return [
        Finding(
            WRONG if late_s > LATE_S else DOUBTFUL,
            f"{count} {what} should have been deleted for good, the oldest {timedelta(seconds=round(late_s))} ago; "
            "does a worker run? See ops/runbooks/PurgeOverdue.md",
        )
        for count, what, late_s in ((activities, "activities", activities_s), (accounts, "accounts", accounts_s))
        if count
    ]


def _jobs(connection: Connection) -> list[Finding]:
    found = [
        Finding(
            WRONG,
            f"{count} jobs of {queue} wait, one for {timedelta(seconds=round(oldest_s))}; run `fitness worker`, and "
            "see ops/runbooks/JobsLate.md",
        )
        for queue, count, oldest_s in connection.execute(BACKLOG).fetchall()
        if oldest_s > WAITING_S
    ]
    (failed,) = connection.execute(FAILED).fetchone() or (0,)
    if failed:
        what = f"{failed} jobs have failed and are not tried again: see `fitness jobs list --status failed`"
        found.append(Finding(DOUBTFUL, what))
    return found or [Finding(GOOD, "no job waits for long, and none has failed")]
