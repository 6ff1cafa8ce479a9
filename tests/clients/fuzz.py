"""Asks a service on memory at random, by its own document: python -m tests.clients.fuzz [SEED …]

With three seeds, unless others are given. Ends with 1 if any check of schemathesis fails.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from tests.clients.check import HERE, TOOLS
from tests.harness.service import Service

SEEDS = ("1", "2", "3")
PERSON = {"email": "fuzz@example.org", "password": "twice round the lake"}


def main(seeds: tuple[str, ...]) -> int:
    failed = 0
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="fitness-fuzz-") as name:
            service = Service(Path(name) / "data", DATABASE_URL="memory:", REDIS_URL="memory:")
            service.start()
            try:
                failed |= _asked(service.url, seed)
            finally:
                service.stop()
    return failed


def _asked(url: str, seed: str) -> int:
    httpx.post(f"{url}/api/v1/auth/register", json=PERSON).raise_for_status()
    token = httpx.post(f"{url}/api/v1/auth/login", json=PERSON).json()["access_token"]
    command = [
        *(TOOLS / "schemathesis", "--config-file", HERE / "schemathesis.toml"),
        *("run", f"{url}/openapi.json", "--url", url, "--seed", seed),
        *("--header", f"Authorization: Bearer {token}"),
    ]
    return subprocess.run([*map(str, command)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or SEEDS))
