"""The audit log in a list."""

from fitness.adapters.memory.listing import listing
from fitness.adapters.memory.store import InMemoryStore
from fitness.domain.model.audit import AuditEntry
from fitness.domain.model.listings import Listing, Page, Position


class InMemoryAuditLog:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def list(self, page: Page) -> Listing[AuditEntry]:
        return listing(self._store.audit, page, lambda entry: Position(entry.at, entry.id))
