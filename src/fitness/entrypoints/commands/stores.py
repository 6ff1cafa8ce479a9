"""The settings and the stores that the commands run on."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fitness.entrypoints.logs import configure_logs
from fitness.entrypoints.setting_values import MEMORY
from fitness.entrypoints.settings import CompleteSettings, Settings
from fitness.entrypoints.wiring.container import Container
from fitness.entrypoints.wiring.lifecycle import running
from fitness.entrypoints.wiring.stores import settings_from, with_running_engines
from fitness.ports.setup import BadSetup

T = TypeVar("T")


def settings_of_environment() -> Settings:
    settings = settings_from(os.environ)
    configure_logs(settings.log_format)
    return settings


def on_stores(run: Callable[[Container], Awaitable[T]]) -> T:
    """Run a use case on the service's stores; embedded engines are started if no service runs them."""

    async def within(settings: CompleteSettings) -> T:
        async with running(settings) as container:
            return await run(container)

    settings = settings_of_environment()
    if settings.in_memory:
        raise BadSetup(f"FITNESS_DATABASE_URL is {MEMORY}; this command would have data of its own and keep none of it")
    with with_running_engines(settings) as complete:
        if settings.embedded:
            Container(settings=complete).migrations().up()
        return asyncio.run(within(complete))
