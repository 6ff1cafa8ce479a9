"""The rate limiter in Redis: one script a request."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from fitness.adapters.redis.client import AnyLine
from fitness.adapters.redis.connection import Command
from fitness.adapters.redis.line import FAILURES, LineFull
from fitness.domain.model.rate_limits import USER, Balance, Charge, Decision
from fitness.ports.outages import LimiterUnavailable, Overloaded

SCHEMA = "v1"
"""Raised with every change to what is kept."""

SCRIPT = files("fitness.adapters.redis").joinpath("rate_limits.lua").read_text(encoding="utf-8")


class RedisRateLimiter:
    def __init__(self, line: AnyLine, script: str = SCRIPT) -> None:
        self._line = line
        self._script = script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()

    async def acquire(self, charges: Sequence[Charge], *, cost: int = 1, dry_run: bool = False) -> Decision:
        arguments: list[Any] = [cost, "dry run" if dry_run else "charge"]
        for charge in charges:
            limit = charge.limit
            arguments += [limit.algorithm, limit.requests, limit.per_us, limit.interval_us]
        names = [_name(charge) for charge in charges]
        answer = await self._run(names, arguments)
        balances = zip(charges, answer[0::3], answer[1::3], answer[2::3], strict=True)
        return Decision(tuple(Balance(charge.policy, charge.limit, *numbers) for charge, *numbers in balances))

    async def _run(self, names: list[str], arguments: list[Any]) -> Any:
        """The script's answer. A server that does not know the script, since it restarted, is sent the text."""
        call: Command = (len(names), *names, *arguments)
        try:
            try:
                return (await self._line.ask(names[0], ("EVALSHA", self._sha, *call))).replies[0]
            except NoScriptError:
                return (await self._line.ask(names[0], ("EVAL", self._script, *call))).replies[0]
        except LineFull as error:
            raise Overloaded(str(error)) from error
        except FAILURES as error:
            raise LimiterUnavailable(f"Redis does not answer: {error}") from error


def _name(charge: Charge) -> str:
    # Braces are a cluster's hash tag: what one script judges together shares a slot. That is all of one user's, or
    # else an address's and an account's, which have nothing in common but that nobody is logged in.
    tag = charge.subject if charge.subject.startswith(USER) else "anonymous"
    algorithm = charge.limit.algorithm.name.lower()
    return f"{SCHEMA}:limit:{{{tag}}}:{charge.policy}:{algorithm}:{charge.subject}"
