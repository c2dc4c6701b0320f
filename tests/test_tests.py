"""Checks that cannot fail, found by reading the tests: what passes whatever the program does tests nothing.

ruff finds some of that kind (a tuple that is asserted, a comparison that nothing does anything with), pytest an empty
table (`empty_parameter_set_mark`). The rest stands here. `scripts/plants` is the proof for the checks that can.
"""

import ast
import gc
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
FILES = sorted(TESTS.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef
Faults = Iterator[tuple[int, str]]
"""Lines of a file, and what is wrong there."""
FAILING = {"raises", "RaisesGroup", "fail", "fail_after"}
"""Calls after which a test may fail without an assert."""


@pytest.fixture(scope="module", autouse=True)
def read_once() -> Iterator[None]:
    """A million nodes are nothing for the collector to look through again and again."""
    gc.disable()
    yield
    for kept in (read, nodes, helpers, only_methods):
        kept.cache_clear()
    gc.enable()


@cache
def read(path: Path) -> ast.Module:
    """Nothing is read before a test of it runs: every process that shares the suite imports this file."""
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(read(path)))


def functions(path: Path) -> Iterator[Function]:
    yield from (node for node in nodes(path) if isinstance(node, Function))


def called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def calls(tree: ast.AST) -> set[str]:
    return {called(node) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def truths(test: ast.expr) -> Iterator[ast.expr]:
    """The parts of a condition whose truth counts by itself."""
    if isinstance(test, ast.BoolOp):
        for value in test.values:
            yield from truths(value)
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from truths(test.operand)
    else:
        yield test


@cache
def only_methods() -> set[str]:
    """Names that are methods wherever they are anything: such a name without a call is always true."""
    methods: set[str] = set()
    values: set[str] = set()
    for path in [*FILES, *(TESTS.parent / "ftgate").rglob("*.py")]:
        for node in nodes(path):
            if isinstance(node, ast.ClassDef):
                for member in node.body:
                    if isinstance(member, Function):
                        kinds = {getattr(d, "id", getattr(d, "attr", "")) for d in member.decorator_list}
                        (values if kinds & {"property", "cached_property"} else methods).add(member.name)
                    elif isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
                        values.add(member.target.id)
                    elif isinstance(member, ast.Assign):
                        values |= {target.id for target in member.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                values.add(node.attr)
    return methods - values


def always(test: ast.expr, functions_here: set[str]) -> str | None:
    """Why a condition is always true, if it is."""
    if isinstance(test, ast.Attribute) and test.attr in only_methods():
        return f"{ast.unparse(test)} is a method"
    if isinstance(test, ast.Name) and test.id in functions_here:
        return f"{test.id} is a function"
    if isinstance(test, (ast.Lambda, ast.GeneratorExp)) or (isinstance(test, ast.Constant) and test.value):
        return f"{ast.unparse(test)} is always true"
    if isinstance(test, ast.Call) and called(test) in {"map", "filter", "zip", "iter", "reversed"}:
        return f"{ast.unparse(test)} is an iterator"
    if isinstance(test, (ast.Tuple, ast.List, ast.Set, ast.Dict)) and ast.unparse(test) not in {"()", "[]", "{}"}:
        return f"{ast.unparse(test)} is never empty"
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and not calls(test):
        same = ast.unparse(test.left) == ast.unparse(test.comparators[0])
        return f"{ast.unparse(test)} compares a thing with itself" if same else None
    return None


def may_be_empty(loop: ast.expr, given: set[str]) -> bool:
    """Whether nothing says that there is something to go through: a literal, a constant, a range of a literal and what
    a table or Hypothesis gives say so."""
    match loop:
        case ast.Constant() | ast.List() | ast.Tuple() | ast.Set() | ast.Dict() | ast.BinOp():
            return False
        case ast.Name(id=name):
            return not (name[0].isupper() or name in given)
        case ast.Starred(value=value) | ast.Attribute(value=value):
            return may_be_empty(value, given)
        case ast.Call():
            inner = [*loop.args, *([loop.func.value] if isinstance(loop.func, ast.Attribute) else [])]
            return all(may_be_empty(value, given) for value in inner)
        case ast.GeneratorExp() | ast.ListComp():
            return bool(loop.generators[0].ifs) or may_be_empty(loop.generators[0].iter, given)
        case _:
            return True


def asserts(function: Function) -> Iterator[ast.Assert]:
    return (node for node in ast.walk(function) if isinstance(node, ast.Assert))


@cache
def helpers() -> set[str]:
    """Functions of the tests that check something, by themselves or by those they call; and those of FAILING."""
    of = [function for path in FILES for function in functions(path) if not function.name.startswith("test_")]
    called_by = [(f.name, calls(f)) for f in of]
    found = {f.name for f in of if any(isinstance(node, (ast.Assert, ast.Raise)) for node in ast.walk(f))}
    found |= {name for name, those in called_by if those & FAILING}
    while more := {name for name, those in called_by if name not in found and those & found}:
        found |= more
    return found | FAILING


def no_assert_is_always_true(path: Path) -> Faults:
    here = {function.name for function in read(path).body if isinstance(function, Function)}
    for node in nodes(path):
        if isinstance(node, ast.Assert):
            for part in truths(node.test):
                why = always(part, here)
                if why is not None:
                    yield node.lineno, why


def all_of_nothing_is_not_enough(path: Path) -> Faults:
    """`all(...)` is true of an empty list: another condition says something of what it goes through."""
    for function in functions(path):
        given = {argument.arg for argument in function.args.args}
        parts = [(node, part) for node in asserts(function) for part in truths(node.test)]
        for node, part in parts:
            if isinstance(part, ast.Call) and called(part) == "all" and may_be_empty(part.args[0], given):
                others = set().union(*(names_in(other) for _, other in parts if other is not part))
                if not names_in(gone_through(part.args[0])) & others:
                    yield node.lineno, f"assert that there are any: {ast.unparse(part)}"


def gone_through(values: ast.expr) -> ast.expr:
    return values.generators[0].iter if isinstance(values, (ast.GeneratorExp, ast.ListComp)) else values


def names_in(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - {"len", "house"}


def _inside(function: Function) -> Iterator[tuple[ast.AST, list[ast.expr]]]:
    """Every node of a function with what the loops around it go through."""

    def walk(node: ast.AST, loops: list[ast.expr]) -> Iterator[tuple[ast.AST, list[ast.expr]]]:
        for name, value in ast.iter_fields(node):
            around = [*loops, node.iter] if isinstance(node, (ast.For, ast.AsyncFor)) and name == "body" else loops
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield child, around
                    yield from walk(child, around)

    yield from walk(function, [])


def every_test_checks_something(path: Path) -> Faults:
    """It asserts, expects an error, or calls what does; and not only in loops that may have nothing to go through."""
    for function in functions(path):
        if not function.name.startswith("test_"):
            continue
        given = {argument.arg for argument in function.args.args}
        checks = [
            loops
            for node, loops in _inside(function)
            if isinstance(node, ast.Assert) or (isinstance(node, ast.Call) and called(node) in helpers())
        ]
        if not checks:
            yield function.lineno, f"{function.name} checks nothing"
        elif all(any(may_be_empty(loop, given) for loop in loops) for loops in checks):
            yield function.lineno, f"{function.name} checks only what a loop finds: assert that it finds something"


def no_failure_is_swallowed(path: Path) -> Faults:
    """An assert inside a `try` that catches it, or everything, fails in silence."""
    for node in nodes(path):
        if isinstance(node, ast.Try) and any(isinstance(inner, ast.Assert) for inner in ast.walk(node)):
            for handler in node.handlers:
                wide = handler.type is None or {"AssertionError", "Exception", "BaseException"} & {
                    name.id for name in ast.walk(handler.type) if isinstance(name, ast.Name)
                }
                silent = all(isinstance(line, (ast.Pass, ast.Continue, ast.Expr)) for line in handler.body)
                if wide and silent:
                    yield handler.lineno, "a failed assert is caught here"
        if isinstance(node, ast.Call) and called(node) == "suppress":
            names = {argument.id for argument in node.args if isinstance(argument, ast.Name)}
            if names & {"AssertionError", "Exception", "BaseException"}:
                yield node.lineno, "whatever fails here is suppressed"


def every_test_is_found(path: Path) -> Faults:
    """One inside a function is never run, one of a taken name hides the first, one in another file is not found."""
    outside = {id(one) for node in nodes(path) if isinstance(node, (ast.Module, ast.ClassDef)) for one in node.body}
    for function in functions(path):
        if function.name.startswith("test_") and id(function) not in outside:
            yield function.lineno, f"{function.name} stands inside a function"
    names = [f.name for f in read(path).body if isinstance(f, Function) and f.name.startswith("test_")]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        yield 1, f"of one name: {', '.join(twice)}"
    if names and not path.name.startswith("test_"):
        yield 1, "holds tests and is no file of tests"


RULES = (
    no_assert_is_always_true,
    all_of_nothing_is_not_enough,
    every_test_checks_something,
    no_failure_is_swallowed,
    every_test_is_found,
)


@pytest.mark.parametrize("rule", RULES)
def test_no_test_tests_nothing(rule: Callable[[Path], Faults]) -> None:
    assert [f"{path.relative_to(TESTS)}:{line}: {why}" for path in FILES for line, why in rule(path)] == []


def test_each_kind_is_found() -> None:
    """The checks above can fail, too."""
    condition = [
        "house.output_limit", "helper", "lambda: 1", "(x for x in y)", "'text'", "map(f, x)", "(a, b)", "x.y == x.y",
    ]  # fmt: skip
    for text in condition:
        assert always(ast.parse(text, mode="eval").body, {"helper"}) is not None, text
    for text in ["house.output", "f()", "x == y", "()", "f() == f()", "0"]:
        assert always(ast.parse(text, mode="eval").body, {"helper"}) is None, text
    for text, empty in [("f(x)", True), ("FILES", False), ("x.items()", True), ("[1]", False), ("given", False)]:
        assert may_be_empty(ast.parse(text, mode="eval").body, {"given"}) is empty, text
