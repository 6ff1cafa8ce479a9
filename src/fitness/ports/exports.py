"""Which exports were asked for, and of which objects their archives are made."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from fitness.domain.model.exports import Export
from fitness.ports.messages import Messages


class ExportRepoPort(Protocol):
    """When an export is deleted, its parts are, and the names of their objects are then among those that
    `ObjectNamesPort.released` tells. Of a deleted account nothing is found. Once an activity of its owner's is purged,
    or a photo removed, an export that was asked for before has expired; or has when it is ready, if it still waits.
    Every method raises DatabaseUnavailable.
    """

    async def request(self, user_id: int, *, at: datetime, given_up_before: datetime, messages: Messages) -> bool:
        """A new export, which waits to be made; or one that was asked for before that time and still waits, anew.

        False, and nothing is written, where a later one waits or one is ready.
        """

    async def latest(self, user_id: int) -> Export | None:
        """The one that was asked for last."""

    async def begin(self, user_id: int, *, run: int) -> Export | None:
        """The one that waits, to be made by this run alone, a random number. What earlier runs stored is deleted."""

    async def add_part(self, export_id: int, *, run: int, number: int, object_name: str) -> bool:
        """False, and nothing is written, where another run has begun, or the export is gone."""

    async def finish(self, export_id: int, *, run: int, size_bytes: int, at: datetime, expires_at: datetime) -> bool:
        """It is ready. False where another run has begun, or the export is gone."""

    async def ready(self, export_id: int, *, at: datetime) -> Export | None:
        """The one that `use` would return now."""

    async def use(self, export_id: int, *, at: datetime) -> tuple[Export, Sequence[str]] | None:
        """The export and the names of its parts, in order, for whoever asks first; None for all others, and once it
        has expired."""

    async def give_back(self, export_id: int, *, used_at: datetime) -> None:
        """It was used at that time and not downloaded: it may be used again until it expires. Nothing is changed where
        somebody else has used it since."""

    async def forget(self, *, used_before: datetime, expired_before: datetime, requested_before: datetime) -> int:
        """Delete exports that were used by then, those that nobody used and that expired by then, and those that still
        wait and were asked for by then."""
