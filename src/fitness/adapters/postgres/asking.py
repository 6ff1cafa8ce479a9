"""A diagnosis that asks PostgreSQL."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from fitness.ports.health import Finding

Connection = psycopg.Connection[Any]


async def findings(url: str, ask: Callable[[Connection], Sequence[Finding]]) -> Sequence[Finding]:
    """The findings of `ask` over a connection of its own, in autocommit.

    There are none if PostgreSQL does not answer or refuses the query: PostgresDiagnosis says why.
    """

    def asked() -> Sequence[Finding]:
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
                return ask(connection)
        except psycopg.Error:
            return []

    return await asyncio.to_thread(asked)
