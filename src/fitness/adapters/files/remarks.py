"""Remarks to the owner of a file about what was left out of it."""

MOST = 30
"""The most sentences about a file; a last sentence counts the faults beyond these."""


class Remarks:
    """Sentences in the order in which they were made, each once."""

    def __init__(self) -> None:
        self._said: dict[str, None] = {}
        self._more = 0

    def add(self, where: str, what: str | None) -> None:
        """`where` is a part of the file, such as "track 2". Does nothing if `what` is None."""
        if what is None:
            return
        if len(self._said) < MOST:
            self._said[f"{where}: {what}"] = None
        elif f"{where}: {what}" not in self._said:
            self._more += 1

    def sentences(self) -> tuple[str, ...]:
        return (*self._said, *([f"and {self._more} more like these"] if self._more else []))


def counted(count: int, thing: str, which: str = "") -> str | None:
    """None if `count` is 0."""
    if not count:
        return None
    return f"left out {count} {thing}{'' if count == 1 else 's'} {which}".rstrip()


def impossible(name: str, value: float, unit: str = "") -> str:
    return f"left out the {name}, since {value:g} {unit}".rstrip() + " is impossible"
