"""Logging in while a stranger guesses, over HTTP and with the clock turned."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

import httpx
import pytest
from dependency_injector import providers

from fitness.adapters.guards.denials import DenialMemory
from fitness.adapters.memory.clock import ManualClock
from fitness.adapters.memory.credentials import InMemoryPasswordHasher
from fitness.adapters.memory.rate_limits import InMemoryRateLimiter
from fitness.adapters.observed.rate_limits import ObservedRateLimiter
from fitness.entrypoints.wiring.container import Container
from fitness.ports.outages import LimiterUnavailable, Overloaded
from tests.harness.api import IN_MEMORY, PASSWORD, Api, Stores, serving
from tests.harness.clocks import TurnedClock

HOUR_S = 60 * 60
HOME = "192.0.2.10"
OWNER = "ann@example.org"
WRONG = "wrong horse"
HEADER = "Device-Token"


class Shared(InMemoryRateLimiter):
    """The limiter of all processes, which may be out of reach."""

    down = False

    async def acquire(self, *args: object, **kwargs: object):
        if self.down:
            raise LimiterUnavailable
        return await super().acquire(*args, **kwargs)  # type: ignore[arg-type]


class WatchedHasher(InMemoryPasswordHasher):
    """Notes when a wrong password was looked at."""

    crowded = False
    """By so many strangers that only who is known finds a place."""

    def __init__(self, clock: TurnedClock) -> None:
        self._clock = clock
        self.guessed_s: list[float] = []

    async def verify(self, password: str, password_hash: str | None, *, known: bool = False) -> bool:
        if self.crowded and not known:
            raise Overloaded
        if password == WRONG:
            self.guessed_s.append(self._clock.now_s)
        return await super().verify(password, password_hash, known=known)

    async def hash(self, password: str, *, known: bool = False) -> str:
        if self.crowded and not known:
            raise Overloaded
        return await super().hash(password, known=known)

    def most_in_a_minute(self) -> int:
        times_s = self.guessed_s
        return max((sum(0 <= at_s - first_s < 60 for at_s in times_s) for first_s in times_s), default=0)


@dataclass
class Door:
    """A service whose every clock is turned by hand, and who knocks at it."""

    api: Api
    clock: TurnedClock
    wall: ManualClock
    shared: Shared
    hasher: WatchedHasher
    device_token: str = ""
    _networks: Iterator[int] = field(default_factory=lambda: count(1))

    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds
        self.wall.advance(timedelta(seconds=seconds))

    async def log_in(self, address: str, password: str = PASSWORD, *, device_token: str = "") -> httpx.Response:
        headers = {HEADER: device_token} if device_token else {}
        http = self.api.seen_from(address).http
        return await http.post("/api/v1/auth/login", json={"email": OWNER, "password": password}, headers=headers)

    async def log_in_from_new_network(self, guess: "Guesser") -> None:
        """Patiently for a minute at most, while somebody else guesses on."""
        address = f"198.{next(self._networks)}.7.7"
        waited_s = 0
        while (answer := await self.log_in(address)).status_code == 429:
            for _ in range(int(answer.headers["retry-after"])):
                self.wait(1)
                waited_s += 1
                await guess(self)
            assert waited_s <= 60, answer.text
        assert answer.status_code == 200, answer.text


class Guesser:
    """Tries a wrong password from its next address, as often as it is asked to."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses
        self._tries = count()

    async def __call__(self, door: Door) -> None:
        address = self._addresses[next(self._tries) % len(self._addresses)]
        assert (await door.log_in(address, WRONG)).status_code in (401, 429)


@asynccontextmanager
async def a_door(stores: Stores, workers: int = 1) -> AsyncIterator[Door]:
    """The owner has an account, and has logged in at home."""
    clock, wall = TurnedClock(), ManualClock()
    shared, hasher = Shared(clock.monotonic_s), WatchedHasher(clock)

    def turned(container: Container) -> None:
        limiter = ObservedRateLimiter(DenialMemory(shared, clock.monotonic_s))
        container.clock.override(providers.Object(wall))
        container.rate_limiter.override(providers.Object(limiter))
        container.local_limiter.override(providers.Object(InMemoryRateLimiter(clock.monotonic_s)))
        container.password_hasher.override(providers.Object(hasher))

    async with serving(
        stores.database_url, stores.redis_url, prepare=turned, rate_limit_scale=1.0, workers=workers
    ) as api:
        door = Door(api, clock, wall, shared, hasher)
        registration = {"email": OWNER, "password": PASSWORD}
        assert (await api.http.post("/api/v1/auth/register", json=registration)).status_code == 201
        door.device_token = (await door.log_in(HOME)).json()["device_token"]
        door.wait(60)
        yield door


