"""Each promise of tests/security.py has tests that are there and run; what is promised of the source is seen in it."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.security import ROWS

TESTS = Path(__file__).resolve().parent
HOUSE = TESTS.parent / "ftgate"
PROMISED = [*(f"S{number}" for number in range(1, 37)), *(f"F{number}" for number in range(1, 61))]


@cache
def functions(name: str) -> dict[str, list[str]]:
    """The tests of a file, with how each is decorated."""
    tree = ast.parse((TESTS / f"{name}.py").read_text())
    return {
        node.name: [ast.unparse(one) for one in node.decorator_list]
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def missing(tests: str) -> list[str]:
    """Those of these tests that are not there, or that do not run."""
    told = []
    for test in tests.split():
        name, _, function = test.partition("::")
        found = functions(name).get(function) if (TESTS / f"{name}.py").exists() else None
        if found is None or any(re.search(r"\.(skip|xfail)\b", one) for one in found):
            told.append(test)
    return told


def test_there_is_a_row_for_each_promise() -> None:
    assert list(ROWS) == PROMISED


@pytest.mark.parametrize("row", PROMISED)
def test_a_row_has_its_tests(row: str) -> None:
    assert len(ROWS[row].holds) > 20 and ROWS[row].holds.endswith(".")
    assert ROWS[row].tests.split() and missing(ROWS[row].tests) == []


@pytest.mark.parametrize(
    "test",
    [
        "test_security::test_nothing",
        "nowhere/test_none::test_x",
        "test_security::missing_",
        "security::test_a_row_has_its_tests",
    ],
)
def test_a_test_that_is_not_there_is_told(test: str) -> None:
    assert missing(test) == [test]


def statements(tree: ast.AST) -> list[ast.JoinedStr]:
    """The f-strings that are SQL."""
    words = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|WHERE|VALUES|PRAGMA|ORDER BY)\b")
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        and words.search("".join(str(part.value) for part in node.values if isinstance(part, ast.Constant)))
    ]


def test_statements_are_of_our_own_words() -> None:
    """SQL is put together next to the database alone, of names of ours; ruff asks at each for the reason."""
    files = sorted(HOUSE.rglob("*.py"))
    holding = {path.relative_to(HOUSE).parts[0] for path in files if statements(ast.parse(path.read_text()))}
    assert holding == {"accounts", "store"}
    lint = tomllib.loads((HOUSE.parent / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S608" in lint["select"] and "S608" not in lint["ignore"]
    assert [where for where, rules in lint["per-file-ignores"].items() if "S608" in rules] == ["tests/*"]


def test_a_statement_is_seen() -> None:
    bad = ast.parse("def f(x): return g(f'SELECT id FROM users WHERE name = {x}')")
    assert len(statements(bad)) == 1 and statements(ast.parse("f'we select {x}'")) == []
