"""Who may import whom among src, ops and tests. (Inside src, import-linter checks the arrows.)"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Modules = dict[str, ast.Module]


def modules() -> Modules:
    """Everything in src, ops and tests, by the name under which it is imported."""
    found = {}
    for top, root in (("fitness", ROOT / "src"), ("ops", ROOT), ("tests", ROOT)):
        for path in (root / top).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text())
    return found


def imported(tree: ast.AST, known: Modules, *, anywhere: bool = False) -> set[str]:
    """The `known` modules that are imported when the module is, or `anywhere` in it: in functions too."""
    found: set[str] = set()
    for statement in ast.walk(tree) if anywhere else at_module_level(tree):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            source = statement.module or ""
            names = {f"{source}.{alias.name}" for alias in statement.names}
            # `from package import module` needs the module; `from module import name` needs what has the name.
            found |= names & known.keys() or {source}
    return found & known.keys()


def at_module_level(tree: ast.AST) -> Iterator[ast.AST]:
    """What runs when the module is imported: bodies of classes and of `if`, but not of functions."""
    for child in ast.iter_child_nodes(tree):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from at_module_level(child)


def circle(known: Modules) -> list[str]:
    """Modules that import each other, the first one again at the end; empty if there is no circle."""
    try:
        TopologicalSorter({name: imported(tree, known) for name, tree in known.items()}).prepare()
    except CycleError as error:
        names: list[str] = error.args[1]
        return names
    return []


def test_nothing_that_is_shipped_or_operated_imports_the_tests():
    known = modules()
    assert {"fitness.entrypoints.cli", "ops.production", "tests.harness.servers"} <= known.keys()
    guilty = [
        f"{name} imports {one}"
        for name, tree in known.items()
        if not name.startswith("tests")
        for one in imported(tree, known, anywhere=True)
        if one.startswith("tests")
    ]
    assert guilty == []


def test_the_service_does_not_import_what_operates_it():
    known = modules()
    guilty = [
        f"{name} imports {one}"
        for name, tree in known.items()
        if name.startswith("fitness")
        for one in imported(tree, known, anywhere=True)
        if one.startswith("ops")
    ]
    assert guilty == []


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
