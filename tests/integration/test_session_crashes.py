"""What a state Redis that is killed, or loses all its data, does to sessions: no revoked one comes back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fitness.domain.model.refusals import BadRefreshToken
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.sessions import Client, SessionTokens
from fitness.ports.outages import SessionsUnavailable
from tests.harness.api import Api, serving
from tests.harness.servers import ValkeyServer
from tests.patience import PATIENCE_S

HERE = Client("198.51.100.7", "a test")
KILLS = 3
AT_ONCE = 8


@dataclass
class Login:
    """One session, as its client keeps it."""

    caller: Caller
    access: str
    refresh: str


@pytest.fixture
def state(folder: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(folder / "state", "--appendonly", "yes", "--appendfsync", "everysec")
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def api(database_url: str, redis_url: str, state: ValkeyServer) -> AsyncIterator[Api]:
    async with serving(database_url, redis_url, state_redis_url=state.url) as api:
        yield api


async def begun(api: Api, user_id: int) -> Login:
    sessions = api.container.sessions()
    tokens = await sessions.begin(user_id, HERE, since=api.container.clock().now())
    assert tokens.refresh is not None
    return Login(sessions.access_tokens.verify(tokens.access.token), tokens.access.token, tokens.refresh)


async def carry_on(api: Api, login: Login) -> None:
    tokens: SessionTokens = await api.container.sessions().refresh(login.refresh, HERE)
    assert tokens.refresh is not None
    login.access, login.refresh = tokens.access.token, tokens.refresh


async def is_refused(api: Api, login: Login) -> bool:
    with pytest.raises(BadRefreshToken):
        await api.container.sessions().refresh(login.refresh, HERE)
    answer = await api.http.get("/api/v1/users/me", headers={"Authorization": f"Bearer {login.access}"})
    return answer.status_code == 401


async def until_back(api: Api) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_s:
        try:
            await api.container.session_store().list(1, at=api.container.clock().now())
        except SessionsUnavailable:
            await asyncio.sleep(0.02)
        else:
            return
    pytest.fail("the store of sessions is not back")


async def test_no_revoked_session_comes_back_and_nobody_else_is_logged_out(api: Api, state: ValkeyServer):
    people = [await api.person() for _ in range(2)]
    logins = [await begun(api, person.id) for person in people for _ in range(AT_ONCE * (KILLS + 1) // 2)]
    state.do("WAITAOF", "1", "0", "5000")  # whoever logged in within the last second may be logged out
    revoked: list[Login] = []
    for _ in range(KILLS):
        for login in logins:
            await carry_on(api, login)
        ending, logins = logins[: AT_ONCE // 2], logins[AT_ONCE // 2 :]
        for login in ending:
            await api.container.sessions().logout(login.caller)
        revoked += ending
        state.kill()
        late, logins = logins[0], logins[1:]
        await api.container.sessions().logout(late.caller)  # while it is gone
        revoked.append(late)
        state.start()
        await until_back(api)
        for login in logins:
            await carry_on(api, login)
        assert all([await is_refused(api, login) for login in revoked])
    assert len(logins) > AT_ONCE
    state.do("FLUSHALL")
    assert all([await is_refused(api, login) for login in revoked])
    for login in logins:
        with pytest.raises(BadRefreshToken):
            await carry_on(api, login)
        answer = await api.http.get("/api/v1/users/me", headers={"Authorization": f"Bearer {login.access}"})
        assert answer.status_code == 200  # until it expires
    again = await api.login(people[0].id, people[0].email)
    assert (await api.http.post("/api/v1/auth/refresh", json={"refresh_token": again.refresh_token})).status_code == 200
