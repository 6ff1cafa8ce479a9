"""How the processes of an instance tell each other that a person's activities have changed."""

from collections.abc import Callable
from typing import Protocol


class WakeUpPort(Protocol):
    """A message may come late, twice, or never. It is a reason to look at the change log, and says nothing more."""

    def announce(self, user_id: int) -> None:
        """Tell every process, this one too. It does not wait, and raises nothing."""

    async def listen(self, woken: Callable[[int], None]) -> None:
        """Call `woken` with each user that is announced, until cancelled. It goes on by itself after an outage."""
