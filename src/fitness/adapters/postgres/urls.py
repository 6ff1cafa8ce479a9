"""Checks that a URL is one that PostgreSQL's own library accepts."""

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict


def url_problem(url: str) -> str | None:
    """What is wrong with `url`, without repeating it, since it may hold a password. None if it is valid."""
    if not url.startswith(("postgresql://", "postgres://")):
        return "must begin with postgresql://"
    try:
        port = conninfo_to_dict(url).get("port")
    except ProgrammingError:
        return "is not a URL that PostgreSQL's library understands"
    if port is not None and not str(port).isdecimal():
        return "has a port that is no number"
    return None
