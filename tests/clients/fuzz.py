"""Asks the service at random, by its own document: python -m tests.clients.fuzz [--examples 100] [SEED …]

With three seeds, unless others are given, each on engines of its own. Ends with 1 if any check of schemathesis fails,
or if operations were asked about in vain, because of what they are asked with.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from ops.local.service import FITNESS

from fitness.domain.model.users import EXAMPLE_PASSWORD
from tests.clients.check import HERE, TOOLS
from tests.harness.service import Service

SEEDS = ("1", "2", "3")


def main(seeds: list[str], examples: int | None) -> int:
    failed = 0
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="fitness-fuzz-") as name:
            folder = Path(name)
            folder.chmod(0o755)  # the engines run as another user
            service = Service(folder / "data")
            service.start()
            try:
                failed |= _asked(service, seed, examples)
            finally:
                service.stop()
    return failed


def _asked(service: Service, seed: str, examples: int | None) -> int:
    command = [
        *(TOOLS / "schemathesis", "--config-file", HERE / "schemathesis.toml"),
        *("run", f"{service.url}/openapi.json", "--url", service.url, "--seed", seed, "--checks", "all"),
        *(() if examples is None else ("--max-examples", str(examples))),
    ]
    asks_with = {"FUZZED_URL": service.url, "FUZZED_PASSWORD": EXAMPLE_PASSWORD, "FUZZED_WITH": str(FITNESS)}
    environment = service.environment | asks_with | {"SCHEMATHESIS_HOOKS": str(HERE / "fuzz_hooks.py")}
    return subprocess.run([*map(str, command)], env=environment, check=False).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, help="at most so many cases for each operation in each phase")
    parser.add_argument("seeds", nargs="*", default=SEEDS)
    given = parser.parse_args()
    sys.exit(main(given.seeds, given.examples))
