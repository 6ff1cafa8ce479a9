"""What a change carries, written by the change's own statement, and only if it changes something."""

from collections.abc import Iterable
from typing import Any, LiteralString

from fitness.domain.model.audit import AuditAction
from fitness.ports.cache import Scope
from fitness.ports.messages import Messages

# ON CONFLICT: the activities of one batch share one outbox entry.
_INVALIDATE = """
    INSERT INTO cache_outbox (id, scopes)
    SELECT %(outbox_id)s, %(outbox_scopes)s
    FROM changed
    LIMIT 1
    ON CONFLICT (id) DO NOTHING
"""


def carrying(change: LiteralString, *, returning: LiteralString, owner: LiteralString | None = None) -> LiteralString:
    """One statement of `change`, which RETURNs `returning`, and its messages.

    Where the change needs authority, `owner` is the column that holds the owner of what it changes: then there is also
    an entry in the audit log. Takes `message_parameters`, and `audit_parameters` where there is an owner.
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


def message_parameters(messages: Messages) -> dict[str, Any]:
    return {"outbox_id": messages.id, "outbox_scopes": scopes_text(messages.invalidates)}


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
