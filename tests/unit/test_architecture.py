"""What may import what, where import-linter does not look: the standard library, circles, folders beside src."""

import ast
import sys
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "fitness"

Modules = dict[str, ast.Module]


@cache
def modules() -> Modules:
    """Everything in src, ops and tests, by the name under which it is imported."""
    found = {}
    for top, root in (("fitness", ROOT / "src"), ("ops", ROOT), ("tests", ROOT)):
        for path in (root / top).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text())
    return found


@cache
def imports() -> list[tuple[str, str]]:
    """Each module with each one that it imports, wherever in its file: in functions too."""
    known = modules()
    return [(name, one) for name, tree in known.items() for one in sorted(imported(statements(tree), known))]


def imported(nodes: Iterable[ast.AST], known: Collection[str]) -> set[str]:
    found: set[str] = set()
    for statement in nodes:
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            source = statement.module or ""
            names = {f"{source}.{alias.name}" for alias in statement.names}
            # `from package import module` needs the module; `from module import name` needs what has the name.
            found |= {name for name in names if name in known} or {source}
    return found


def statements(within: ast.AST, *, in_functions: bool = True) -> Iterator[ast.AST]:
    """All of them, or those that run when the module is imported: of classes and of `if`, but not of functions."""
    for child in ast.iter_child_nodes(within):
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield child
            if in_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from statements(child, in_functions=in_functions)


def circle(known: Modules) -> list[str]:
    """Modules that import each other, the first one again at the end; empty if there is no circle."""
    needs = {name: imported(statements(tree, in_functions=False), known) & known.keys() for name, tree in known.items()}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        names: list[str] = error.args[1]
        return names
    return []


def top(module: str) -> str:
    return module.partition(".")[0]


def test_every_module_and_import_is_seen():
    assert {"fitness.entrypoints.cli", "ops.production", "tests.harness.servers"} <= modules().keys()
    assert ("fitness.entrypoints.wiring.container", "fitness.adapters.redis.cache") in imports()


@pytest.mark.parametrize("room", ["domain", "ports", "foundation"])
def test_these_rooms_import_the_standard_library_only(room: str):
    inside = [(name, one) for name, one in imports() if name.startswith(f"fitness.{room}.")]
    assert inside
    assert [pair for pair in inside if top(pair[1]) not in sys.stdlib_module_names | {"fitness"}] == []


def test_the_product_imports_neither_its_tests_nor_what_loads_it():
    outward = [pair for pair in imports() if top(pair[0]) == "fitness" and top(pair[1]) in ("tests", "ops")]
    assert outward == []


def test_nothing_that_is_operated_imports_the_tests():
    assert [pair for pair in imports() if top(pair[0]) == "ops" and top(pair[1]) == "tests"] == []


def test_no_modules_import_each_other_in_a_circle():
    assert circle(modules()) == []


@pytest.mark.parametrize(
    ("one", "two", "found"),
    [
        ("import tests.two", "import tests.one", True),
        ("from tests import two", "from tests.one import name", True),
        ("if True:\n    from tests.two import name", "class Local:\n    import tests.one", True),
        ("import tests.two", "def late():\n    import tests.one", False),
        ("import tests.two", "import ast", False),
    ],
)
def test_a_circle_is_found_where_there_is_one(one: str, two: str, found: bool):
    known = {"tests": ast.parse(""), "tests.one": ast.parse(one), "tests.two": ast.parse(two)}
    assert bool(circle(known)) is found


def test_no_source_file_is_longer_than_300_lines_but_sql():
    assert [path for path in SOURCE.rglob("*.py") if len(path.read_text().splitlines()) > 300] == []
