"""Where the audit log is read; each entry is written by the transaction that it records."""

from typing import Protocol

from fitness.domain.model.audit import ALL_ENTRIES, AuditEntry, AuditFilter
from fitness.domain.model.listings import Listing, Page


class AuditLogPort(Protocol):
    """What was done with authority. Entries are never changed or removed. Raises DatabaseUnavailable.

    The entries are a chain, however many are written at the same time: `position` rises by one from entry to entry, and
    `hash` is what `audit_chain.Link` expects after the previous entry.
    """

    async def list(self, page: Page, which: AuditFilter = ALL_ENTRIES) -> Listing[AuditEntry]:
        """Latest `at` first, ties by id descending."""
