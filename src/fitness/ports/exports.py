"""Where exports are kept, and the names of the objects that their archives are made of."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from fitness.domain.model.exports import Export
from fitness.ports.messages import Messages


class ExportRepoPort(Protocol):
    """When an export is deleted, its parts are deleted, too; `ObjectNamesPort.released` then returns their objects'
    names. Exports of a deleted account are not found. When an activity of the owner is purged, or a photo removed,
    every earlier export expires: a ready one at once, a waiting one as soon as it is ready. Every method raises
    DatabaseUnavailable.
    """

    async def request(self, user_id: int, *, at: datetime, given_up_before: datetime, messages: Messages) -> bool:
        """Add an export that waits to be made. If one that was requested by `given_up_before` still waits, request that
        one anew instead.

        False, and nothing is written, if one that was requested later waits, or if one is ready.
        """

    async def latest(self, user_id: int) -> Export | None:
        """The export that was requested last."""

    async def begin(self, user_id: int, *, run: int) -> Export | None:
        """The waiting export, made from now on by this `run` alone, a random number. Parts of earlier runs are deleted.

        None if no export waits.
        """

    async def add_part(self, export_id: int, *, run: int, number: int, object_name: str) -> bool:
        """False, and nothing is written, if another run has begun, or the export is gone."""

    async def finish(self, export_id: int, *, run: int, size_bytes: int, at: datetime, expires_at: datetime) -> bool:
        """Mark the export as ready. False if another run has begun, or the export is gone."""

    async def ready(self, export_id: int, *, at: datetime) -> Export | None:
        """The export that `use` would return now."""

    async def use(self, export_id: int, *, at: datetime) -> tuple[Export, Sequence[str]] | None:
        """The export and the object names of its parts, in order, for the first caller; None for all other callers, and
        once the export has expired."""

    async def give_back(self, export_id: int, *, used_at: datetime) -> None:
        """Let an export that was used at that time, but not downloaded, be used again until it expires. Nothing is
        changed if somebody else has used it since."""

    async def forget(self, *, used_before: datetime, expired_before: datetime, requested_before: datetime) -> int:
        """Delete some of the exports that were used by `used_before`, that expired unused by `expired_before`, or that
        still wait and were requested by `requested_before`. Returns how many; call it until it returns 0."""
