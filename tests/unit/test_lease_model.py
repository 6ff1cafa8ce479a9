"""A model checker for the lease: the real code of writer, reader and relay, two servers of Redis, in every order.

Three processes: one writes, one reads, one relays; each also renews its lease now and then. Each may be moved from one
server to the other, of which the second begins as a replica of the first; an invalidation may fail, carried out or not.
Every call of a port is one step, and so is the passing of time: a process that waits for leases to expire moves the
clock when its turn comes. A state is what the world holds and what each process has seen so far, so that orders which
lead to the same state are followed once.

Without any one of its rules the protocol shows a stale read, and the checker finds it.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pytest

from fitness.adapters.memory.cache_state import InMemoryCacheState
from fitness.adapters.memory.outbox import InMemoryOutbox
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.observed.reads import ReadCounts
from fitness.domain.use_cases.caching.invalidation import Changes, OutboxRelay
from fitness.domain.use_cases.caching.lease import EXPIRY_S, Lease
from fitness.domain.use_cases.caching.reads import CachedReads
from fitness.ports.cache import CacheKey, Era, Hit, Miss, Peeked, Scope, T
from fitness.ports.cache_state import CacheState, Transition
from fitness.ports.messages import Messages
from fitness.ports.outages import CacheUnavailable
from fitness.ports.outbox import PendingInvalidation
from fitness.ports.reply import Reply
from tests.unit.processes import peeked, replied
from tests.unit.stepped_loop import SteppedLoop, stepped_loop

SCOPE = Scope("activity", 1)
KEY = CacheKey("activity:{1}", SCOPE, 300, int, "activity")
WRITER, READER, RELAY = range(3)


@dataclass(frozen=True)
class Bounds:
    """How much may happen in a scene."""

    writes: int = 2
    reads: int = 1
    rounds: int = 3
    renewals: int = 3
    moves: int = 2
    ticks: int = 1
    failures: int = 1


class Server:
    """One Redis: generations and valid copies, by era."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.generations: dict[str, bytes] = {}
        self.copies: dict[str, tuple[bytes, int]] = {}

    def valid(self, era: str) -> int | None:
        generation, value = self.copies.get(era, (b"", 0))
        return value if generation and generation == self.generations.get(era) else None

    def seen(self) -> tuple[Any, ...]:
        eras = sorted({*self.generations, *self.copies})
        return tuple((era, era in self.generations, self.valid(era)) for era in eras)


class Turn(NamedTuple):
    """A step that waits to be taken, and by whom. Turns that share a future are outcomes of one step."""

    who: int
    what: str
    future: "asyncio.Future[str]"


class World:
    def __init__(self, bounds: Bounds, rules: "type[Rules]") -> None:
        self.rules = rules
        self.now_s = 0.0
        self.turns: list[Turn] = []
        self.store = InMemoryStore(monotonic_s=lambda: self.now_s)
        self.store.cache_state = CacheState(era=Era("r0", "e0"), closed=False, unread=False, epoch=0)
        self.servers = [Server("r0"), Server("r1")]
        self.servers[0].generations["e0"] = b"g"
        self.servers[0].copies["e0"] = (b"g", 0)
        self.connections = [0, 0, 0]
        self.failures = bounds.failures
        self.version = self.acknowledged = 0
        self.stale = False
        self.tokens = 0
        self.eras = 0
        self.misses: list[Miss] = []
        self.history: dict[int, tuple[Any, ...]] = {}

    async def step(self, who: int, what: str) -> None:
        await self.chosen(who, what)

    async def chosen(self, who: int, *choices: str) -> str:
        """One step with several outcomes."""
        future = asyncio.get_running_loop().create_future()
        self.turns += [Turn(who, choice, future) for choice in choices]
        chosen: str = await future
        return chosen

    def take(self, number: int) -> None:
        taken = self.turns[number]
        self.turns = [turn for turn in self.turns if turn.future is not taken.future]
        taken.future.set_result(taken.what)

    def saw(self, who: int, what: Any) -> None:
        self.history[who] = (*self.history.get(who, ()), what, self.now_s)

    def token(self) -> bytes:
        self.tokens += 1
        return b"t%d" % self.tokens

    def new_era(self) -> str:
        self.eras += 1
        return f"e{self.eras}"

    def fingerprint(self) -> tuple[Any, ...]:
        standing = tuple(
            server.generations.get(miss.era.name) == miss.generation for miss in self.misses for server in self.servers
        )
        outbox = tuple(sorted((entry.pending.id, entry.unconfirmed) for entry in self.store.outbox.values()))
        return (
            self.version,
            self.acknowledged,
            self.store.cache_state,
            outbox,
            tuple(server.seen() for server in self.servers),
            tuple(self.connections),
            self.failures,
            self.now_s,
            standing,
            tuple(sorted(self.history.items())),
            tuple(sorted((turn.who, turn.what) for turn in self.turns)),
        )


