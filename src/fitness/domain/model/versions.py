"""Which versions of an object may be read or changed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions in `among`, or all if that is None, except those in `but`."""

    among: frozenset[int] | None = None
    but: frozenset[int] = frozenset()

    def __contains__(self, version: int) -> bool:
        return (self.among is None or version in self.among) and version not in self.but


ANY_VERSION = Versions()
