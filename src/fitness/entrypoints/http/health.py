"""/health: whether the process runs, and whether its stores answer."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from litestar import Response, Router, get
from litestar.di import NamedDependency

from fitness.domain.model.rate_limits import Action
from fitness.entrypoints.http.routes import Access, Route
from fitness.ports.health import ProbePort
from fitness.ports.outages import Outage
from fitness.ports.setup import BadSetup

_OPEN = Route(access=Access.PUBLIC, action=Action.OTHER, limited=False, needs_database=False)

UP = "up"


@dataclass(frozen=True, slots=True)
class Liveness:
    status: str
    """Always `alive`."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """`ready`; `degraded`: everything works, more slowly; `unavailable`, `stopping`: send requests elsewhere.

    A check is `up`, `down`, or a sentence on what an operator has to do before the store can be used.
    """

    status: str
    """What all checks come to."""
    checks: Mapping[str, str]
    """The state of each store, by its name."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The service does not work without the `needed` stores; without the `useful` ones it is slower.

    `stopping` says whether this process is about to end.
    """

    needed: Mapping[str, ProbePort]
    useful: Mapping[str, ProbePort]
    stopping: Callable[[], bool]

    async def readiness(self) -> Readiness:
        probes = {**self.needed, **self.useful}
        states = dict(zip(probes, await asyncio.gather(*map(_state, probes.values())), strict=True))
        if self.stopping():
            return Readiness("stopping", states)
        if any(states[name] != UP for name in self.needed):
            return Readiness("unavailable", states)
        return Readiness("ready" if all(state == UP for state in states.values()) else "degraded", states)


_READY = Route(
    access=Access.PUBLIC,
    action=Action.OTHER,
    limited=False,
    needs_database=False,
    unstored=True,
    also={503: Readiness},
)


async def _state(probe: ProbePort) -> str:
    try:
        await probe.check()
    except Outage:
        return "down"
    except BadSetup as setup:
        return str(setup)
    return UP


@get("/live", opt=_OPEN.opt)
async def live() -> Liveness:
    """Whether the process answers at all; touches nothing else."""
    return Liveness("alive")


@get("/ready", opt=_READY.opt)
async def ready(stores: NamedDependency[Stores]) -> Response[Readiness]:
    """Whether to send requests here, with each store's state; 503 while PostgreSQL does not answer, its schema is
    older than this version needs, or the service stops."""
    readiness = await stores.readiness()
    status = 503 if readiness.status in ("unavailable", "stopping") else 200
    return Response(readiness, status_code=status, headers={"Cache-Control": "no-store"})


health_router = Router("/health", tags=["health"], route_handlers=[live, ready])
