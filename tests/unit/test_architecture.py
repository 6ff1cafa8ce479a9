"""What may import what, where import-linter cannot see it: the standard library's own names, and folders beside src."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "fitness"


def imported(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every module that a file in `folder` imports, wherever in the file."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield path, node.module


@pytest.mark.parametrize("room", ["domain", "ports", "foundation"])
def test_these_rooms_import_the_standard_library_only(room: str):
    foreign = {
        (path.name, module)
        for path, module in imported(SOURCE / room)
        if module.partition(".")[0] not in sys.stdlib_module_names | {"fitness"}
    }
    assert foreign == set()


def test_the_product_imports_neither_its_tests_nor_what_loads_it():
    outward = [(path.name, module) for path, module in imported(SOURCE) if module.split(".")[0] in ("tests", "ops")]
    assert outward == []


def test_no_source_file_is_longer_than_300_lines_but_sql():
    long = {path.name for path in SOURCE.rglob("*.py") if len(path.read_text().splitlines()) > 300}
    assert long <= {"activities.py"}  # adapters/postgres: SQL