@pytest.fixture
async def door(stores: Stores) -> AsyncIterator[Door]:
    async with a_door(stores) as door:
        yield door


FROM_ONE_ADDRESS = ["203.0.113.1"]
FROM_ONE_NETWORK = [f"203.0.113.{number}" for number in range(1, 200)]
FROM_MANY_NETWORKS = [f"100.{number % 4}.{number}.9" for number in range(200)]
FROM_THE_OWNERS_STREET = [HOME, "192.0.2.99"]


class TestWhileAStrangerGuesses:
    @pytest.mark.parametrize(
        ("addresses", "without_redis"),
        [
            pytest.param(FROM_ONE_ADDRESS, False, id="one address"),
            pytest.param(FROM_ONE_NETWORK, True, id="one network, without Redis"),
            pytest.param(FROM_MANY_NETWORKS, False, id="many networks"),
            pytest.param(FROM_MANY_NETWORKS, True, id="many networks, without Redis"),
        ],
    )
    async def test_the_owner_gets_in_for_an_hour(self, addresses: list[str], without_redis: bool):
        async with a_door(IN_MEMORY) as door:
            door.shared.down = without_redis
            guess, started_s = Guesser(*addresses), door.clock.now_s
            for number in count():
                for _ in range(9):
                    await guess(door)
                    door.wait(2)
                # A known device and a known network at any moment, also from the address that guesses.
                on_the_way = await door.log_in("203.0.113.1", device_token=door.device_token)
                assert on_the_way.status_code == 200, on_the_way.text
                assert (await door.log_in(HOME)).status_code == 200
                if number % 10 == 0:
                    await door.log_in_from_new_network(guess)
                if door.clock.now_s > started_s + HOUR_S:
                    break
            assert door.hasher.most_in_a_minute() <= 5
            assert len(door.hasher.guessed_s) > (50 if addresses is FROM_MANY_NETWORKS else 10)

    async def test_a_known_device_gets_in_from_the_very_address_that_guesses(self, door: Door):
        guess = Guesser(*FROM_THE_OWNERS_STREET)
        for _ in range(100):
            await guess(door)
            await guess(door)
            door.wait(1)
        assert (await door.log_in(HOME)).status_code == 429
        assert (await door.log_in(HOME, device_token=door.device_token)).status_code == 200
        assert door.hasher.most_in_a_minute() <= 5

    async def test_several_workers_without_redis_let_the_owner_in_and_five_guesses(self):
        async with a_door(IN_MEMORY, workers=4) as door:  # this is one of them
            door.shared.down = True
            guess = Guesser(*FROM_MANY_NETWORKS)
            for _ in range(200):
                await guess(door)
                door.wait(3)
            await door.log_in_from_new_network(guess)
            assert door.hasher.most_in_a_minute() == 1


class TestACrowd:
    """More strangers than can be served."""

    async def test_is_told_to_come_back_and_keeps_no_known_device_out(self, door: Door):
        door.hasher.crowded = True
        registration = {"email": "bob@example.org", "password": PASSWORD}
        for answer in [
            await door.log_in("198.51.100.1"),
            await door.api.http.post("/api/v1/auth/register", json=registration),
        ]:
            assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
            assert int(answer.headers["retry-after"]) > 0
        assert (await door.log_in(HOME, device_token=door.device_token)).status_code == 200


