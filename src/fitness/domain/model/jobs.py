"""Background jobs: work that is done after a change, or by the clock, and that no request waits for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType


class Queue(StrEnum):
    """The queues are separate, so that a job that nobody waits for never keeps a person waiting."""

    PROMPT = "prompt"
    UPKEEP = "upkeep"


class Task(StrEnum):
    EXPORT = "export"
    EMPTY_TRASH = "empty_trash"
    ERASE_ACCOUNTS = "erase_accounts"
    FORGET_EXPIRED = "forget_expired"
    DELETE_OBJECTS = "delete_objects"
    SWEEP_OBJECTS = "sweep_objects"

    @property
    def queue(self) -> Queue:
        return Queue.UPKEEP if self in EVERY else Queue.PROMPT


EVERY: Mapping[Task, timedelta] = MappingProxyType(
    {
        Task.EMPTY_TRASH: timedelta(minutes=5),
        Task.ERASE_ACCOUNTS: timedelta(minutes=10),
        Task.FORGET_EXPIRED: timedelta(minutes=10),
        Task.DELETE_OBJECTS: timedelta(minutes=1),
        Task.SWEEP_OBJECTS: timedelta(hours=1),
    }
)
"""The tasks that are done by the clock, and how often: whole minutes that divide an hour."""


class JobStatus(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Cancelled by an operator, or because the worker ended."""


@dataclass(frozen=True, slots=True)
class Job:
    """After a crash a job may be carried out more than once: every task has to bear that."""

    task: Task
    arguments: Mapping[str, int] = field(default_factory=dict)
    """Ids, and nothing personal, since jobs are kept and logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptJob:
    """A job that is in the queue. Jobs that have succeeded are not kept."""

    id: int
    task: str
    """The name of a Task, unless another version of the service enqueued the job."""
    queue: str
    status: JobStatus
    attempts: int
    """The number of attempts that were made."""
    due_at: datetime | None
    """The earliest time for the next attempt; None means at once."""
    arguments: Mapping[str, int]
