"""Whether a store answers, and whether it is set up for what it is used for."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class ProbePort(Protocol):
    async def check(self) -> None:
        """Returns when the store answers and can be used.

        Raises an Outage, within a second, when the store does not answer, and BadSetup when it answers, but an operator
        has to change something before it can be used.
        """


class Verdict(StrEnum):
    GOOD = "good"
    DOUBTFUL = "doubtful"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about a store. If it is not good, the message also says what follows from it and what to do."""

    verdict: Verdict
    message: str


class DiagnosisPort(Protocol):
    async def diagnose(self) -> Sequence[Finding]:
        """The findings about the store's settings; that a store does not answer is a finding, too."""
