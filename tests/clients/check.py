"""Generates a client from the document of a running service, type-checks it strictly, and lets it do a round.

    python -m tests.clients.check python|typescript|rules

`make clients`, `make clients-typescript` and `make describe` install what it needs; the last one looks at the document
alone, by the rules of Redocly and Spectral.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from tests.harness.service import Service

ROOT = Path(__file__).parents[2]
HERE = ROOT / "tests" / "clients"
TOOLS = ROOT / ".clients" / "bin"
"""Of an environment with requirements/clients.txt."""

TYPESCRIPT = HERE / "typescript"
DEADLINE_S = 120


def main(which: str) -> None:
    with tempfile.TemporaryDirectory(prefix="fitness-clients-") as name:
        folder = Path(name)
        service = Service(folder / "data", DATABASE_URL="memory:", REDIS_URL="memory:")
        service.start()
        try:
            document = folder / "openapi.json"
            document.write_bytes(httpx.get(f"{service.url}/openapi.json", timeout=DEADLINE_S).content)
            CHECKS[which](document, service.url)
        finally:
            service.stop()
    print(f"{which}: as documented")


def python_client(document: Path, url: str) -> None:
    """The document is valid; the client is generated without a warning, is strictly typed, and does a round."""
    folder = document.parent
    _run(TOOLS / "openapi-spec-validator", document)
    _run(
        *(TOOLS / "openapi-python-client", "generate", "--path", document, "--config", HERE / "config.yml"),
        *("--meta", "none", "--output-path", folder / "fitness_client", "--fail-on-warning"),
    )
    (folder / "round.py").write_text((HERE / "round.py").read_text())
    _run(TOOLS / "mypy", "--strict", "--cache-dir", folder / ".mypy_cache", "round.py", "fitness_client", cwd=folder)
    _run(TOOLS / "python", folder / "round.py", url, cwd=folder)


def typescript_client(document: Path, url: str) -> None:
    tools = TYPESCRIPT / "node_modules" / ".bin"
    _run(tools / "openapi-typescript", document, "--output", TYPESCRIPT / "fitness.d.ts")
    _run(tools / "tsc", "--project", TYPESCRIPT)
    _run("node", TYPESCRIPT / "out" / "round.js", url)


def rules(document: Path, _: str) -> None:
    tools = HERE / "describe" / "node_modules" / ".bin"
    _run(tools / "redocly", "lint", "--extends=recommended", document)
    _run(tools / "spectral", "lint", "--ruleset", HERE / "describe" / ".spectral.yaml", document)


CHECKS: Mapping[str, Callable[[Path, str], None]] = {
    "python": python_client,
    "typescript": typescript_client,
    "rules": rules,
}


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    """Ends the check where the command fails; it has said why."""
    ended = subprocess.run([*map(str, command)], cwd=cwd, timeout=DEADLINE_S, check=False)
    if ended.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}")


if __name__ == "__main__":
    main(sys.argv[1])
