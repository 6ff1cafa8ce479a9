"""What a change carries, written by the change's own statement, and only if it changes something."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, LiteralString

import msgspec

from fitness.domain.model.audit import AuditAction
from fitness.ports.cache import Scope
from fitness.ports.messages import Messages

_INVALIDATE = """
    INSERT INTO cache_outbox (id, scopes)
    SELECT id, scopes
    FROM json_to_recordset(%(messages)s::json) AS message (id bigint, scopes text[])
    WHERE EXISTS (SELECT FROM changed)
"""

# As procrastinate_defer_jobs_v1 does it; what only a SELECT calls would not be called here, where nobody reads it.
_ENQUEUE = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, args)
    SELECT queue_name, task_name, args
    FROM json_to_recordset(%(jobs)s::json) AS job (queue_name text, task_name text, args jsonb)
    WHERE EXISTS (SELECT FROM changed)
"""


def carrying(
    change: LiteralString, *, returning: LiteralString, owner: LiteralString | None = None, enqueues: bool = False
) -> LiteralString:
    """One statement of `change`, which RETURNs `returning`, and its messages.

    Only where it `enqueues` may the messages have jobs: for most changes, which have none, that costs 16 µs too much.

    Where the change needs authority, `owner` is the column that holds the owner of what it changes: then there is also
    an entry in the audit log. Takes `messages_parameters`, and `audit_parameters` where there is an owner.

    From its first audit entry to its commit a transaction holds the lock of the chain's head. One that changes several
    rows must therefore lock all of them before its first entry: else it can wait for a row whose holder waits for it.
    """
    audited: LiteralString = (
        f""", audited AS (
    INSERT INTO audit_log (at, actor_id, action, subject_id, owner_id, reason)
    SELECT %(audit_at)s, %(audit_actor_id)s, %(audit_action)s, id, {owner}, %(audit_reason)s
    FROM changed
    )"""
        if owner
        else ""
    )
    enqueued: LiteralString = f", enqueued AS ({_ENQUEUE})" if enqueues else ""
    return f"""
    WITH changed AS ({change}), invalidated AS ({_INVALIDATE}){enqueued}{audited}
    SELECT {returning}
    FROM changed
    """


def messages_parameters(messages: Iterable[Messages]) -> dict[str, Any]:
    """For one change or several that are made together, by a statement that does not enqueue."""
    together = [*messages]
    assert not any(one.jobs for one in together), "the statement of this change enqueues no jobs"
    entries = [{"id": one.id, "scopes": scopes_text(one.invalidates)} for one in together]
    return {"messages": msgspec.json.encode(entries).decode()}


def enqueued_parameters(messages: Messages) -> dict[str, Any]:
    """As `messages_parameters`, for a statement that enqueues."""
    jobs = [{"queue_name": job.task.queue, "task_name": job.task, "args": job.arguments} for job in messages.jobs]
    return messages_parameters([replace(messages, jobs=())]) | {"jobs": msgspec.json.encode(jobs).decode()}


def scopes_text(scopes: Iterable[Scope]) -> list[str]:
    """As the outbox stores them."""
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
