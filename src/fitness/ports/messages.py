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
    """A repository method that changes something writes all messages; a method that changes nothing writes none.

    The next kind of message is one more field here and one more line in the SQL of
    `adapters/postgres/messages.py`; the methods of the repositories stay as they are. Entries of the change log have no
    field: the same SQL makes them from the change itself.
    """

    id: int
    """The id of the outbox entry; random, so that no transaction waits for another's number."""
    invalidates: tuple[Scope, ...] = ()
    """Scopes of the cache that the change makes stale: an outbox entry until they have new generations."""
    held_s: float = 0.0
    """Seconds by which the entry's age begins later: for a step of a larger change, which invalidates at its end."""
    authority: Authority | None = None
    """The authority on which the change is made; it becomes an entry in the audit log."""
    idempotency: IdempotencyKey | None = None
    """The client's name for the request. It is kept with the answer, which later requests of that name get."""
    jobs: tuple[Job, ...] = ()
    """Jobs to be done after the change; they are in the queue once it is committed."""
