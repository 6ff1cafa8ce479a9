"""Exports in a dictionary."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from fitness.adapters.memory.store import ChangesOfOne, InMemoryStore, KeptExport
from fitness.domain.model.changes import ChangeKind
from fitness.domain.model.exports import Export, ExportState
from fitness.ports.messages import Messages


class InMemoryExportRepo:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def request(self, user_id: int, *, at: datetime, given_up_before: datetime, messages: Messages) -> bool:
        latest = await self.latest(user_id)
        if user_id not in self._store.users or (latest is not None and latest.state(at) is ExportState.READY):
            return False
        if latest is not None and latest.state(at) is ExportState.WAITING:
            if latest.requested_at > given_up_before:
                return False
            kept = self._store.exports[latest.id]
            kept.export, kept.run = replace(latest, requested_at=at), 0
            self._store.write(messages)
            return True
        export = Export(
            id=next(self._store.ids),
            user_id=user_id,
            requested_at=at,
            ready_at=None,
            expires_at=None,
            size_bytes=None,
            used_at=None,
        )
        self._store.exports[export.id] = KeptExport(export)
        self._store.write(messages)
        return True

    async def latest(self, user_id: int) -> Export | None:
        own = [kept for kept in self._store.exports.values() if kept.export.user_id == user_id]
        return self._shown(own[-1]) if own and user_id in self._store.users else None

    async def begin(self, user_id: int, *, run: int) -> Export | None:
        export = await self.latest(user_id)
        if export is None or export.ready_at is not None:
            return None
        kept = self._store.exports[export.id]
        self._store.released += kept.parts.values()
        kept.parts.clear()
        kept.run = run
        return export

    async def add_part(self, export_id: int, *, run: int, number: int, object_name: str) -> bool:
        kept = self._made_by(export_id, run)
        if kept is not None:
            kept.parts[number] = object_name
        return kept is not None

    async def finish(self, export_id: int, *, run: int, size_bytes: int, at: datetime, expires_at: datetime) -> bool:
        kept = self._made_by(export_id, run)
        if kept is not None:
            expires_at = min(kept.export.expires_at or expires_at, expires_at)
            kept.export = replace(kept.export, ready_at=at, expires_at=expires_at, size_bytes=size_bytes)
        return kept is not None

    async def ready(self, export_id: int, *, at: datetime) -> Export | None:
        kept = self._store.exports.get(export_id)
        if kept is None or not self._of_living(kept) or self._shown(kept).state(at) is not ExportState.READY:
            return None
        return self._shown(kept)

    async def use(self, export_id: int, *, at: datetime) -> tuple[Export, Sequence[str]] | None:
        if await self.ready(export_id, at=at) is None:
            return None
        kept = self._store.exports[export_id]
        kept.export = replace(kept.export, used_at=at)
        return self._shown(kept), [name for _, name in sorted(kept.parts.items())]

    async def give_back(self, export_id: int, *, used_at: datetime) -> None:
        kept = self._store.exports.get(export_id)
        if kept is not None and kept.export.used_at == used_at:
            kept.export = replace(kept.export, used_at=None)

    async def forget(self, *, used_before: datetime, expired_before: datetime, requested_before: datetime) -> int:
        old = [
            one.id
            for one in map(self._shown, self._store.exports.values())
            if (one.used_at is not None and one.used_at <= used_before)
            or (one.used_at is None and one.expires_at is not None and one.expires_at <= expired_before)
            or (one.ready_at is None and one.requested_at <= requested_before)
        ]
        for export_id in old:
            self._store.delete_export(export_id)
        return len(old)

    def _shown(self, kept: KeptExport) -> Export:
        """The export as callers see it: it expires with the first purge by its owner after its request."""
        export = kept.export
        if export.ready_at is None or export.expires_at is None:
            return replace(export, expires_at=None)
        changes = self._store.changes.get(export.user_id, ChangesOfOne()).kept
        ends = [one.at for one in changes if one.kind is ChangeKind.PURGED and one.at >= export.requested_at]
        return replace(export, expires_at=min([export.expires_at, *ends]))

    def _made_by(self, export_id: int, run: int) -> KeptExport | None:
        kept = self._store.exports.get(export_id)
        return kept if kept is not None and kept.run == run and kept.export.ready_at is None else None

    def _of_living(self, kept: KeptExport) -> bool:
        return kept.export.user_id in self._store.users
