"""Asks the service at random, by its own document: python -m tests.clients.fuzz [--examples 100] [SEED …]

With three seeds, unless others are given, each on engines of its own. Ends with 1 if any check of schemathesis fails,
or if too few operations were carried out: a service that only refuses passes every check.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
from ops.local.service import FITNESS

from fitness.domain.model.users import EXAMPLE_PASSWORD
from tests.clients.check import HERE, TOOLS
from tests.harness.service import Service

SEEDS = ("1", "2", "3")
MOST = 0.75

ENDLESS = "follow_changes"
"""Its answer is a stream that does not end, and a case is judged by its whole answer."""

_CARRIED_OUT = re.compile(r'^http_requests_total{.*endpoint="([^"]*)",method="([^"]*)",status="[23]..".* [1-9]', re.M)


def main(seeds: list[str], examples: int | None) -> int:
    failed = 0
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="fitness-fuzz-") as name:
            folder = Path(name)
            folder.chmod(0o755)  # the engines run as another user
            service = Service(folder / "data")
            service.start()
            try:
                failed |= _asked(service, seed, examples) or _in_vain(service)
            finally:
                service.stop()
    return failed


def _asked(service: Service, seed: str, examples: int | None) -> int:
    command = [
        *(TOOLS / "schemathesis", "--config-file", HERE / "schemathesis.toml"),
        *("run", f"{service.url}/openapi.json", "--url", service.url, "--seed", seed, "--checks", "all"),
        *("--exclude-operation-id", ENDLESS),
        *(() if examples is None else ("--max-examples", str(examples))),
    ]
    asks_with = {"FUZZED_URL": service.url, "FUZZED_PASSWORD": EXAMPLE_PASSWORD, "FUZZED_WITH": str(FITNESS)}
    environment = service.environment | asks_with | {"SCHEMATHESIS_HOOKS": str(HERE / "fuzz_hooks.py")}
    return subprocess.run([*map(str, command)], env=environment, check=False).returncode


def _in_vain(service: Service) -> bool:
    """Whether most operations were only refused, because of what they were asked with."""
    document = httpx.get(f"{service.url}/openapi.json").json()["paths"]
    asked = {f"{method.upper()} {path}" for path, operations in document.items() for method in operations}
    carried_out = {f"{method} {path}" for path, method in _CARRIED_OUT.findall(service.scrape())}
    print(f"carried out: {len(asked & carried_out)} of {len(asked)} operations; not {sorted(asked - carried_out)}")
    return len(asked & carried_out) < MOST * len(asked)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, help="at most so many cases for each operation in each phase")
    parser.add_argument("seeds", nargs="*", default=SEEDS)
    given = parser.parse_args()
    sys.exit(main(given.seeds, given.examples))
