"""The rights of the service's role in PostgreSQL, if that role does not own the tables."""

from typing import Any

import psycopg
from psycopg import sql

from fitness.ports.setup import BadSetup

READ_ONLY = frozenset({"schema_migrations", "audit_head"})

AUDIT_LOG = "audit_log"
AUDIT_COLUMNS = ("at", "actor_id", "action", "subject_id", "owner_id", "reason")
"""The columns that the writer of an entry sets; the server sets the others."""

NO_RIGHTS = (
    "the service's role may not read the schema: run `fitness migrate up` with the owner's FITNESS_MIGRATE_DATABASE_URL"
)

OWNED = """
    SELECT relation.relname, relation.relkind, namespace.nspname
    FROM pg_class AS relation
    JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
    WHERE namespace.nspname = current_schema() AND relation.relkind IN ('r', 'p', 'v', 'S')
        AND pg_has_role(relation.relowner, 'USAGE')
    ORDER BY relation.relname
"""


def role_of(url: str) -> str:
    """The role that `url` connects as. Raises BadSetup where it cannot connect."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            (role,) = connection.execute("SELECT current_user").fetchone() or ("",)
    except psycopg.OperationalError as error:
        raise BadSetup(f"the service's role cannot connect to PostgreSQL: {error}".strip()) from error
    return str(role)


def needed_rights(relation: str, kind: str) -> tuple[str, ...]:
    """The rights that the service needs on a relation of pg_class's `kind`, besides INSERT on AUDIT_COLUMNS."""
    if kind == "S":
        return ("USAGE",)
    if kind == "v" or relation in READ_ONLY or relation == AUDIT_LOG:
        return ("SELECT",)
    return ("SELECT", "INSERT", "UPDATE", "DELETE")


def grant_rights(connection: psycopg.Connection[Any], role: str) -> None:
    """Grant `role` the rights that the service needs on all that the connection's role owns in the current schema."""
    name = sql.Identifier(role)
    with connection.transaction():
        relations = connection.execute(OWNED).fetchall()
        for schema in {schema for _, _, schema in relations}:
            connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), name))
        for relation, kind, schema in relations:
            rights = sql.SQL(", ").join(map(sql.SQL, needed_rights(relation, kind)))
            what = sql.SQL("SEQUENCE {}" if kind == "S" else "TABLE {}").format(sql.Identifier(schema, relation))
            connection.execute(sql.SQL("GRANT {} ON {} TO {}").format(rights, what, name))
            if relation == AUDIT_LOG:
                columns = sql.SQL(", ").join(map(sql.Identifier, AUDIT_COLUMNS))
                connection.execute(sql.SQL("GRANT INSERT ({}) ON {} TO {}").format(columns, what, name))
