"""What a change carries: the rows that are written in the change's own transaction, beside the change itself."""

from dataclasses import dataclass

from fitness.domain.model.audit import Authority
from fitness.domain.model.jobs import Job
from fitness.ports.cache import Scope


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's name for one request, and a digest of that request's body."""

    value: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """A repository method that changes something writes all of them, or, if it changes nothing, none of them.

    The next kind of message is one more field here and one more line in the SQL of
    `adapters/postgres/messages.py`; the methods of the repositories stay as they are. The entries of the change log are
    no field: they are made of the change itself, in the same SQL.
    """

    id: int
    """Of the outbox entry; random, so that no transaction waits for another's number."""
    invalidates: tuple[Scope, ...] = ()
    """Scopes of the cache that the change makes stale: an outbox entry until they have a new generation."""
    held_s: float = 0.0
    """The entry's age counts from so much later. For a step of a larger change, which invalidates at its end."""
    authority: Authority | None = None
    """On whose authority the change is made: an entry in the audit log."""
    idempotency: IdempotencyKey | None = None
    """The client's name for the request: kept with the answer, which later requests of that name get."""
    jobs: tuple[Job, ...] = ()
    """What is to be done after the change: in the queue once it is committed."""
