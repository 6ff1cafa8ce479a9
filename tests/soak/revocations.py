"""Whether a revoked session ever works again, and whether anybody else is logged out, while the state Redis is killed.

    python -m tests.soak.revocations [--sessions 1200]

In each of ten rounds every living session is refreshed, a tenth of the sessions to revoke is revoked, by a logout or
from another session of the account, and meanwhile the state Redis is killed. Once Redis is back, each session that was
ever revoked is tried, each request on a new connection, and so is each living one. In the end Redis loses its data as
well. Exits with 1 if a revoked session works, or if a session is refused that was neither revoked nor begun within the
second before a kill.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from ops.local.client import PASSWORD, Client
from ops.local.service import engines, serving

from tests.harness.servers import ValkeyServer, breakable_state

ROUNDS = 10
REVOKED = 1_000
WORKERS = 4
AT_ONCE = 16
A_PERSON = 10
"""Sessions of each account."""

LOST_S = 1.0
"""At a kill, Redis may lose its last second (`appendfsync everysec`)."""

PATIENCE_S = 10.0

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Session:
    id: str
    email: str
    access: str
    refresh: str
    begun_s: float


@dataclass
class Soak:
    port: int
    living: list[Session] = field(default_factory=list)
    revoked: list[Session] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    async def ask(self, method: str, path: str, token: str = "", body: object = None) -> tuple[int, dict[str, str]]:
        """Ask on a new connection, which any of the processes may answer."""
        client = Client(self.port, token)
        try:
            answer = await client.ask(method, path, body)
            return answer.status, answer.json() if answer.body else {}
        finally:
            client.close()

    async def begin(self, email: str) -> Session:
        asked = {"email": email, "password": PASSWORD}
        status, given = await self.ask("POST", "/auth/login", body=asked)
        assert status == 200, given
        current = {"refresh_token": given["refresh_token"]}
        session = Session("", email, given["access_token"], current["refresh_token"], time.monotonic())
        status, listed = await self.ask("GET", "/auth/sessions", session.access)
        assert status == 200, listed
        session.id = next(one["id"] for one in listed["items"] if one["current"])  # type: ignore[index]
        return session

    async def carry_on(self, session: Session) -> bool:
        """Refresh the session; false if its refresh token is refused."""
        status, given = await self._refreshed(session)
        give_up_s = time.monotonic() + PATIENCE_S
        while status == 503 and time.monotonic() < give_up_s:  # each process finds the server again by itself
            self.counts["refreshes answered 503"] += 1
            await asyncio.sleep(0.02)
            status, given = await self._refreshed(session)
        assert status in {200, 401}, given
        if status == 200:
            session.access, session.refresh = given["access_token"], given["refresh_token"]
        return status == 200

    async def _refreshed(self, session: Session) -> tuple[int, dict[str, str]]:
        return await self.ask("POST", "/auth/refresh", body={"refresh_token": session.refresh})

    async def revoke(self, session: Session, way: int) -> None:
        """Revoke it by a logout, or from a living session of the same account."""
        other = next((one for one in self.living if one.email == session.email), None)
        if way == 0 or other is None:
            status, _ = await self.ask("POST", "/auth/logout", session.access)
        else:
            status, _ = await self.ask("DELETE", f"/auth/sessions/{session.id}", other.access)
        self.revoked.append(session)
        self.counts[f"revocation: {status}"] += 1
        if status != 204:
            self.wrong.append(f"a revocation was answered {status}")

    async def check_revoked(self, session: Session) -> None:
        status, _ = await self.ask("GET", "/users/me", session.access)
        again = await self.carry_on(session)
        self.counts["revoked ones tried"] += 1
        if status != 401 or again:
            self.wrong.append(f"a revoked session read {status}, refreshed: {again}")

    async def check_living(self, session: Session, killed_s: float) -> None:
        if await self.carry_on(session):
            self.counts["carried on"] += 1
            return
        self.living.remove(session)
        self.counts["logged out"] += 1
        if session.begun_s < killed_s - LOST_S:
            before_s = killed_s - session.begun_s
            self.wrong.append(f"somebody was logged out who had logged in {before_s:.1f} s before the kill")

    async def until_back(self) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while (await self.ask("GET", "/auth/sessions", self.living[0].access))[0] != 200:
            assert time.monotonic() < give_up_s, "the store of sessions is not back"
            await asyncio.sleep(0.02)


async def each(some: Iterable[T], act: Callable[[T], Awaitable[object]]) -> None:
    """Act on each of them, AT_ONCE at a time; returns when all are done."""
    left = iter([*some])

    async def work() -> None:
        for one in left:
            await act(one)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def killed_round(soak: Soak, valkey: ValkeyServer, ending: Sequence[Session]) -> None:
    for session in ending:
        soak.living.remove(session)
    late = [soak.begin(f"person{random.randrange(10)}@example.org") for _ in range(2)]
    killing_at = random.randrange(len(ending))
    killed_s = 0.0

    async def act(numbered: tuple[int, Session]) -> None:
        nonlocal killed_s
        number, session = numbered
        if number == killing_at:
            valkey.kill()
            killed_s = time.monotonic()
        await soak.revoke(session, number % 2)

    soak.living += await asyncio.gather(*late)
    await each(enumerate(ending), act)
    valkey.start()
    await soak.until_back()
    await each(soak.revoked, soak.check_revoked)
    await each([*soak.living], lambda one: soak.check_living(one, killed_s))


async def without_data(soak: Soak, valkey: ValkeyServer) -> None:
    valkey.do("FLUSHALL")
    valkey.kill()
    valkey.start()
    await soak.until_back()
    await each(soak.revoked, soak.check_revoked)
    for session in soak.living[:20]:
        status, _ = await soak.ask("GET", "/users/me", session.access)
        if status != 200 or await soak.carry_on(session):
            soak.wrong.append(f"after the loss of all data an access token got {status}")
    again = await soak.begin(soak.living[0].email)
    if not await soak.carry_on(again):
        soak.wrong.append("whoever logs in after the loss of all data is not kept logged in")


async def soaked(port: int, valkey: ValkeyServer, sessions: int, revoked: int) -> Soak:
    soak = Soak(port)
    people = [f"person{number}@example.org" for number in range(sessions // A_PERSON)]
    await each(people, lambda one: soak.ask("POST", "/auth/register", body={"email": one, "password": PASSWORD}))

    async def begin(email: str) -> None:
        soak.living.append(await soak.begin(email))

    await each([one for one in people for _ in range(A_PERSON)], begin)
    await asyncio.sleep(LOST_S * 2)
    random.shuffle(soak.living)
    for number in range(ROUNDS):
        await each([*soak.living], lambda one: soak.check_living(one, time.monotonic()))
        await asyncio.sleep(LOST_S * 2)  # sessions that begin from here on may be lost
        await killed_round(soak, valkey, [*islice(soak.living, revoked // ROUNDS)])
        print(f"\rkill {number + 1} of {ROUNDS}: {dict(soak.counts)}", end="", file=sys.stderr, flush=True)
    await without_data(soak, valkey)
    return soak


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sessions", type=int, default=1_200)
    options.add_argument("--revoked", type=int, default=REVOKED)
    given = options.parse_args()
    settings = {"RATE_LIMIT_SCALE": "0", "WORKERS": str(WORKERS)}
    with engines() as urls, breakable_state(urls) as (own, valkey), serving(own, **settings) as instance:
        soak = asyncio.run(soaked(instance.port, valkey, given.sessions, given.revoked))
    print(f"\n{len(soak.revoked)} revoked, {len(soak.living)} living at the end; {dict(soak.counts)}")
    print(f"wrong: {len(soak.wrong)}", *soak.wrong[:5], sep="\n")
    if soak.wrong or len(soak.revoked) < given.revoked:
        sys.exit(1)


if __name__ == "__main__":
    main()
