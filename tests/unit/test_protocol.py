"""A model checker for the cache's protocol: the real policy, in every order in which its steps can fall.

Each call of a port is one step, carried out at once when its turn comes. The explorer runs a scene again and again,
each time in another order of steps, until it has seen them all. A read is stale if it returns less than was
acknowledged before the read began.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from fitness.adapters.memory.cache import InMemoryCache
from fitness.adapters.memory.outbox import InMemoryOutbox
from fitness.adapters.memory.store import InMemoryStore
from fitness.ports.cache import CacheKey, Era, Hit, Miss, Peeked, Scope, T
from fitness.ports.cache_state import CacheState
from fitness.ports.messages import Messages
from fitness.ports.outages import CacheUnavailable
from fitness.ports.outbox import PendingInvalidation
from fitness.ports.reply import Reply
from tests.builders import messages
from tests.unit.processes import CachingProcess, peeked, replied
from tests.unit.stepped_loop import SteppedLoop, stepped_loop

SCOPE = Scope("activity", 1)
LIST_SCOPE = Scope("user", 1)
KEY = CacheKey("activity:{1}", SCOPE, 300, int, "activity")


class Steps:
    """Where everybody waits for their turn."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []

    async def __call__(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        await turn


@dataclass
class World:
    """One database row, whose content is its version, one cache, and what was seen of them."""

    steps: Steps = field(default_factory=Steps)
    store: InMemoryStore = field(default_factory=lambda: InMemoryStore(monotonic_s=lambda: 0.0))
    cache: InMemoryCache = field(default_factory=lambda: InMemoryCache(lambda: 0.0))
    processes: list["Process"] = field(default_factory=list)
    now_s: float = 0.0
    plain: dict[str, int] = field(default_factory=dict)
    version: int = 0
    acknowledged: int = 0
    stale: int = 0

    async def begin(self) -> None:
        """The cache is open, and every process knows it."""
        era = Era(await self.cache.run_id(), "era")
        self.store.cache_state = CacheState(era=era, closed=False, unread=False, epoch=1)
        for process in self.processes:
            await process.begin()

    async def pass_time(self, seconds: float) -> None:
        """For everybody, when the turn of the one who waits has come."""
        due_s = self.now_s + seconds
        await self.steps()
        self.now_s = max(self.now_s, due_s)

    async def load(self) -> int:
        await self.steps()
        return self.version

    async def commit(self, *, messages: Messages) -> int:
        """A write, as a repository makes it; the version that it made."""
        await self.steps()
        self.version += 1
        self.store.write(messages)
        return self.version

    async def observe(self, read: Callable[[], Awaitable[int]]) -> None:
        """A read that began now."""
        promised = self.acknowledged
        self.stale += await read() < promised


class SteppedCache:
    """The in-memory cache, one step a call. Claims only save work, so everybody gets one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.reachable = True

    async def _step(self) -> InMemoryCache:
        await self._world.steps()
        if not self.reachable:
            raise CacheUnavailable
        return self._world.cache

    async def read(self, key: CacheKey[T], era: Era) -> Hit[T] | Miss:
        return await (await self._step()).read(key, era)

    async def peek(self, era: Era, *keys: CacheKey[Any]) -> Sequence[Peeked]:
        return await (await self._step()).peek(era, *keys)

    def peek_soon(self, era: Era, *keys: CacheKey[Any]) -> Reply[Sequence[Peeked]] | None:
        return replied(self.peek(era, *keys))

    async def begin(self, key: CacheKey[Any], era: Era) -> Miss | None:
        return await (await self._step()).begin(key, era)

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        await (await self._step()).fill(key, value, miss)

    async def invalidate(self, era: Era, *scopes: Scope) -> None:
        if scopes:
            await (await self._step()).invalidate(era, *scopes)

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        return True

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        return None

    async def run_id(self) -> str:
        return await self._world.cache.run_id()

    async def reconnect(self) -> None:
        return None


class SteppedOutbox(InMemoryOutbox):
    def __init__(self, world: World) -> None:
        super().__init__(world.store)
        self._world = world

    async def pending(self, *, older_than_s: float = 0.0) -> Sequence[PendingInvalidation]:
        """As late as it may be asked: of whatever age, and held no longer."""
        await self._world.steps()
        return [entry.pending for entry in self._world.store.outbox.values()]

    async def acknowledge(self, ids: Iterable[int], *, era: Era) -> None:
        await self._world.steps()
        await super().acknowledge(ids, era=era)


class Process:
    """One process of the service under the real policy."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.processes.append(self)
        self.cache = SteppedCache(world)
        process = CachingProcess(
            self.cache,
            world.store,
            outbox=SteppedOutbox(world),
            monotonic_s=lambda: world.now_s,
            pause=world.pass_time,
        )
        self.lease, self.reads = process.lease, process.reads
        self.changes, self.relay = process.changes, process.relay

    async def begin(self) -> None:
        """With a lease, as after some time in peace."""
        await self.lease.renew()

    async def _value(self) -> int:
        """The short way, and from there the long one."""
        found = await peeked(self.reads, KEY)
        if isinstance(found, bytes):
            return int(found)
        return (await self.reads.read_through(KEY, self.world.load, miss=found)).value

    async def read(self) -> None:
        await self.world.observe(self._value)

    async def write(self) -> None:
        await self.changes.make([SCOPE], self.world.commit)
        self.world.acknowledged = self.world.version

    async def write_in_steps(self) -> None:
        async with self.changes.in_steps() as steps:
            for _ in range(2):
                await steps.make([SCOPE], self.world.commit)
        self.world.acknowledged = self.world.version

    async def change_nothing(self) -> None:
        """A request for what is so already, by somebody else's change: its answer says what is there."""
        found = await self.world.load()
        await self.changes.refresh(SCOPE)
        self.world.acknowledged = max(self.world.acknowledged, found)

    async def only_answer(self) -> None:
        """As `change_nothing`, but what is cached stays."""
        self.world.acknowledged = max(self.world.acknowledged, await self.world.load())

    async def create(self) -> None:
        """Something new, which others may find and change before its creation is answered."""
        begun = await self.reads.begin(KEY)
        created = await self.changes.make([LIST_SCOPE], self.world.commit)
        await self.reads.write_through(KEY, created, begun)
        self.world.acknowledged = max(self.world.acknowledged, created)

    async def create_too_late(self) -> None:
        """As `create`, but the generation is made after the commit."""
        created = await self.changes.make([LIST_SCOPE], self.world.commit)
        await self.reads.write_through(KEY, created, await self.reads.begin(KEY))
        self.world.acknowledged = max(self.world.acknowledged, created)

    async def change_when_there(self) -> None:
        for _ in range(5):
            await self.world.steps()
            if self.world.version:
                await self.write()
                return

    async def write_and_die(self) -> None:
        await self.world.commit(messages=messages(SCOPE))

    async def write_cut_off(self) -> None:
        """This process cannot reach the cache after its commit; then it reads its own write."""
        sent = messages(SCOPE)
        await self.world.commit(messages=sent)
        self.cache.reachable = False
        await self.changes.deliver(sent)
        promised = self.world.version
        self.world.stale += await self._value() < promised
        self.cache.reachable = True
        await self.relay.relay()
        self.world.stale += await self._value() < promised

    async def relay_pending(self) -> None:
        before = self.world.version if self.world.store.outbox else 0
        await self.relay.relay()
        self.world.acknowledged = max(self.world.acknowledged, before)


class Ordinary:
    """The same as it is usually written: read, load, set; write, delete."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def _value(self) -> int:
        await self.world.steps()
        if KEY.name in self.world.plain:
            return self.world.plain[KEY.name]
        value = await self.world.load()
        await self.world.steps()
        self.world.plain[KEY.name] = value
        return value

    async def read(self) -> None:
        await self.world.observe(self._value)

    async def write(self) -> None:
        await self.world.commit(messages=messages(SCOPE))
        await self.world.steps()
        self.world.plain.pop(KEY.name, None)
        self.world.acknowledged = self.world.version


async def evict_generation(world: World) -> None:
    await world.steps()
    world.cache._generations.clear()


async def evict_copy(world: World) -> None:
    await world.steps()
    world.cache._copies.clear()


Scene = Callable[[World], tuple[list[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]]
"""What runs side by side, and a read at the end."""


def readers_writer_and(evict: Callable[[World], Coroutine[Any, Any, None]]) -> Scene:
    def scene(world: World) -> tuple[list[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]:
        first, second, third = Process(world), Process(world), Process(world)
        return [first.read(), second.read(), third.write(), evict(world)], first.read()

    return scene


def creation(world: World) -> tuple[list[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]:
    """Changed by another process as soon as it is committed, while generations are evicted."""
    first, second = Process(world), Process(world)
    return [first.create(), second.change_when_there(), evict_generation(world)], second.read()


def late_creation(world: World) -> tuple[list[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]:
    first, second = Process(world), Process(world)
    return [first.create_too_late(), second.change_when_there(), evict_generation(world)], second.read()


def two_writers(world: World) -> tuple[list[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]:
    first, second = Process(world), Process(world)
    return [first.write(), second.write(), second.read()], first.read()


def in_steps(world: World) -> tuple[list[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]:
    """Somebody else's relay carries out one step while its writer is at the next."""
    first, second = Process(world), Process(world)
    return [first.write_in_steps(), second.relay.relay(), second.read()], second.read()


def unchanged(world: World) -> tuple[list[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]:
    first, second = Process(world), Process(world)
    return [first.write_and_die(), second.change_nothing(), second.read()], first.read()


def unchanged_and_stale(world: World) -> tuple[list[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]:
    first, second = Process(world), Process(world)
    return [first.write_and_die(), second.only_answer(), second.read()], first.read()


def one_process(world: World) -> tuple[list[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]:
    process = Process(world)
    return [process.read(), process.read(), process.write(), process.read()], process.read()


def crash(world: World) -> tuple[list[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]:
    first, second = Process(world), Process(world)
    return [first.write_and_die(), second.relay_pending(), second.read(), second.read()], second.read()


def cut_off(world: World) -> tuple[list[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]:
    first, second = Process(world), Process(world)
    return [first.write_cut_off(), second.read()], first.read()


def ordinary(world: World) -> tuple[list[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]:
    first, second, third = Ordinary(world), Ordinary(world), Ordinary(world)
    return [first.read(), second.read(), third.write()], first.read()


def explore(scene: Scene) -> tuple[int, int]:
    """The number of schedules, all there are, and of those that had a stale read."""
    schedules = stale = 0
    choices: list[tuple[int, int]] = []
    with stepped_loop() as loop:
        while True:
            choices, was_stale = _run(loop, scene, [choice for choice, _ in choices])
            schedules += 1
            stale += was_stale
            while choices and choices[-1][0] + 1 == choices[-1][1]:
                choices.pop()
            if not choices:
                return schedules, stale
            choice, options = choices.pop()
            choices.append((choice + 1, options))


def _run(loop: SteppedLoop, scene: Scene, prefix: Sequence[int]) -> tuple[list[tuple[int, int]], bool]:
    """The choices made, of how many each, along `prefix` and then always the first; and whether it was stale."""
    world = World()
    side_by_side, last = scene(world)
    _done(loop, [loop.create_task(world.begin())])
    tasks = [loop.create_task(task) for task in side_by_side]
    made: list[tuple[int, int]] = []
    loop.run_ready()
    waiting = world.steps.waiting
    while waiting:
        choice = prefix[len(made)] if len(made) < len(prefix) else 0
        made.append((choice, len(waiting)))
        waiting.pop(choice).set_result(None)
        loop.run_ready()
    final = loop.create_task(last)
    loop.run_ready()
    while waiting:
        waiting.pop(0).set_result(None)
        loop.run_ready()
    _done(loop, [*tasks, final])
    return made, world.stale > 0


def _done(loop: SteppedLoop, tasks: Sequence["asyncio.Task[None]"]) -> None:
    """Raises what one of them raised, or InvalidStateError if one still waits."""
    loop.run_ready()
    for task in tasks:
        task.result()
    loop.end_tasks()


@pytest.mark.parametrize(
    ("scene", "at_least"),
    [
        pytest.param(readers_writer_and(evict_generation), 25_000, marks=pytest.mark.slow),
        pytest.param(two_writers, 400, marks=pytest.mark.slow),
        pytest.param(in_steps, 1_000, marks=pytest.mark.slow),
        pytest.param(unchanged, 50, marks=pytest.mark.slow),
        pytest.param(one_process, 1_000, marks=pytest.mark.slow),
        pytest.param(creation, 1_500, marks=pytest.mark.slow),
        pytest.param(crash, 100, marks=pytest.mark.slow),
        pytest.param(cut_off, 10, marks=pytest.mark.slow),
    ],
    ids=["eviction", "two writers", "in steps", "unchanged", "one process", "creation", "crash", "cut off"],
)
def test_no_order_of_steps_shows_less_than_was_acknowledged(scene: Scene, at_least: int):
    schedules, stale = explore(scene)
    assert stale == 0
    assert schedules >= at_least


def test_the_checker_finds_what_is_wrong_with_the_ordinary_way():
    schedules, stale = explore(ordinary)
    assert schedules > 500
    assert stale > schedules / 20


def test_the_checker_finds_an_answer_that_is_newer_than_the_cached_copy():
    _, stale = explore(unchanged_and_stale)
    assert stale > 0


def test_the_checker_finds_a_copy_whose_generation_was_made_after_the_commit():
    _, stale = explore(late_creation)
    assert stale > 0