class SteppedCache:
    """A process's way to the server that it is connected to; one step a call."""

    def __init__(self, world: World, who: int) -> None:
        self._world, self._who = world, who

    async def _server(self, what: str, era: Era | None = None) -> Server:
        await self._world.step(self._who, what)
        server = self._world.servers[self._world.connections[self._who]]
        if era is not None and not self._world.rules.any_server and server.run_id != era.run_id:
            self._world.saw(self._who, "another server")
            raise CacheUnavailable
        return server

    async def read(self, key: CacheKey[T], era: Era) -> Hit[T] | Miss:
        server = await self._server("read", era)
        value: Any = server.valid(era.name)
        self._world.saw(self._who, (server.run_id, era.name, value))
        if value is not None:
            return Hit(value)
        miss = Miss(server.generations.setdefault(era.name, self._world.token()), era)
        self._world.misses.append(miss)
        return miss

    async def peek(self, era: Era, *keys: CacheKey[Any]) -> Sequence[Peeked]:
        server = await self._server("peek", era)
        value: Any = server.valid(era.name)
        self._world.saw(self._who, (server.run_id, era.name, value))
        if value is not None:
            return [json.dumps(value).encode()]
        generation = server.generations.get(era.name)
        if generation is None:
            return [None]
        miss = Miss(generation, era)
        self._world.misses.append(miss)
        return [miss]

    def peek_soon(self, era: Era, *keys: CacheKey[Any]) -> Reply[Sequence[Peeked]] | None:
        return replied(self.peek(era, *keys))

    async def begin(self, key: CacheKey[Any], era: Era) -> Miss | None:
        raise NotImplementedError  # nothing is created here

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        server = await self._server("fill", miss.era)
        assert isinstance(value, int)
        server.copies[miss.era.name] = (miss.generation, value)
        self._world.saw(self._who, "filled")

    async def invalidate(self, era: Era, *scopes: Scope) -> None:
        if not scopes:
            return
        server = await self._server("invalidate", era)
        lost = None
        if self._who == WRITER and self._world.failures:
            # Whether it fails, and whether it is carried out all the same, are choices like any other.
            lost = await self._world.chosen(self._who, "confirmed", "lost", "unanswered")
        if lost != "lost":
            server.generations[era.name] = self._world.token()
        self._world.saw(self._who, lost or "confirmed")
        if lost in ("lost", "unanswered"):
            self._world.failures -= 1
            raise CacheUnavailable

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        return True

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        return None

    async def run_id(self) -> str:
        await self._world.step(self._who, "run id")
        run_id = self._world.servers[self._world.connections[self._who]].run_id
        self._world.saw(self._who, run_id)
        return run_id

    async def reconnect(self) -> None:
        return None


class SteppedStates:
    def __init__(self, world: World, who: int) -> None:
        self._world, self._who = world, who
        self._states = world.rules.states(world.store, switch_s=0.0, new_name=world.new_era)

    async def read(self) -> CacheState:
        await self._world.step(self._who, "read row")
        return self._saw(await self._states.read())

    async def close(self, unconfirmed: PendingInvalidation) -> Transition:
        await self._world.step(self._who, "close")
        return self._moved(await self._states.close(unconfirmed))

    async def open(self, *, epoch: int) -> Transition:
        await self._world.step(self._who, "open")
        return self._moved(await self._states.open(epoch=epoch))

    async def name_server(self, run_id: str, *, epoch: int) -> Transition:
        await self._world.step(self._who, "name server")
        return self._moved(await self._states.name_server(run_id, epoch=epoch))

    def _saw(self, state: CacheState) -> CacheState:
        self._world.saw(self._who, state)
        return state

    def _moved(self, transition: Transition) -> Transition:
        self._saw(transition.state)
        return transition


