"""What every test may ask for, and which tests need engines."""

import gc
import logging
from types import ModuleType

import pytest
from hypothesis import settings

from fitness.adapters.embedded.engines import running_engines
from tests.harness.servers import Server
from tests.harness.service import Service

# As a worker process does: the suite makes an application for each HTTP test, and looks for cycles cost a third of it.
gc.set_threshold(50_000, 50, 100)

# Its own deadline is of a fifth of a second for an example, which says more about the machine.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")

logging.getLogger("httpx").setLevel(logging.WARNING)  # the tests' client; its lines are not the service's


def pytest_collection_finish() -> None:
    gc.freeze()  # the collector need not look at the modules of service and tests; it is asked often, by pytest too


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.hookimpl(tryfirst=True)  # before -m chooses among the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs PostgreSQL, Valkey or a service process, so that `make unit` can leave it out."""
    for item in items:
        if isinstance(item, pytest.Function) and ("engines" in item.fixturenames or _starts_servers(item.module)):
            item.add_marker(pytest.mark.engines)


def _starts_servers(module: ModuleType) -> bool:
    return any(
        value is running_engines or (isinstance(value, type) and issubclass(value, Server | Service))
        for value in vars(module).values()
    )
