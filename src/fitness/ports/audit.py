"""Where the audit log is read; each entry is written by the transaction that it records."""

from typing import Protocol

from fitness.domain.model.audit import AuditEntry
from fitness.domain.model.listings import Listing, Page


class AuditLogPort(Protocol):
    """What was done with authority. Entries are never changed or removed. Raises DatabaseUnavailable."""

    async def list(self, page: Page) -> Listing[AuditEntry]:
        """Latest `at` first, ties by id descending."""
