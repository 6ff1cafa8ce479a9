"""The audit log in a list."""

from fitness.adapters.memory.listing import listing
from fitness.adapters.memory.store import InMemoryStore
from fitness.domain.model.audit import ALL_ENTRIES, AuditEntry, AuditFilter
from fitness.domain.model.listings import Listing, Page, Position


class InMemoryAuditLog:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def list(self, page: Page, which: AuditFilter = ALL_ENTRIES) -> Listing[AuditEntry]:
        found = [entry for entry in self._store.audit if _matches(entry, which)]
        return listing(found, page, lambda entry: Position(entry.at, entry.id))


def _matches(entry: AuditEntry, which: AuditFilter) -> bool:
    return (
        which.actor_id in (None, entry.actor_id)
        and which.action in (None, entry.action)
        and which.subject_id in (None, entry.subject_id)
        and (which.since is None or entry.at >= which.since)
        and (which.until is None or entry.at < which.until)
    )
