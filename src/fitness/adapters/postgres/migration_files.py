"""Migrations: numbered pairs of SQL files.

Each is one transaction, and so in force in full or not at all. A file whose first line is `-- no-transaction` is not:
each of its statements is one, as CREATE INDEX CONCURRENTLY and VACUUM need it. If it fails midway, the next run begins
at its first statement, so each has to bear being repeated: an index that was left invalid is dropped first.

A DO statement below a line `-- guard` refuses, by raising an exception, to take back a step that would lose data. It is
carried out in its place, and also before any step is taken, so it must be right in every later schema too.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

from fitness.ports.setup import BadSetup

NO_TRANSACTION = "-- no-transaction\n"

_GUARD = re.compile(r"^-- guard\n(DO \$\$\n.*?^\$\$;)", re.MULTILINE | re.DOTALL)

_FILE = re.compile(r"(\d{3})_([a-z0-9_]+)\.(up|down)\.sql")


class MigrationRefused(BadSetup):
    """The schema stays as it is, unless the message says otherwise; it says why."""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    up: str
    down: str

    @property
    def title(self) -> str:
        return f"{self.version:03}_{self.name}"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.up.encode()).hexdigest()

    @property
    def down_alone(self) -> bool:
        return needs_no_transaction(self.down)

    @property
    def guards(self) -> list[str]:
        """The statements of `down` that refuse it."""
        return _GUARD.findall(self.down)


def shipped_migrations() -> list[Migration]:
    """Those that come with this version, in order. Raises MigrationRefused when one lacks its other half."""
    halves: dict[tuple[int, str], dict[str, str]] = {}
    for file in files("fitness.adapters.postgres").joinpath("migrations").iterdir():
        if not (match := _FILE.fullmatch(file.name)):
            raise MigrationRefused(f"{file.name} is not named NNN_name.up.sql or NNN_name.down.sql")
        version, name, direction = match.groups()
        halves.setdefault((int(version), name), {})[direction] = file.read_text(encoding="utf-8")
    for (version, name), pair in halves.items():
        if pair.keys() != {"up", "down"}:
            raise MigrationRefused(f"{version:03}_{name} lacks its other half")
    migrations = [Migration(version, name, **pair) for (version, name), pair in sorted(halves.items())]
    if [migration.version for migration in migrations] != list(range(1, len(migrations) + 1)):
        raise MigrationRefused("the migrations are not numbered 001, 002, 003 … without gaps")
    return migrations


def needs_no_transaction(text: str) -> bool:
    return text.startswith(NO_TRANSACTION)


def statements_of(text: str) -> list[str]:
    """One by one, since PostgreSQL makes one transaction of what is sent together. Each ends with its line; what stands
    between `$$` and `$$` is part of one."""
    found: list[str] = []
    begun = ""
    for line in text.splitlines(keepends=True):
        if begun or not line.startswith("--"):
            begun += line
        if begun.rstrip().endswith(";") and begun.count("$$") % 2 == 0:
            found.append(begun)
            begun = ""
    return [*found, begun] if begun.strip() else found
