"""Whether a store answers."""

from typing import Protocol


class ProbePort(Protocol):
    async def check(self) -> None:
        """Returns when the store answers. Raises an Outage when it does not, within a second."""
