"""Who is charged for what, and what becomes of requests while the shared limiter cannot be asked."""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from fitness.adapters.guards.denials import DenialMemory
from fitness.adapters.memory.cache import InMemoryCache
from fitness.adapters.memory.clock import ManualClock
from fitness.adapters.memory.rate_limits import InMemoryRateLimiter
from fitness.adapters.memory.standings import InMemoryStandings
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.observed.rate_limits import ObservedRateLimiter
from fitness.domain.model.logins import Device, Guess, login_delay, networks_of
from fitness.domain.model.rate_limits import (
    POLICIES,
    SECOND_US,
    Action,
    Algorithm,
    Charge,
    Decision,
    Limit,
    RateLimited,
    Unjudged,
)
from fitness.domain.model.refusals import LoginDelayed, NotAuthenticated
from fitness.domain.model.users import Caller, Role, Standing, Tier, User, WeekStart
from fitness.domain.use_cases.caching.keys import activity_key
from fitness.domain.use_cases.limiting import LimitService
from fitness.domain.use_cases.local_limits import LocalLimits
from fitness.domain.use_cases.requesters import Requester
from fitness.entrypoints.http.addresses import client_address
from fitness.ports.outages import DatabaseUnavailable, LimiterUnavailable
from fitness.ports.standings import StandingPort
from tests.builders import NOW, messages
from tests.harness.clocks import TurnedClock
from tests.unit.processes import CachingProcess

OUTAGE_S = 20.0

ANYBODY = Requester("198.51.100.1")
ANN = Requester("198.51.100.1", Caller(1, "session"))
AT_THE_DOOR = Requester("198.51.100.1", guess=Guess("ann", None, repeated=False))
REPEATED = Requester("203.0.113.1", guess=Guess("ann", None, repeated=True))
AT_HOME = Requester("198.51.100.1", guess=Guess("ann", "home", repeated=True))
BY_DEVICE = Requester("198.51.100.1", device=Device("phone", "ann"))


class Shared(InMemoryRateLimiter):
    """May be out of reach, and says what it was asked."""

    down = False

    def __init__(self, clock: TurnedClock) -> None:
        super().__init__(clock.monotonic_s)
        self.asked: list[list[Charge]] = []

    async def acquire(self, charges: Sequence[Charge], *, cost: int = 1, dry_run: bool = False) -> Decision:
        self.asked.append([*charges])
        if self.down:
            raise LimiterUnavailable
        return await super().acquire(charges, cost=cost, dry_run=dry_run)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def shared(clock: TurnedClock) -> Shared:
    return Shared(clock)


def service(
    shared: Shared,
    clock: TurnedClock,
    *,
    scale: float = 1.0,
    processes: int = 1,
    standings: StandingPort | None = None,
    store: InMemoryStore | None = None,
) -> LimitService:
    store = store or InMemoryStore()
    store.users[1] = User(
        id=1,
        email="ann@example.org",
        name=None,
        timezone="UTC",
        week_start=WeekStart.MONDAY,
        role=Role.USER,
        tier=Tier.FREE,
        created_at=NOW,
        updated_at=NOW,
    )
    observed = ObservedRateLimiter(shared)
    return LimitService(
        observed,
        LocalLimits(observed, InMemoryRateLimiter(clock.monotonic_s), observed, processes),
        standings or InMemoryStandings(store),
        ManualClock(),
        CachingProcess(InMemoryCache(), store).reads,
        scale,
    )


async def admitted(limits: LimitService, action: Action, who: Requester, tries: int = 40) -> int:
    count = 0
    for _ in range(tries):
        try:
            await limits.admit(action, who)
        except RateLimited:
            continue
        count += 1
    return count