class SteppedOutbox(InMemoryOutbox):
    def __init__(self, world: World) -> None:
        super().__init__(world.store)
        self._world = world

    async def pending(self, *, older_than_s: float = 0.0) -> Sequence[PendingInvalidation]:
        await self._world.step(RELAY, "pending")
        found = await super().pending()
        self._world.saw(RELAY, tuple(entry.id for entry in found))
        return found

    async def acknowledge(self, ids: Iterable[int], *, era: Era) -> None:
        await self._world.step(RELAY, "acknowledge")
        await super().acknowledge(ids, era=era)


class Rules:
    """The protocol in full; below, without one rule each."""

    lease: type[Lease] = Lease
    changes: type[Changes] = Changes
    states: type[InMemoryCacheState] = InMemoryCacheState
    any_server = False


class NoClose(Rules):
    """A writer whose invalidation was not confirmed answers all the same."""

    class changes(Changes):
        async def _deliver(self, entry: PendingInvalidation, ids: list[int]) -> None:
            state = self._lease.state
            assert state is not None
            assert state.era is not None
            await self._seen_by_readers(state.era, entry.scopes)


class NoWait(Rules):
    """A writer answers as soon as the cache is closed."""

    class lease(Lease):
        async def until_others_expired(self, closed: CacheState) -> None:
            return


class NoLease(Rules):
    """A reader reads from the server it is connected to, whatever the row says."""

    class lease(Lease):
        async def to_read(self) -> Era | None:
            return None if self.state is None else self.state.era

    any_server = True


class NoServer(Rules):
    """A reader does not look which server answers."""

    any_server = True


class NoCheck(Rules):
    """A confirmed invalidation is enough."""

    class changes(Changes):
        async def _seen_by_readers(self, era: Era, scopes: tuple[Scope, ...]) -> bool:
            return await self._confirmed(era, scopes)


class NoLook(Rules):
    """A writer whose lease ran out does not read the row."""

    class changes(Changes):
        async def _counts(self, era: Era) -> bool:
            return True


class NoSwitchWait(Rules):
    """The cache is opened at once after another server was named."""

    class lease(Lease):
        def others_expired(self, closed: CacheState) -> bool:
            return True


class NoEra(Rules):
    """Another server keeps the names of the one before."""

    class states(InMemoryCacheState):
        def __init__(self, store: InMemoryStore, **given: Any) -> None:
            super().__init__(store, **given | {"new_name": lambda: "e0"})


class NoMark(Rules):
    """A writer that closes the cache does not mark its outbox entry."""

    class states(InMemoryCacheState):
        async def close(self, unconfirmed: PendingInvalidation) -> Transition:
            transition = await super().close(unconfirmed)
            entry = self._store.outbox[unconfirmed.id]
            self._store.outbox[unconfirmed.id] = replace(entry, unconfirmed=False)
            return transition


class BlindOpen(Rules):
    """The cache is opened although an entry was marked since the relay looked."""

    class states(InMemoryCacheState):
        async def open(self, *, epoch: int) -> Transition:
            kept = self._store.outbox
            self._store.outbox = {}
            try:
                return await super().open(epoch=epoch)
            finally:
                self._store.outbox = kept


class Process:
    def __init__(self, world: World, who: int) -> None:
        self.world, self.who = world, who
        self.cache = SteppedCache(world, who)
        states = SteppedStates(world, who)
        self.lease = world.rules.lease(states, monotonic_s=lambda: world.now_s, pause=self._pass)
        self.reads = CachedReads(self.cache, self.lease, ReadCounts(), pause=self._pass)
        self.changes = world.rules.changes(self.cache, states, self.lease, try_until_s=0.0)
        self.relay = OutboxRelay(self.cache, SteppedOutbox(world), states, self.lease, self.changes)
        at_once(self.begin())

    async def _pass(self, seconds: float) -> None:
        """Time passes for everybody when this one's turn comes."""
        due_s = self.world.now_s + seconds
        await self.world.step(self.who, f"wait until {due_s:.2f}")
        self.world.now_s = max(self.world.now_s, due_s)

    async def begin(self) -> None:
        """With a lease, as after some time in peace."""
        present = Transition(self.world.store.cache_state, changed=False)

        async def read() -> Transition:
            return present

        await self.lease.ask(read)

    async def write(self, times: int) -> None:
        for number in range(1, times + 1):
            sent = Messages(id=number, invalidates=(SCOPE,))
            await self._commit(sent)
            await self.changes.deliver(sent)
            self.world.acknowledged = self.world.version
            self.world.saw(self.who, "acknowledged")

    async def read(self, times: int) -> None:
        for _ in range(times):
            await self.world.step(self.who, "begin")
            promised = self.world.acknowledged
            self.world.saw(self.who, promised)
            self.world.stale |= await self._value() < promised

    async def _value(self) -> int:
        """The short way, and from there the long one."""
        found = await peeked(self.reads, KEY)
        if isinstance(found, bytes):
            return int(found)
        return (await self.reads.read_through(KEY, self._load, miss=found)).value

    async def relay_rounds(self, times: int) -> None:
        for _ in range(times):
            await self.world.step(self.who, "round")
            try:
                await self.relay.relay()
            except CacheUnavailable:
                continue

    async def _commit(self, sent: Messages) -> None:
        await self.world.step(self.who, "commit")
        self.world.version += 1
        self.world.store.write(sent)
        self.world.saw(self.who, "committed")

    async def _load(self) -> int:
        await self.world.step(self.who, "load")
        self.world.saw(self.who, ("loaded", self.world.version))
        return self.world.version


