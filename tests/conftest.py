"""What every test may ask for."""

import logging

import pytest

logging.getLogger("httpx").setLevel(logging.WARNING)  # the tests' client; its lines are not the service's


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
