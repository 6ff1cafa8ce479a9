"""Reads the audit log in PostgreSQL; each entry is written by the transaction that it records."""

from typing import Any, LiteralString

from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.rows import listing, page_parameters, page_sql
from fitness.domain.model.audit import ALL_ENTRIES, AuditAction, AuditEntry, AuditFilter
from fitness.domain.model.listings import Listing, Page, Position

COLUMNS: LiteralString = "id, at, actor_id, action, subject_id, owner_id, reason, position, hash"

# The conditions by the fields of AuditFilter.
_NARROWED: dict[str, LiteralString] = {
    "actor_id": "actor_id = %(actor_id)s",
    "action": "action = %(action)s",
    "subject_id": "subject_id = %(subject_id)s",
    "since": "at >= %(since)s",
    "until": "at < %(until)s",
}


class PostgresAuditLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, page: Page, which: AuditFilter = ALL_ENTRIES) -> Listing[AuditEntry]:
        rows = await self._database.all(list_sql(which, page), list_parameters(which, page))
        return listing(rows, page, _entry, lambda entry: Position(entry.at, entry.id))


def list_sql(which: AuditFilter, page: Page) -> LiteralString:
    """Takes `list_parameters`."""
    narrowed: LiteralString = " AND ".join(["true", *(_NARROWED[name] for name in _given(which))])
    return page_sql(columns=COLUMNS, source=f"FROM audit_log WHERE {narrowed}", order="at", page=page)


def list_parameters(which: AuditFilter, page: Page) -> dict[str, Any]:
    return page_parameters(page) | _given(which)


def _given(which: AuditFilter) -> dict[str, Any]:
    return {name: value for name in _NARROWED if (value := getattr(which, name)) is not None}


def _entry(row: tuple[Any, ...]) -> AuditEntry:
    return AuditEntry(
        id=row[0],
        at=row[1],
        actor_id=row[2],
        action=AuditAction(row[3]),
        subject_id=row[4],
        owner_id=row[5],
        reason=row[6],
        position=row[7],
        hash=row[8].hex(),
    )