def at_once(work: Coroutine[Any, Any, None]) -> None:
    """Run what waits for nothing."""
    with suppress(StopIteration):
        work.send(None)
        raise AssertionError("it waits")


SURROUNDINGS = 9


class Scene:
    """What goes on side by side in one world."""

    def __init__(self, loop: SteppedLoop, bounds: Bounds, rules: type[Rules]) -> None:
        self.loop = loop
        self.bounds = bounds
        self.world = World(bounds, rules)
        self.processes = [Process(self.world, who) for who in (WRITER, READER, RELAY)]
        writer, reader, relay = self.processes
        todo = [writer.write(bounds.writes), reader.read(bounds.reads), relay.relay_rounds(bounds.rounds)]
        self.tasks = [loop.create_task(one) for one in todo]
        self.surroundings = [loop.create_task(one) for one in (self._move(), self._renew(), self._tick())]
        loop.run_ready()

    @property
    def over(self) -> bool:
        return all(task.done() for task in self.tasks)

    def take(self, choice: int) -> None:
        self.world.take(choice)
        self.loop.run_ready()

    def end(self) -> None:
        broken = [task for task in self.tasks if task.done() and task.exception() is not None]
        self.loop.end_tasks()
        for task in broken:
            raise task.exception()  # type: ignore[misc]

    async def _move(self) -> None:
        """The second server takes over the first one's content, once; then processes are moved to and fro."""
        world = self.world
        await world.step(SURROUNDINGS, "replicate")
        first, second = world.servers
        second.generations, second.copies = dict(first.generations), dict(first.copies)
        for number in range(self.bounds.moves):
            world.saw(SURROUNDINGS, number)
            who = int(await world.chosen(SURROUNDINGS, *map(str, (WRITER, READER, RELAY))))
            world.connections[who] = 1 - world.connections[who]

    async def _tick(self) -> None:
        for number in range(self.bounds.ticks):
            await self.world.step(SURROUNDINGS + 2, "tick")
            self.world.now_s += EXPIRY_S
            self.world.saw(SURROUNDINGS + 2, number)

    async def _renew(self) -> None:
        for number in range(self.bounds.renewals):
            self.world.saw(SURROUNDINGS + 1, number)
            who = int(await self.world.chosen(SURROUNDINGS + 1, *map(str, (WRITER, READER, RELAY))))
            await self.processes[who].lease.renew()


def explored(
    bounds: Bounds, rules: type[Rules], *, most: int, progress: Callable[[int], None] = lambda states: None
) -> tuple[int, bool, bool]:
    """The number of states, whether one of them showed a stale read, and whether that is all of them."""
    seen: set[int] = set()
    path: list[tuple[int, int]] = []
    with stepped_loop() as loop:
        while True:
            stale = followed(loop, bounds, rules, path, seen)
            progress(len(seen))
            if stale or len(seen) >= most:
                return len(seen), stale, False
            while path and path[-1][0] + 1 >= path[-1][1]:
                path.pop()
            if not path:
                return len(seen), False, True
            choice, options = path.pop()
            path.append((choice + 1, options))


def followed(
    loop: SteppedLoop, bounds: Bounds, rules: type[Rules], path: list[tuple[int, int]], seen: set[int]
) -> bool:
    """Go along `path`, and on by the first choices until a state that was seen before; `path` is extended."""
    scene = Scene(loop, bounds, rules)
    for choice, _ in path:
        scene.take(choice)
    while not scene.over and not scene.world.stale:
        state = hash(scene.world.fingerprint())
        if state in seen:
            break
        seen.add(state)
        path.append((0, len(scene.world.turns)))
        scene.take(0)
    scene.end()
    return scene.world.stale