class TestWhoIsCharged:
    @pytest.mark.parametrize(
        ("action", "who", "charged"),
        [
            (Action.OTHER, ANYBODY, {"requests": "address:198.51.100.1"}),
            (Action.OTHER, ANN, {"requests": "user:1"}),
            (Action.CREATE, ANN, {"requests": "user:1", "create": "user:1"}),
            (Action.IMPORT, ANN, {"requests": "user:1", "import": "user:1"}),
            (Action.CREATE, ANYBODY, {"requests": "address:198.51.100.1"}),
            (Action.REGISTER, ANYBODY, {"requests": "address:198.51.100.1", "register": "address:198.51.100.1"}),
            (Action.LOGIN, ANYBODY, {"requests": "address:198.51.100.1"}),
            (Action.GUESS, ANYBODY, {"login_address": "address:198.51.100.1"}),
            (Action.LOGIN, BY_DEVICE, {"requests": "devices:ann", "login_device": "device:ann:phone"}),
            (Action.GUESS, AT_THE_DOOR, {"login_address": "address:198.51.100.1", "login_account": "account:ann"}),
            (
                Action.GUESS,
                REPEATED,
                {
                    "login_address": "address:203.0.113.1",
                    "login_account": "account:ann",
                    "login_repeated": "account:ann",
                },
            ),
            (Action.GUESS, AT_HOME, {"login_address": "address:198.51.100.1", "login_network": "network:ann:home"}),
        ],
    )
    async def test_each_policy_goes_on_its_subjects_account(
        self, shared: Shared, clock: TurnedClock, action: Action, who: Requester, charged: dict[str, str]
    ):
        await service(shared, clock).admit(action, who)
        assert {charge.policy: charge.subject for charge in shared.asked[0]} == charged

    @pytest.mark.parametrize(("scale", "limits"), [(1, 20), (2.5, 50), (0.5, 10), (0.001, 1)])
    async def test_the_scale_multiplies_every_limit(
        self, shared: Shared, clock: TurnedClock, scale: float, limits: int
    ):
        assert await admitted(service(shared, clock, scale=scale), Action.OTHER, ANYBODY, tries=100) == limits

    async def test_a_scale_of_nothing_asks_nobody(self, shared: Shared, clock: TurnedClock):
        limits = service(shared, clock, scale=0)
        assert await limits.admit(Action.PURGE, ANN) is None
        assert await limits.standing(ANN) == (Tier.FREE, None)
        assert shared.asked == []

    async def test_whose_standing_nobody_can_say_is_not_admitted(self, shared: Shared, clock: TurnedClock):
        class Down(InMemoryStandings):
            async def of(self, user_id: int, *, at: datetime) -> Standing:
                raise DatabaseUnavailable

        with pytest.raises(DatabaseUnavailable):
            await service(shared, clock, standings=Down(InMemoryStore())).admit(Action.OTHER, ANN)
        assert shared.asked == []

    @pytest.mark.parametrize("scale", [0, 1])
    @pytest.mark.parametrize("down", [False, True])
    async def test_a_session_that_was_ended_is_admitted_nowhere(
        self, shared: Shared, clock: TurnedClock, scale: float, down: bool
    ):
        store = InMemoryStore()
        limits, standings = service(shared, clock, scale=scale, store=store), InMemoryStandings(store)
        other = Requester("198.51.100.1", Caller(1, "other"))
        await standings.revoke(1, "session", at=NOW, messages=messages())
        shared.down = down
        for action in Action:
            for _ in range(2):  # as it is seen first, and as this process has seen it
                with pytest.raises(NotAuthenticated):
                    await limits.admit(action, ANN)
        assert shared.asked == []
        assert await limits.admit_read(Action.OTHER, Caller(1, "session"), activity_key(1)) is None
        await limits.admit(Action.OTHER, other)

    @pytest.mark.parametrize("scale", [0, 1])
    async def test_a_caller_without_an_account_is_admitted_nowhere(
        self, shared: Shared, clock: TurnedClock, scale: float
    ):
        limits = service(shared, clock, scale=scale)
        nobody = Requester("198.51.100.1", Caller(2, "session"))
        for action in Action:
            with pytest.raises(NotAuthenticated):
                await limits.admit(action, nobody)
        with pytest.raises(NotAuthenticated):
            await limits.standing(nobody)
        assert shared.asked == []


