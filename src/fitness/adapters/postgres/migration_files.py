"""Migrations: numbered pairs of SQL files.

Each file is one transaction, and so in force in full or not at all. In a file whose first line is `-- no-transaction`,
each statement is a transaction of its own, as CREATE INDEX CONCURRENTLY and VACUUM need it. If such a file fails
midway, the next run begins at its first statement, so each statement must be repeatable: an index that was left invalid
is dropped first.

A DO statement below a line `-- guard` raises an exception if taking the step back would lose data. It is carried out at
its place in the file, and also before any step is taken, so it must be right in every later schema too.
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
    """The message gives the reason. The schema is unchanged, unless the message says otherwise."""


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
        """The statements of `down` that may refuse it."""
        return _GUARD.findall(self.down)


def shipped_migrations() -> list[Migration]:
    """The migrations of this version, in order. Raises MigrationRefused if a file is misnamed or missing."""
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
    """The statements one by one, since PostgreSQL makes one transaction of statements that are sent together.

    A statement ends with a `;` at the end of a line, but not between `$$` and `$$`.
    """
    found: list[str] = []
    begun = ""
    for line in text.splitlines(keepends=True):
        if begun or not line.startswith("--"):
            begun += line
        if begun.rstrip().endswith(";") and begun.count("$$") % 2 == 0:
            found.append(begun)
            begun = ""
    return [*found, begun] if begun.strip() else found