LETTERS = {"W": WRITER, "R": READER, "C": RELAY, "M": SURROUNDINGS, "P": SURROUNDINGS + 1, "T": SURROUNDINGS + 2}


class NotPossible(Exception):
    """The next step of the story cannot be taken; the message lists those that can."""


def stale_after(story: str, bounds: Bounds, rules: type[Rules]) -> bool:
    """Whether the steps of `story`, in its order, lead to a stale read. `W:commit` is a step of the writer, `R` of the
    reader, `C` of the relay; `M:2` moves the relay to the other server, `P:1` has the reader renew its lease, and `T`
    lets all leases expire.
    """
    with stepped_loop() as loop:
        scene = Scene(loop, bounds, rules)
        for word in story.split():
            letter, _, what = word.partition(":")
            turns = scene.world.turns
            found = [
                number
                for number, turn in enumerate(turns)
                if turn.who == LETTERS[letter] and turn.what.replace(" ", "-").startswith(what)
            ]
            if not found:
                raise NotPossible(f"{word}; possible: {[(turn.who, turn.what) for turn in turns]}")
            scene.take(found[0])
        return scene.world.stale


NAMED = "C:round C:read-row C:run-id C:run-id C:name-server C:run-id"
SWITCHED = f"M:replicate M:2 {NAMED}"
OPENED = "T:tick C:round C:read-row C:run-id C:run-id C:open"
FILLED = "M:1 R:begin R:read-row R:read R:load R:fill"
TWO_WRITES_CLOSED = """
    R:begin W:commit W:invalidate W:lost W:close W:wait
    C:round C:read-row C:run-id C:run-id C:pending C:invalidate C:acknowledge R:peek R:load R:fill
    W:commit W:invalidate W:lost W:close C:open R:begin R:read-row R:read
"""


@pytest.mark.parametrize(
    ("broken", "story", "bounds"),
    [
        (NoClose, "W:commit W:invalidate W:lost R:begin R:peek", Bounds(writes=1)),
        (NoWait, "W:commit W:invalidate W:lost W:close R:begin R:peek", Bounds(writes=1)),
        (NoLease, "W:commit W:invalidate W:lost W:close W:wait R:begin R:read", Bounds(writes=1)),
        (NoServer, "M:replicate M:1 W:commit W:invalidate W:confirmed R:begin R:peek", Bounds(writes=1)),
        (
            NoCheck,
            f"{SWITCHED} {OPENED} {FILLED} W:commit W:invalidate R:begin R:peek",
            Bounds(writes=1, reads=2, failures=0),
        ),
        (
            NoLook,
            f"{SWITCHED} {OPENED} {FILLED} W:commit W:invalidate R:begin R:peek",
            Bounds(writes=1, reads=2, failures=0),
        ),
        (
            NoSwitchWait,
            f"{SWITCHED} C:open M:0 P:0 W:read-row W:commit W:invalidate R:begin R:peek",
            Bounds(writes=1, failures=0),
        ),
        (
            NoEra,
            f"M:replicate M:2 M:1 W:commit W:invalidate {NAMED} {OPENED} R:begin R:read-row R:read",
            Bounds(writes=1, failures=0),
        ),
        (NoMark, TWO_WRITES_CLOSED, Bounds(reads=2, failures=2)),
        (BlindOpen, TWO_WRITES_CLOSED, Bounds(reads=2, failures=2)),
    ],
    ids=lambda one: one.__name__ if isinstance(one, type) else "",
)
def test_without_any_one_rule_a_stale_read_is_possible(broken: type[Rules], story: str, bounds: Bounds):
    assert stale_after(story, bounds, broken)
    with suppress(NotPossible):  # with the rule some step of the story cannot come there, or the read is not stale
        assert not stale_after(story, bounds, Rules)


MANY = 5_000
"""States in the time that a unit test may take; `python -m tests.soak.lease_states` visits 1 000 000."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(writes=1, rounds=1, renewals=1, moves=0),
        Bounds(writes=1, rounds=1, renewals=0, moves=1, failures=0),
    ],
)
def test_no_order_of_steps_shows_less_than_was_acknowledged(bounds: Bounds):
    states, stale, complete = explored(bounds, Rules, most=MANY)
    assert not stale
    assert complete or states >= MANY