class TestWhatCostsMore:
    """An import is admitted as one, and charged the rest when it is known what it makes."""

    async def imported(self, limits: LimitService, activities: int) -> Decision:
        admitted = await limits.admit(Action.IMPORT, ANN)
        decision = await limits.admit_rest(Action.IMPORT, ANN, admitted, cost=activities)
        assert isinstance(decision, Decision)
        return decision

    @pytest.mark.parametrize(("activities", "left"), [(0, 199), (1, 199), (2, 198), (50, 150)])
    async def test_an_import_costs_what_it_makes_and_at_least_one(
        self, shared: Shared, clock: TurnedClock, activities: int, left: int
    ):
        decision = await self.imported(service(shared, clock), activities)
        assert {one.policy: one.remaining for one in decision.balances} == {"requests": 99, "import": left}

    async def test_what_is_more_than_is_left_is_not_charged_and_its_wait_is_true(
        self, shared: Shared, clock: TurnedClock
    ):
        limits = service(shared, clock)
        for _ in range(4):
            await self.imported(limits, 42)
        with pytest.raises(RateLimited) as refusal:
            await self.imported(limits, 42)
        decision = refusal.value.decision
        assert {one.policy: one.remaining for one in decision.balances} == {"requests": 95, "import": 31}
        assert decision.tightest.policy == "import"
        assert decision.retry_after_s == 4  # 11 activities, of which one is admitted each 0.3 s
        await clock.turn(decision.retry_after_s * SECOND_US)
        await self.imported(limits, 42)

    async def test_the_wait_is_true_also_where_the_request_itself_was_the_last(
        self, shared: Shared, clock: TurnedClock
    ):
        limits = service(shared, clock, scale=0.03)  # 3 requests, 6 activities
        for activities in (3, 3):
            await self.imported(limits, activities)
        await clock.turn(10 * SECOND_US)
        with pytest.raises(RateLimited) as refusal:
            await self.imported(limits, 2)
        await clock.turn(refusal.value.decision.retry_after_s * SECOND_US)
        await self.imported(limits, 2)

    async def test_a_file_that_no_full_bucket_holds_takes_a_full_one(self, shared: Shared, clock: TurnedClock):
        limits = service(shared, clock, scale=0.1)
        assert (await self.imported(limits, 50)).balances[-1].remaining == 0

    async def test_a_refusal_of_a_large_file_refuses_no_small_one(self, clock: TurnedClock):
        limiter = InMemoryRateLimiter(clock.monotonic_s)
        guarded = DenialMemory(limiter, clock.monotonic_s)
        one = Charge("import", "user:1", Limit(10))
        await guarded.acquire([one], cost=7)
        assert not (await guarded.acquire([one], cost=5)).allowed
        for _ in range(3):
            assert (await guarded.acquire([one])).allowed
        assert not (await guarded.acquire([one])).allowed
        assert (await guarded.acquire([one], cost=5)).retry_after_s == 30  # five tokens, and not the one from memory

    async def test_while_the_limiter_is_down_the_rest_passes(self, shared: Shared, clock: TurnedClock):
        limits = service(shared, clock)
        admitted = await limits.admit(Action.IMPORT, ANN)
        shared.down = True
        assert isinstance(await limits.admit_rest(Action.IMPORT, ANN, admitted, cost=50), Unjudged)
        unjudged = await limits.admit(Action.IMPORT, ANN)
        assert await limits.admit_rest(Action.IMPORT, ANN, unjudged, cost=50) is unjudged


