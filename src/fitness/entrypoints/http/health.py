"""/health: whether the process lives, and whether its stores answer."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from litestar import Response, Router, get
from litestar.di import NamedDependency

from fitness.entrypoints.http.gate import DATABASELESS, FREE, PUBLIC
from fitness.ports.health import ProbePort
from fitness.ports.outages import Outage


@dataclass(frozen=True, slots=True)
class Liveness:
    status: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """`ready`; `degraded`: slower, and all works; `unavailable`: send requests elsewhere."""

    status: str
    checks: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stores:
    """Without the needed ones nothing works; without the useful ones it is slower."""

    needed: Mapping[str, ProbePort]
    useful: Mapping[str, ProbePort]

    async def readiness(self) -> Readiness:
        probes = {**self.needed, **self.useful}
        states = dict(zip(probes, await asyncio.gather(*map(_state, probes.values())), strict=True))
        if any(states[name] == "down" for name in self.needed):
            return Readiness("unavailable", states)
        return Readiness("degraded" if "down" in states.values() else "ready", states)


async def _state(probe: ProbePort) -> str:
    try:
        await probe.check()
    except Outage:
        return "down"
    return "up"


@get("/live", opt={PUBLIC: True, FREE: True, DATABASELESS: True})
async def live() -> Liveness:
    """Whether the process answers at all; touches nothing else."""
    return Liveness("alive")


@get("/ready", opt={PUBLIC: True, FREE: True, DATABASELESS: True})
async def ready(stores: NamedDependency[Stores]) -> Response[Readiness]:
    """Whether to send requests here, with each store's state; 503 while PostgreSQL does not answer."""
    readiness = await stores.readiness()
    status = 503 if readiness.status == "unavailable" else 200
    return Response(readiness, status_code=status, headers={"Cache-Control": "no-store"})


health_router = Router("/health", tags=["health"], route_handlers=[live, ready])
