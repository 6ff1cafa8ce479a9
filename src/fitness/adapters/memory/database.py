"""Stand-ins for PostgreSQL when everything is kept in memory."""

from collections.abc import Mapping, Sequence
from typing import Never


class InMemoryDatabase:
    """Always there; it has no connections."""

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def check(self) -> None:
        return

    def usage(self) -> Mapping[str, int]:
        return {}


class NoMigrations:
    """There is no schema, so there is nothing to migrate."""

    def up(self) -> Sequence[str]:
        return ()

    def down(self, steps: int = 1, *, drop_audit_log: bool = False) -> Sequence[str]:
        return ()

    def status(self) -> Sequence[Never]:
        return ()