class TestWithoutTheSharedLimiter:
    async def test_what_is_admitted_unjudged_names_its_limits(self, shared: Shared, clock: TurnedClock):
        shared.down = True
        admitted = await service(shared, clock).admit(Action.CREATE, ANN)
        assert isinstance(admitted, Unjudged)
        assert {charge.policy: charge.limit.requests for charge in admitted.charges} == {"requests": 100, "create": 10}

    async def test_ordinary_requests_pass(self, shared: Shared, clock: TurnedClock):
        shared.down = True
        assert await admitted(service(shared, clock), Action.CREATE, ANN) == 40

    async def test_permanent_deletion_does_not(self, shared: Shared, clock: TurnedClock):
        shared.down = True
        with pytest.raises(LimiterUnavailable):
            await service(shared, clock).admit(Action.PURGE, ANN)

    @pytest.mark.parametrize(("processes", "each"), [(1, 5), (2, 2), (4, 1), (9, 1)])
    async def test_logins_are_shared_out_among_the_processes(
        self, shared: Shared, clock: TurnedClock, processes: int, each: int
    ):
        shared.down = True
        limits = service(shared, clock, processes=processes)
        assert await admitted(limits, Action.GUESS, AT_THE_DOOR) == each

    @pytest.mark.parametrize("processes", [1, 2, 3, 4, 5, 7, 16])
    async def test_the_parts_of_all_processes_are_no_more_than_the_whole(
        self, shared: Shared, clock: TurnedClock, processes: int
    ):
        shared.down = True
        everywhere = [service(shared, clock, processes=processes) for _ in range(processes)]
        minutes = 20
        total = 0
        for _ in range(minutes):
            for limits in everywhere:
                total += await admitted(limits, Action.GUESS, AT_THE_DOOR, tries=6)
            clock.now_s += 60
        assert total <= 5 * minutes + processes  # and one each, since a window may begin with one

    @pytest.mark.parametrize(("processes", "longest_s"), [(1, 60), (2, 60), (4, 60), (5, 60), (8, 96)])
    @pytest.mark.parametrize("arrives_s", [0, 1, 59, 61, 79, 81, 121, 200])
    async def test_those_who_repeat_leave_something_to_others_in_every_process(
        self, shared: Shared, clock: TurnedClock, processes: int, longest_s: int, arrives_s: int
    ):
        shared.down = True
        limits = service(shared, clock, processes=processes)
        for second in range(arrives_s + longest_s + 1):
            await admitted(limits, Action.GUESS, REPEATED, tries=6)
            if second >= arrives_s and await admitted(limits, Action.GUESS, AT_THE_DOOR, tries=1):
                return
            clock.now_s += 1
        pytest.fail(f"not admitted in {longest_s} s")

    async def test_what_was_admitted_before_counts_after_and_the_other_way_round(
        self, shared: Shared, clock: TurnedClock
    ):
        limits = service(shared, clock)
        assert await admitted(limits, Action.GUESS, AT_THE_DOOR, tries=3) == 3
        shared.down = True
        assert await admitted(limits, Action.GUESS, AT_THE_DOOR) == 2
        clock.now_s += OUTAGE_S
        shared.down = False
        assert await admitted(limits, Action.GUESS, AT_THE_DOOR) == 0
        clock.now_s += 60
        assert await admitted(limits, Action.GUESS, AT_THE_DOOR) == 5

    async def test_a_refusal_after_an_outage_charges_nothing_and_its_wait_is_true(
        self, shared: Shared, clock: TurnedClock
    ):
        limits = service(shared, clock)
        shared.down = True
        assert await admitted(limits, Action.GUESS, AT_THE_DOOR) == 5
        clock.now_s += OUTAGE_S
        shared.down = False
        for _ in range(5):  # each of these was charged to the shared limiter, although it was refused
            with pytest.raises(RateLimited) as refusal:
                await limits.admit(Action.GUESS, AT_THE_DOOR)
            clock.now_s += 1
        clock.now_s += refusal.value.decision.retry_after_s - 1
        assert await admitted(limits, Action.GUESS, AT_THE_DOOR) == 5

    async def test_the_longer_wait_of_both_limiters_is_told(self, shared: Shared, clock: TurnedClock):
        limits = service(shared, clock)
        shared.down = True
        assert await admitted(limits, Action.GUESS, AT_THE_DOOR) == 5
        shared.down = False
        clock.now_s += OUTAGE_S
        elsewhere = service(shared, clock)  # another process, whose logins only the shared limiter counts
        assert await admitted(elsewhere, Action.GUESS, AT_THE_DOOR) == 5
        with pytest.raises(RateLimited) as refusal:
            await limits.admit(Action.GUESS, AT_THE_DOOR)
        assert refusal.value.decision.retry_after_s == 60

    async def test_of_many_logins_at_once_after_an_outage_no_more_are_admitted(
        self, shared: Shared, clock: TurnedClock
    ):
        limits = service(shared, clock)
        shared.down = True
        assert await admitted(limits, Action.GUESS, AT_THE_DOOR, tries=3) == 3
        shared.down = False
        clock.now_s += OUTAGE_S
        counts = await asyncio.gather(*(admitted(limits, Action.GUESS, AT_THE_DOOR, tries=1) for _ in range(20)))
        assert sum(counts) == 2


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (4, 0), (5, 30), (6, 60), (7, 120), (9, 480), (10, 900), (11, 900), (10**9, 900)]
)
def test_each_failed_login_too_many_doubles_the_delay(failures: int, seconds: int):
    assert login_delay(failures).total_seconds() == seconds


