"""The messages of a change, written by the change's own statement, and only if it changes something."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, LiteralString

import msgspec

from fitness.domain.model.audit import AuditAction
from fitness.domain.model.changes import ChangeKind
from fitness.ports.cache import Scope
from fitness.ports.messages import Messages

_IF_ANY: LiteralString = "WHERE EXISTS (SELECT FROM changed)"
_IF_THIS_ONE: LiteralString = "WHERE id IN (SELECT message_id FROM changed)"

# As procrastinate_defer_jobs_v1 does it. A SELECT of that function would not run here, since nobody reads its result.
_ENQUEUE = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, args)
    SELECT queue_name, task_name, args
    FROM json_to_recordset(%(jobs)s::json) AS job (queue_name text, task_name text, args jsonb)
    WHERE EXISTS (SELECT FROM changed)
"""

# The number of a change comes from its owner's counter, which stays locked until the commit.
_COUNT = """
    ON CONFLICT (user_id) DO UPDATE
    SET last_seq = counter.last_seq + excluded.last_seq
    RETURNING user_id, last_seq
"""

# For one activity: without the aggregate, the join and the window it costs 10 us instead of 80.
_COUNT_ONE: LiteralString = f"""
    INSERT INTO change_counters AS counter (user_id, last_seq)
    SELECT user_id, 1
    FROM changed
    {_COUNT}
"""

_COUNT_SEVERAL: LiteralString = f"""
    INSERT INTO change_counters AS counter (user_id, last_seq)
    SELECT user_id, count(*)
    FROM changed
    GROUP BY user_id
    ORDER BY user_id
    {_COUNT}
"""

_KINDS: dict[ChangeKind, LiteralString] = {
    ChangeKind.CREATED: "created",
    ChangeKind.UPDATED: "updated",
    ChangeKind.TRASHED: "trashed",
    ChangeKind.RESTORED: "restored",
    ChangeKind.PURGED: "purged",
}


def carrying(
    change: LiteralString,
    *,
    returning: LiteralString,
    logged: ChangeKind | None = None,
    several: bool = False,
    owner: LiteralString | None = None,
    each: bool = False,
    enqueues: bool = False,
    held: bool = False,
) -> LiteralString:
    """One statement that makes `change`, which RETURNs `returning`, and writes its messages.

    `logged` is how activities change: each then gets an entry in the change log, and the change must RETURN their
    `id, user_id, version, updated_at`. `several` activities may change, else one at most. With `each`, the change
    RETURNs the `message_id` of every change that was made, and only their outbox entries are written. If the change
    needs authority, `owner` is the column with the owner of what changes: then the audit log gets an entry as well,
    whose time is that of the change. Takes `messages_parameters`, and `audit_parameters` if there is an owner.

    Messages may have jobs only if the statement `enqueues`, for `enqueued_parameters`: for most changes, which have no
    jobs, that would cost 16 µs too much. They may be held only if it is `held`, for `held_parameters`.

    Every statement takes its locks in this order, and holds them until its commit, so that there is no deadlock: the
    rows that it changes; the counters of their owners, by user id; the head of the audit log's chain; and, in triggers
    that run at its end, totals of activities, by user id. A transaction of several such statements must lock all rows
    that it changes before its first counter or audit entry, and take the counters by user id: else it can wait for a
    row whose holder waits for it.
    """
    made: LiteralString = _IF_THIS_ONE if each else _IF_ANY
    at: LiteralString = "%(audit_at)s" if owner else "updated_at"
    entered = _entered(logged, at, several=several) if logged else ""
    first: LiteralString = (
        "WHERE (SELECT count(*) FROM counted) > 0" if logged else ""
    )  # all counters are locked by then
    audited: LiteralString = (
        f""", audited AS (
    INSERT INTO audit_log (at, actor_id, action, subject_id, owner_id, reason)
    SELECT %(audit_at)s, %(audit_actor_id)s, %(audit_action)s, id, {owner}, %(audit_reason)s
    FROM changed
    {first}
    )"""
        if owner
        else ""
    )
    enqueued: LiteralString = f", enqueued AS ({_ENQUEUE})" if enqueues else ""
    return f"""
    WITH changed AS ({change}), invalidated AS ({_invalidate(held=held)} {made}){enqueued}{entered}{audited}
    SELECT {returning}
    FROM changed
    """


def _invalidate(*, held: bool) -> LiteralString:
    """The age of a `held` entry counts from `held_s` seconds later."""
    column: LiteralString = ", created_at" if held else ""
    value: LiteralString = ", clock_timestamp() + make_interval(secs => %(held_s)s)" if held else ""
    return f"""
    INSERT INTO cache_outbox (id, scopes{column})
    SELECT id, scopes{value}
    FROM json_to_recordset(%(messages)s::json) AS message (id bigint, scopes text[])
    """


def _entered(kind: ChangeKind, at: LiteralString, *, several: bool) -> LiteralString:
    """Writes the entries in the change log; several activities of one owner are numbered by their ids."""
    count = _COUNT_SEVERAL if several else _COUNT_ONE
    seq: LiteralString = "last_seq"
    if several:
        seq = "last_seq + 1 - row_number() OVER (PARTITION BY changed.user_id ORDER BY id DESC)"
    return f""", counted AS ({count}), logged AS (
    INSERT INTO activity_changes (user_id, seq, activity_id, version, at, kind)
    SELECT changed.user_id, {seq}, id, version, {at}, '{_KINDS[kind]}'
    FROM changed, counted
    {"WHERE changed.user_id = counted.user_id" if several else ""}
    )"""


def messages_parameters(messages: Iterable[Messages]) -> dict[str, Any]:
    """For one change, or several changes in one statement, which neither enqueues jobs nor holds entries."""
    together = [*messages]
    assert not any(one.jobs for one in together), "the statement of this change enqueues no jobs"
    assert not any(one.held_s for one in together), "the statement of this change holds no outbox entry"
    entries = [{"id": one.id, "scopes": scopes_text(one.invalidates)} for one in together]
    return {"messages": msgspec.json.encode(entries).decode()}


def enqueued_parameters(messages: Messages) -> dict[str, Any]:
    """As `messages_parameters`, for a statement that enqueues."""
    jobs = [{"queue_name": job.task.queue, "task_name": job.task, "args": job.arguments} for job in messages.jobs]
    return messages_parameters([replace(messages, jobs=())]) | {"jobs": msgspec.json.encode(jobs).decode()}


def held_parameters(messages: Messages) -> dict[str, Any]:
    """As `messages_parameters`, for a statement whose outbox entries are held."""
    return messages_parameters([replace(messages, held_s=0.0)]) | {"held_s": messages.held_s}


def scopes_text(scopes: Iterable[Scope]) -> list[str]:
    """The scopes as the outbox stores them."""
    return [f"{scope.kind}:{scope.id}" for scope in scopes]


def audit_parameters(action: AuditAction, messages: Messages) -> dict[str, Any]:
    authority = messages.authority
    assert authority is not None, f"{action} needs an authority"
    return {
        "audit_action": action,
        "audit_at": authority.at,
        "audit_actor_id": authority.actor_id,
        "audit_reason": authority.reason,
    }
