"""The rows that all in-memory repositories share, as the tables of one database would."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count

from fitness.domain.model.activities import Activity, Details
from fitness.domain.model.api_keys import ApiKey
from fitness.domain.model.audit import AuditAction, AuditEntry
from fitness.domain.model.audit_chain import BEFORE_THE_FIRST, link_of
from fitness.domain.model.changes import Change, ChangeKind
from fitness.domain.model.exports import Export
from fitness.domain.model.jobs import Job, JobStatus
from fitness.domain.model.originals import Original
from fitness.domain.model.photos import Photo
from fitness.domain.model.users import User
from fitness.ports.cache_state import CacheState
from fitness.ports.messages import Messages
from fitness.ports.outbox import PendingInvalidation


@dataclass(slots=True)
class InMemoryStore:
    activities: dict[int, Activity] = field(default_factory=dict)
    users: dict[int, User] = field(default_factory=dict)
    password_hashes: dict[int, str] = field(default_factory=dict)
    deleted_users: dict[int, tuple[User, datetime]] = field(default_factory=dict)
    """Deleted users by id, each with the time of the deletion."""
    api_keys: dict[bytes, ApiKey] = field(default_factory=dict)
    """API keys by digest."""
    sessions_ended: dict[int, "SessionsEnded"] = field(default_factory=dict)
    answers: dict[tuple[int, str], "StoredAnswer"] = field(default_factory=dict)
    photos: dict[int, Photo] = field(default_factory=dict)
    originals: dict[int, Original] = field(default_factory=dict)
    readings: dict[int, "StoredReading"] = field(default_factory=dict)
    """Readings by the ids of their activities."""
    released: list[str] = field(default_factory=list)
    """Names of objects whose rows were deleted for good."""
    exports: dict[int, "KeptExport"] = field(default_factory=dict)
    audit: list[AuditEntry] = field(default_factory=list)
    outbox: dict[int, "OutboxEntry"] = field(default_factory=dict)
    jobs: dict[int, "WaitingJob"] = field(default_factory=dict)
    """Jobs by id, in the order in which they were enqueued."""
    changes: dict[int, "ChangesOfOne"] = field(default_factory=dict)
    """Change logs by owner."""
    cache_state: CacheState = field(default_factory=lambda: CacheState(era=None, closed=True, unread=True, epoch=0))
    monotonic_s: Callable[[], float] = time.monotonic
    ids: "count[int]" = field(default_factory=lambda: count(1))

    def clear(self) -> None:
        """Removes all rows. Ids go on rising, so that a copy cached under an old id is never a new row's."""
        for table in (self.activities, self.users, self.password_hashes, self.answers, self.audit, self.outbox):
            table.clear()
        self.sessions_ended.clear()
        self.api_keys.clear()
        self.deleted_users.clear()
        self.changes.clear()
        self.released += [name for photo in self.photos.values() for name in photo.object_names]
        self.photos.clear()
        self.jobs.clear()
        for export_id in [*self.exports]:
            self.delete_export(export_id)
        self.released += [one.object_name for one in self.originals.values()]
        self.originals.clear()
        self.readings.clear()

    def delete(self, activity_id: int) -> None:
        """Delete an activity with all that belongs to it, and its original if no other activity was read from that."""
        del self.activities[activity_id]
        for name in [name for name, answer in self.answers.items() if answer.activity.id == activity_id]:
            del self.answers[name]
        for photo in [one for one in self.photos.values() if one.activity_id == activity_id]:
            self.delete_photo(photo)
        reading = self.readings.pop(activity_id, None)
        if reading is not None and all(one.original_id != reading.original_id for one in self.readings.values()):
            self.released.append(self.originals.pop(reading.original_id).object_name)

    def delete_photo(self, photo: Photo) -> None:
        del self.photos[photo.id]
        self.released += photo.object_names

    def delete_export(self, export_id: int) -> None:
        self.released += self.exports.pop(export_id).parts.values()

    def end_exports(self, owner: int, *, at: datetime) -> None:
        """End the owner's exports, also those that are still being made: they have expired once they are ready."""
        for kept in self.exports.values():
            if kept.export.user_id == owner:
                kept.export = replace(kept.export, expires_at=min(kept.export.expires_at or at, at))

    def write(self, messages: Messages) -> None:
        """Write a change's messages: its jobs, and an outbox entry if it invalidates anything."""
        for job in messages.jobs:
            self.enqueue(job)
        if messages.invalidates:
            since_s = self.monotonic_s() + messages.held_s
            entry = OutboxEntry(PendingInvalidation(messages.id, messages.invalidates), since_s)
            self.outbox.setdefault(messages.id, entry)

    def enqueue(self, job: Job) -> None:
        one = WaitingJob(next(self.ids), job, self.monotonic_s())
        self.jobs[one.id] = one

    def log_change(self, kind: ChangeKind, activity: Activity, *, at: datetime) -> None:
        """Write an entry of the change log; `activity` is as it is after the change."""
        of_owner = self.changes.setdefault(activity.user_id, ChangesOfOne())
        of_owner.last_seq += 1
        of_owner.kept.append(Change(of_owner.last_seq, kind, activity.id, activity.version, at, None))

    def log(self, action: AuditAction, messages: Messages, *, subject_id: int, owner_id: int) -> None:
        """Write the authority of a change to the audit log."""
        authority = messages.authority
        assert authority is not None, f"{action} needs an authority"
        entry = AuditEntry(
            id=next(self.ids),
            at=authority.at,
            actor_id=authority.actor_id,
            action=action,
            subject_id=subject_id,
            owner_id=owner_id,
            reason=authority.reason,
            position=len(self.audit) + 1,
            hash="",
        )
        before = self.audit[-1].hash if self.audit else BEFORE_THE_FIRST
        entry = replace(entry, hash=link_of(entry).expected_hash(before))
        self.audit.append(entry)


@dataclass(slots=True)
class ChangesOfOne:
    """The change log of one owner; the activities themselves are kept elsewhere."""

    kept: list[Change] = field(default_factory=list)
    """Changes in the order of their numbers."""
    last_seq: int = 0
    trimmed_seq: int = 0


@dataclass(slots=True)
class SessionsEnded:
    """The ended sessions of one account."""

    before: datetime | None = None
    """Sessions whose login was earlier than this have ended, except for the `spared` one."""
    spared: str | None = None
    revoked: dict[str, datetime] = field(default_factory=dict)
    """Revoked sessions, each with the time of its revocation."""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer to the first request with an Idempotency-Key."""

    fingerprint: str
    activity: Activity
    at: datetime


@dataclass(frozen=True, slots=True)
class StoredReading:
    original_id: int
    number: int
    details: Details


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    pending: PendingInvalidation
    since_s: float
    unconfirmed: bool = False


@dataclass(slots=True)
class KeptExport:
    export: Export
    run: int = 0
    parts: dict[int, str] = field(default_factory=dict)
    """The names of the parts' objects, by the numbers of the parts."""


@dataclass(slots=True)
class WaitingJob:
    id: int
    job: Job
    since_s: float
    status: JobStatus = JobStatus.WAITING
    attempts: int = 0
    ended_at: datetime = field(default_factory=lambda: datetime.now(UTC))
