"""The audit log in PostgreSQL, to read: each entry is written by the transaction that it records."""

from typing import Any

from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.rows import listing, page_parameters, page_sql
from fitness.domain.model.audit import AuditAction, AuditEntry
from fitness.domain.model.listings import Listing, Page, Position

COLUMNS = "id, at, actor_id, action, subject_id, owner_id, reason, position, hash"


class PostgresAuditLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, page: Page) -> Listing[AuditEntry]:
        query = page_sql(columns=COLUMNS, source="FROM audit_log WHERE true", order="at", page=page)
        rows = await self._database.all(query, page_parameters(page))
        return listing(rows, page, _entry, lambda entry: Position(entry.at, entry.id))


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
