"""What a port raises when the store behind it cannot answer; never a refusal, always worth trying again."""


class Outage(Exception):
    """A store did not answer in time. The change asked for may or may not have been made."""


class CacheUnavailable(Outage):
    """The cache is down, slow or talking nonsense: go on without it."""


class ReaderUnavailable(Outage):
    """The reading of a file was cut off, through no fault of the file's."""


class LimiterUnavailable(Outage):
    """Nobody can say how many requests there were."""


class DatabaseUnavailable(Outage):
    """The truth is out of reach: nothing can be said until it is back."""
