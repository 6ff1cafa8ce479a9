"""Checks that no entry of the audit log was changed or removed."""

from collections.abc import Iterator, Sequence

import psycopg

from fitness.adapters.postgres.asking import Connection, findings
from fitness.domain.model.audit_chain import ChainHead, Link, broken_at
from fitness.ports.health import Finding, Verdict

HEAD = """
    SELECT position, hash
    FROM audit_head
"""

LINKS = """
    SELECT position, id, (extract(epoch FROM at) * 1000000)::bigint, actor_id, action, subject_id, owner_id, reason,
        encode(hash, 'hex')
    FROM audit_log
    ORDER BY position
"""

FETCHED_AT_ONCE = 2_000


class AuditDiagnosis:
    """`earlier` is a head of the chain that an operator noted before."""

    def __init__(self, url: str, earlier: ChainHead | None = None) -> None:
        self._url = url
        self._earlier = earlier

    async def diagnose(self) -> Sequence[Finding]:
        return await findings(self._url, self._ask)

    def _ask(self, connection: Connection) -> list[Finding]:
        # One snapshot: entries may be written while this reads.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            row = connection.execute(HEAD).fetchone()
            if row is None:
                return [Finding(Verdict.WRONG, "audit_head is empty: it cannot be seen whether entries are missing")]
            head = ChainHead(row[0], row[1].hex())
            broken = broken_at(_links(connection), head, self._earlier)
        if broken:
            return [Finding(Verdict.WRONG, f"{broken}; see who else can write to PostgreSQL, and restore a backup")]
        return [Finding(Verdict.GOOD, f"{head.position} entries, none changed or missing; the last is {head}")]


def _links(connection: Connection) -> Iterator[Link]:
    with connection.cursor("links") as cursor:  # a cursor on the server, so that a long log needs no memory here
        cursor.itersize = FETCHED_AT_ONCE
        for position, entry_id, at_us, actor_id, action, subject_id, owner_id, reason, digest in cursor.execute(LINKS):
            yield Link(
                position=position,
                id=entry_id,
                at_us=at_us,
                actor_id=actor_id,
                action=action,
                subject_id=subject_id,
                owner_id=owner_id,
                reason=reason,
                hash=digest,
            )