class TestDevices:
    async def test_a_stolen_token_is_good_for_five_guesses_a_minute_and_nothing_else(self, door: Door):
        thief = "203.0.113.1"
        for _ in range(120):
            await door.log_in(thief, WRONG, device_token=door.device_token)
            door.wait(1)
        assert door.hasher.most_in_a_minute() == 5
        bearer = {"Authorization": f"Bearer {door.device_token}"}
        assert (await door.api.http.get("/api/v1/users/me", headers=bearer)).status_code == 401
        assert (await door.log_in("198.51.100.1")).status_code == 200

    async def test_a_token_of_another_account_makes_nobody_known(self, door: Door):
        eve = {"email": "eve@example.org", "password": PASSWORD}
        await door.api.http.post("/api/v1/auth/register", json=eve)
        token = (await door.api.http.post("/api/v1/auth/login", json=eve)).json()["device_token"]
        door.wait(60)
        answers = [await door.log_in("203.0.113.1", WRONG, device_token=token) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [401] * 4 + [429] * 2
        assert door.hasher.most_in_a_minute() == 4

    @pytest.mark.parametrize("token", ["x", "a.b.c", "x" * 5_000, "\xff"])
    async def test_a_token_that_is_none_is_as_good_as_none(self, door: Door, token: str):
        http = door.api.seen_from(HOME).http
        body = {"email": OWNER, "password": PASSWORD}
        headers = {HEADER.encode(): token.encode("latin-1")}
        assert (await http.post("/api/v1/auth/login", json=body, headers=headers)).status_code == 200

    async def test_a_browser_keeps_it_in_a_cookie_and_a_login_renews_it(self, door: Door):
        answer = await door.log_in(HOME, device_token=door.device_token)
        attributes = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
        assert attributes == {
            "httponly",
            "secure",
            "samesite=strict",
            "path=/api/v1/auth/login",
            f"max-age={365 * 24 * 60 * 60}",
        }
        token = answer.json()["device_token"]
        assert answer.headers["set-cookie"].startswith(f"fitness_device={token};")
        for _ in range(60):
            await door.log_in("203.0.113.1", WRONG)
        http = door.api.seen_from("203.0.113.1").http
        cookie = {"Cookie": f"theme=dark; fitness_device={token}"}
        body = {"email": OWNER, "password": PASSWORD}
        assert (await http.post("/api/v1/auth/login", json=body, headers=cookie)).status_code == 200


class TestDelays:
    async def test_failures_make_their_network_wait_and_waiting_is_enough(self, door: Door):
        for _ in range(8):
            answer = await door.log_in("203.0.113.1", WRONG)
            while answer.status_code == 429:
                assert answer.json()["code"] in ("rate_limited", "login_delayed")
                door.wait(int(answer.headers["retry-after"]))
                answer = await door.log_in("203.0.113.1", WRONG)
                assert answer.status_code == 401  # whoever waits as long as it says is heard
        refused = await door.log_in("203.0.113.200")
        assert (refused.status_code, refused.json()["code"]) == (429, "login_delayed")
        assert 0 < int(refused.headers["retry-after"]) <= 4 * 60
        assert "x-ratelimit-limit" in refused.headers

    async def test_waiting_is_enough_also_where_the_address_has_asked_too_often(self, door: Door):
        for number in range(5):
            assert (await door.log_in(f"100.{number}.1.1", WRONG)).status_code == 401
        door.wait(59)
        refused = [await door.log_in("198.51.100.1") for _ in range(20)]
        assert {answer.status_code for answer in refused} == {429}
        assert [int(answer.headers["retry-after"]) for answer in (refused[0], refused[-1])] == [1, 3]
        door.wait(3)
        assert (await door.log_in("198.51.100.1")).status_code == 200

    async def test_an_account_that_is_not_there_is_delayed_alike(self, door: Door):
        async def told(email: str) -> list[tuple[int, str, str]]:
            http = door.api.seen_from("203.0.113.1").http
            answers = []
            for _ in range(20):
                answer = await http.post("/api/v1/auth/login", json={"email": email, "password": WRONG})
                answers.append((answer.status_code, answer.text, answer.headers.get("ratelimit-policy", "")))
                door.wait(7)
            return answers

        there = await told(OWNER)
        door.wait(60)
        assert await told("nobody@example.org") == there
        assert {status for status, *_ in there} == {401, 429}

    async def test_a_login_says_what_all_of_its_limits_say(self, door: Door):
        answers = [await door.log_in("203.0.113.1", WRONG) for _ in range(2)]
        answers.append(await door.log_in("203.0.113.1", device_token=door.device_token))
        answers.append(await door.log_in(HOME))
        policies = [[part.partition(";")[0] for part in one.headers["ratelimit"].split(", ")] for one in answers]
        assert policies == [
            ['"requests"', '"login_address"', '"login_account"'],
            ['"requests"', '"login_address"', '"login_account"', '"login_repeated"'],
            ['"requests"', '"login_device"'],
            ['"requests"', '"login_address"', '"login_network"'],
        ]
        assert [len(one.headers.get_list("x-ratelimit-limit")) for one in answers] == [1] * 4
