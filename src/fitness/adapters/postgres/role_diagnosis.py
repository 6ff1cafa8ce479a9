"""Checks that the service's role in PostgreSQL has the rights it needs, and cannot rewrite the audit log."""

from collections.abc import Sequence
from typing import Any

from fitness.adapters.postgres.asking import Connection, findings
from fitness.adapters.postgres.rights import AUDIT_COLUMNS, AUDIT_LOG, needed_rights
from fitness.ports.health import Finding, Verdict

ROLE = """
    SELECT current_user, rolsuper
    FROM pg_roles
    WHERE rolname = current_user
"""

RELATIONS = """
    SELECT oid, relname, relkind, pg_has_role(relowner, 'MEMBER')
    FROM pg_class
    WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relkind IN ('r', 'p', 'v', 'S')
    ORDER BY relname
"""

HAS_RIGHT = "SELECT has_table_privilege(%(oid)s::oid, %(right)s)"
HAS_SEQUENCE = "SELECT has_sequence_privilege(%(oid)s::oid, %(right)s)"
MAY_ADD = "SELECT bool_and(has_column_privilege(%(oid)s::oid, name, 'INSERT')) FROM unnest(%(columns)s::text[]) AS name"

REWRITING = ("UPDATE", "DELETE", "TRUNCATE")


class RoleDiagnosis:
    def __init__(self, url: str) -> None:
        self._url = url

    async def diagnose(self) -> Sequence[Finding]:
        return await findings(self._url, _role)


def _role(connection: Connection) -> list[Finding]:
    role, superuser = connection.execute(ROLE).fetchone() or ("", False)
    relations = connection.execute(RELATIONS).fetchall()
    if superuser or any(owns for *_, owns in relations):
        return [_powerful(role, "is a superuser" if superuser else "owns the tables")]
    found = [*_rewriting(connection, role, relations), *_lacking(connection, role, relations)]
    good = f"it connects as {role}, which owns nothing and may only read the audit log and add to it"
    return found or [Finding(Verdict.GOOD, good)]


def _powerful(role: str, why: str) -> Finding:
    return Finding(
        Verdict.DOUBTFUL,
        f"it connects as {role}, which {why} and so can rewrite the audit log; make a role of its own for the service, "
        "name that in FITNESS_DATABASE_URL and this one in FITNESS_MIGRATE_DATABASE_URL, and run `fitness migrate up`",
    )


def _rewriting(connection: Connection, role: str, relations: Sequence[tuple[Any, ...]]) -> list[Finding]:
    oids = [oid for oid, name, *_ in relations if name == AUDIT_LOG]
    rights = [right for oid in oids for right in REWRITING if _has(connection, HAS_RIGHT, oid, right)]
    if not rights:
        return []
    listed = ", ".join(rights)
    return [Finding(Verdict.WRONG, f"{role} may {listed} the audit log: REVOKE {listed} ON {AUDIT_LOG} FROM it")]


def _lacking(connection: Connection, role: str, relations: Sequence[tuple[Any, ...]]) -> list[Finding]:
    lacking = []
    for oid, name, kind, _ in relations:
        asked = HAS_SEQUENCE if kind == "S" else HAS_RIGHT
        lacking += [
            f"{right} on {name}" for right in needed_rights(name, kind) if not _has(connection, asked, oid, right)
        ]
        if name == AUDIT_LOG and not _may_add(connection, oid):
            lacking.append(f"INSERT on {name}")
    if not lacking:
        return []
    what = f"{role} lacks {', '.join(lacking)}: run `fitness migrate up` with FITNESS_MIGRATE_DATABASE_URL"
    return [Finding(Verdict.WRONG, what)]


def _has(connection: Connection, asked: str, oid: int, right: str) -> bool:
    return connection.execute(asked.encode(), {"oid": oid, "right": right}).fetchone() == (True,)


def _may_add(connection: Connection, oid: int) -> bool:
    return connection.execute(MAY_ADD, {"oid": oid, "columns": [*AUDIT_COLUMNS]}).fetchone() == (True,)
