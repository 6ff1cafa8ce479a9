"""The rate limiter in Redis: one call of a script for each request."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError

from fitness.adapters.redis.client import AnyLine
from fitness.adapters.redis.connection import Command, Packed, packed
from fitness.adapters.redis.line import FAILURES, LineFull
from fitness.adapters.redis.questions import Answer
from fitness.domain.model.rate_limits import USER, Balance, Charge, Decision
from fitness.ports.outages import LimiterUnavailable, Overloaded
from fitness.ports.reply import Reply

SCHEMA = "v1"
"""Raised with every change of the stored format."""

MOST_REMEMBERED = 10_000

SCRIPT = files("fitness.adapters.redis").joinpath("rate_limits.lua").read_text(encoding="utf-8")


class RedisRateLimiter:
    def __init__(self, line: AnyLine, script: str = SCRIPT) -> None:
        self._line = line
        self._script = script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._calls: OrderedDict[int, _Call] = OrderedDict()

    async def acquire(self, charges: Sequence[Charge], *, cost: int = 1, dry_run: bool = False) -> Decision:
        call = self._known(charges) if cost == 1 and not dry_run else self._made(charges, cost, dry_run)
        try:
            try:
                (answer,) = (await self._line.ask(call.key, call.by_digest)).replies
            except NoScriptError:  # the server restarted: send it the script's text
                (answer,) = (await self._line.ask(call.key, ("EVAL", self._script, *call.arguments))).replies
        except LineFull as error:
            raise Overloaded(str(error)) from error
        except FAILURES as error:
            raise LimiterUnavailable(f"Redis does not answer: {error}") from error
        return _decision(charges, answer)

    def acquire_soon(self, charges: Sequence[Charge]) -> Reply[Decision] | None:
        """The reply fails if the server must first be sent the script."""
        call = self._known(charges)
        return self._line.ask_soon(call.read, call.by_digest)

    def _known(self, charges: Sequence[Charge]) -> "_Call":
        """The call for `charges`, made once: a caller's requests come with the same `charges` object."""
        call = self._calls.get(id(charges))
        if call is not None and call.charges is charges:
            return call
        call = self._calls[id(charges)] = self._made(charges, 1, dry_run=False)
        if len(self._calls) > MOST_REMEMBERED:
            self._calls.popitem(last=False)
        return call

    def _made(self, charges: Sequence[Charge], cost: int, dry_run: bool) -> "_Call":
        arguments: list[Any] = [cost, "dry run" if dry_run else "charge"]
        for charge in charges:
            limit = charge.limit
            arguments += [limit.algorithm, limit.requests, limit.per_us, limit.interval_us]
        names = [_name(charge) for charge in charges]
        call: Command = (len(names), *names, *arguments)
        return _Call(charges, names[0], call, packed(("EVALSHA", self._sha, *call)), partial(_decided, charges))


class _Call(NamedTuple):
    charges: Sequence[Charge]
    key: str
    arguments: Command
    by_digest: Packed
    read: Callable[[Answer], Decision]


def _decided(charges: Sequence[Charge], answer: Answer) -> Decision:
    return _decision(charges, answer.replies[0])


def _decision(charges: Sequence[Charge], answer: Sequence[int]) -> Decision:
    balances = []
    said = iter(answer)
    for (policy, _, limit), remaining, reset_us, retry_us in zip(charges, said, said, said):  # noqa: B905 - each of three
        balances.append(Balance(policy, limit, remaining, reset_us, retry_us))
    return Decision(tuple(balances))


def _name(charge: Charge) -> str:
    # Braces are a cluster's hash tag: the keys that one call of the script judges share a slot. They are all of one
    # user, or else of an address and an account, which have nothing in common but that nobody is logged in.
    tag = charge.subject if charge.subject.startswith(USER) else "anonymous"
    algorithm = charge.limit.algorithm.name.lower()
    return f"{SCHEMA}:limit:{{{tag}}}:{charge.policy}:{algorithm}:{charge.subject}"
