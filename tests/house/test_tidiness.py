"""Things that a reader should never meet."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "goldthread"
MODULES = sorted(SOURCE.rglob("*.py"))
LINES_MOST = 400

LONG_FOR_A_REASON: dict[str, str] = {}
"""Path in the package: why the file is longer than `LINES_MOST`."""

NOT_ALL_LISTED = {
    "wire/messages.py": "its unions FromKeeper and ToKeeper list the messages",
}
"""Path in the package: why its public names are not all in `__all__`."""


def written_files() -> Iterator[Path]:
    """Every text file that people write here."""
    yield from (path for path in ROOT.iterdir() if path.suffix in {".md", ".toml"} or path.name == "Makefile")
    for folder in ("src", "tests", "docs", "examples", "benchmarks", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in {".png", ".gif"}:
                yield path


def in_package(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def test_nothing_is_left_for_later() -> None:
    """What is not done stands in an issue, not in a comment."""
    marks = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")
    found = [path for path in written_files() if marks.search(path.read_text(errors="replace"))]
    assert found == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """No absolute path of somebody's folder."""
    folders = re.compile(r"(?<![\w.])/(home|Users|work|root)/[\w.-]+")
    found = [path for path in written_files() if folders.search(path.read_text(errors="replace"))]
    assert found == []


def test_modules_are_named_for_what_they_hold() -> None:
    """A name that fits everything says nothing."""
    vague = {"util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "tools"}
    assert [in_package(path) for path in MODULES if vague & set(path.with_suffix("").parts)] == []


def test_files_are_short_enough_to_read() -> None:
    """At most 400 lines, or a reason."""
    long = {in_package(path) for path in MODULES if len(path.read_text().splitlines()) > LINES_MOST}
    assert long == set(LONG_FOR_A_REASON)


def is_narrowing(test: ast.expr) -> bool:
    """Whether an assertion only tells the type checker what is true anyway."""
    if isinstance(test, ast.BoolOp):
        return all(is_narrowing(value) for value in test.values)
    if isinstance(test, ast.Call):
        return isinstance(test.func, ast.Name) and test.func.id in {"isinstance", "callable"}
    return isinstance(test, ast.Compare) and all(isinstance(op, ast.IsNot) for op in test.ops)


def test_nothing_depends_on_assertions() -> None:
    """`python -O` drops assertions, so what must hold is checked otherwise. Layouts are asserted on import."""
    found = [
        f"{in_package(path)}: {ast.unparse(node)}"
        for path in MODULES
        for top in tree_of(path).body
        for node in ast.walk(top)
        if isinstance(node, ast.Assert) and node is not top and not is_narrowing(node.test)
    ]
    assert found == []


def names_defined(tree: ast.Module) -> set[str]:
    """What a module defines at its top."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.ImportFrom | ast.If):
            names |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
            names |= {one.asname or one.name for one in ast.walk(node) if isinstance(one, ast.alias)}
    return names


def names_listed(tree: ast.Module) -> set[str]:
    """What is in its `__all__`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


@pytest.mark.parametrize("path", MODULES, ids=in_package)
def test_what_a_module_offers_is_there(path: Path) -> None:
    """Each name in `__all__` is defined."""
    tree = tree_of(path)
    assert names_listed(tree) - names_defined(tree) == set()


@pytest.mark.parametrize("path", MODULES, ids=in_package)
def test_modules_take_only_what_others_offer(path: Path) -> None:
    """A name that another module imports is public: it stands in the `__all__` of its module."""
    taken = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("goldthread."):
            source = SOURCE.joinpath(*str(node.module).split(".")[1:]).with_suffix(".py")
            if source.exists() and in_package(source) not in NOT_ALL_LISTED:
                offered = names_listed(tree_of(source))
                taken += [f"{node.module}.{one.name}" for one in node.names if one.name not in offered]
    assert taken == []


@pytest.mark.parametrize("path", MODULES, ids=in_package)
def test_every_module_says_what_it_is(path: Path) -> None:
    """A module opens with a docstring."""
    assert ast.get_docstring(tree_of(path))


def test_every_public_name_is_explained() -> None:
    """What `goldthread` offers, and each public method of it, has a docstring."""
    goldthread = importlib.import_module("goldthread")
    silent = []
    for name in goldthread.__all__:
        offered = getattr(goldthread, name)
        if inspect.isroutine(offered) or inspect.isclass(offered):
            silent += [name] if not inspect.getdoc(offered) else []
        if inspect.isclass(offered):
            silent += [
                f"{name}.{member}"
                for member, value in vars(offered).items()
                if not member.startswith("_")
                and (inspect.isroutine(value) or isinstance(value, property))
                and not inspect.getdoc(value)
            ]
    assert silent == []
