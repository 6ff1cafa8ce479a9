"""What a port raises when the store behind it cannot answer. Not a refusal: the same request may succeed later."""


class Outage(Exception):
    """A store did not answer in time. The change asked for may or may not have been made."""


class CacheUnavailable(Outage):
    """The cache does not answer, answers too late, or refuses the command: go on without it."""


class Overloaded(Outage):
    """This process has more work than it can do; the stores are well. Try again."""


class ReaderUnavailable(Outage):
    """The process that read a file ended early; the file may be sound."""


class LimiterUnavailable(Outage):
    """The rate limiter does not answer, so the request was not judged."""


class SessionsUnavailable(Outage):
    """The store of sessions does not answer: sessions cannot be begun, continued or listed."""


class TicketsUnavailable(Outage):
    """The store of tickets for the live feed does not answer."""


class DatabaseUnavailable(Outage):
    """PostgreSQL does not answer: nothing can be read or written reliably."""


class ObjectsUnavailable(Outage):
    """The store of files does not answer: files cannot be stored, read or deleted."""
