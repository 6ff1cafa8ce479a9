"""What a change carries, written by the change's own statement, and only if it changes something."""

from collections.abc import Iterable
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


def carrying(change: LiteralString, *, returning: LiteralString, owner: LiteralString | None = None) -> LiteralString:
    """One statement of `change`, which RETURNs `returning`, and its messages.

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
    return f"""
    WITH changed AS ({change}), invalidated AS ({_INVALIDATE}){audited}
    SELECT {returning}
    FROM changed
    """


def messages_parameters(messages: Iterable[Messages]) -> dict[str, Any]:
    """For one change or several that are made together."""
    entries = [{"id": one.id, "scopes": scopes_text(one.invalidates)} for one in messages]
    return {"messages": msgspec.json.encode(entries).decode()}


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