@pytest.mark.parametrize(
    ("address", "network", "neighbourhood"),
    [
        ("203.0.113.77", "203.0.113.0/24", "203.0.0.0/16"),
        ("2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8::/32"),
        ("unknown", "unknown", "unknown around"),
    ],
)
def test_an_address_lies_in_a_network_and_that_in_a_neighbourhood(address: str, network: str, neighbourhood: str):
    assert networks_of(address) == (network, neighbourhood)


NEAR = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("198.51.100.1", [], "198.51.100.1"),
        ("198.51.100.1", ["203.0.113.9"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["192.0.2.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["192.0.2.1", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["203.0.113.9, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("fd00::1", ["[2001:db8:1:2:3:4:5:6]:443"], "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", [], "2001:db8:1:2::/64"),
        (None, ["203.0.113.9"], "unknown"),
        ("", [], "unknown"),
        ("/run/socket", [], "unknown"),
    ],
)
def test_the_client_is_the_rightmost_hop_that_is_not_trusted(peer: str | None, forwarded_for: list[str], address: str):
    assert client_address(peer, forwarded_for, NEAR) == address


def test_without_trusted_proxies_nobody_speaks_for_others():
    assert client_address("10.0.0.1", ["203.0.113.9"], []) == "10.0.0.1"


def test_the_readme_has_the_table_of_limits():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \| .+? \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", readme, re.MULTILINE)
    limits = {name: row for name, *row in listed if name in {policy.name for policy in POLICIES}}
    assert limits == {
        policy.name: [*map(written, (policy.anonymous, policy.free, policy.premium)), algorithm(policy.name)]
        for policy in POLICIES
    }


def written(limit: Limit | None) -> str:
    return f"{limit.requests:,}/min".replace(",", " ") if limit and limit.per_s == 60 else "–"


def algorithm(name: str) -> str:
    (policy,) = [policy for policy in POLICIES if policy.name == name]
    (found,) = {limit.algorithm for limit in (policy.anonymous, policy.free, policy.premium) if limit}
    return {Algorithm.TOKEN_BUCKET: "token bucket", Algorithm.SLIDING_WINDOW: "sliding window"}[found]


@pytest.mark.parametrize(("seconds", "said"), [(1, "try again in 1 second"), (30, "try again in 30 seconds")])
def test_a_refusal_counts_its_seconds(seconds: int, said: str):
    assert str(LoginDelayed(seconds)).endswith(said)
