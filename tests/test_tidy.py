"""The house rules, held by reading the source: who may import whom, where async may stand, what the pure rooms may not
touch."""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ROOT / "ftgate"
FILES = sorted(HOUSE.rglob("*.py"))
Faults = Iterator[tuple[int, str]]
"""Lines of a file, and what is wrong there."""
STDLIB_PURE = {
    "base64", "bisect", "collections", "dataclasses", "datetime", "decimal", "difflib", "email", "enum", "fractions",
    "functools",
    "hashlib", "heapq", "ipaddress", "itertools", "json", "math", "re", "string", "tomllib", "types", "typing",
}  # fmt: skip

# room -> what of the house it may import beside itself (a room, or one module of it), and which libraries beside the
# standard one. "ftgate" is the package itself, which holds the version; EVERYTHING is every room but those named.
WALLS: dict[str, tuple[set[str], set[str]]] = {
    "core": (set(), {"msgspec"}),
    "dialects": ({"core", "errors"}, {"msgspec"}),
    "providers": ({"core"}, {"msgspec"}),
    "errors": (set(), set()),
    "ports": ({"core", "errors"}, {"msgspec"}),
    "waking": (set(), set()),
    "readiness": ({"waking"}, {"trio"}),
    "line": ({"core", "dialects", "ports", "errors"}, {"msgspec", "trio"}),
    "config": ({"core", "providers", "errors", "dialects.__init__", "ftgate"}, {"msgspec"}),
    "doors": (
        {"core.addresses", "line.call", "dialects", "ports", "errors", "readiness"},
        {"h11", "httptools", "hypercorn", "msgspec", "trio"},
    ),
    "transports": ({"core", "ports", "errors", "readiness"}, {"h11", "httpcore", "httptools", "msgspec", "socksio",
    "trio"}),
    "store": ({"core", "ports", "errors", "waking"}, {"msgspec", "psycopg", "sqlite_utils", "trio"}),
    "accounts": (
        {"store.batch", "store.changes", "store.database", "store.source", "store.writer", "core", "ports", "errors"},
        {"httpx", "jwt", "msgspec", "stripe", "trio"},
    ),
    "house": ({"store", "core", "ports", "errors", "config", "ftgate"}, {"httpx", "msgspec",
    "prometheus_client", "trio"}),
    "manual": (set(), set()),
    "web": ({"manual", "ports", "core", "errors", "doors.http", "ftgate"}, {"jinja2", "markdown_it", "markupsafe",
    "msgspec", "quart", "quart_trio", "trio", "werkzeug"}),
    "cli": ({"accounts", "app", "config", "core", "errors", "house", "manual", "ports", "providers", "store", "ftgate"},
    {"click", "markdown_it", "rich", "trio"}),
    "app": (
        {
            "accounts", "config", "core", "dialects", "doors", "errors", "house", "line", "ports", "readiness", "store",
            "transports",
            "web", "ftgate",
        },
        {"trio"},
    ),
    "__main__": ({"cli"}, set()),
    "__init__": (set(), set()),
}  # fmt: skip
PURE = {"core", "dialects", "providers"}
ASYNC_ROOMS = {"line", "ports", "doors", "transports", "readiness", "store", "accounts", "house", "web", "app"}
IMPURE = {
    "time",
    "random",
    "secrets",
    "os",
    "logging",
    "socket",
    "sqlite3",
    "threading",
    "pathlib",
    "subprocess",
    "io",
    "trio",
}
FORBIDDEN_NAMES = {"utils", "helpers", "manager", "common", "v2", "misc"}


def room(path: Path) -> str:
    parts = path.relative_to(HOUSE).parts
    return parts[0] if len(parts) > 1 else parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, those inside functions too; `from x import y` counts as x and, for the house, as
    x.y."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            module = node.module or ""
            yield from (
                (node.lineno, f"{module}.{alias.name}" if _is_module(module, alias.name) else module)
                for alias in node.names
            )


def _is_module(package: str, name: str) -> bool:
    place = ROOT.joinpath(*package.split("."), name)
    return package.startswith("ftgate") and (place.with_suffix(".py").exists() or place.is_dir())


def walls(path: Path, tree: ast.Module) -> Faults:
    own = room(path)
    allowed, libraries = WALLS[own]
    for line, module in imports(tree):
        top, _, inside = module.partition(".")
        if top == "ftgate":
            of = inside.split(".")[0]
            exact = inside if "." in inside else f"{inside}.__init__" if (HOUSE / inside).is_dir() else inside
            fits = (of or "ftgate") in allowed or (of and of == own) or exact in allowed
            if not fits:
                yield line, f"imports {module}"
        elif top not in sys.stdlib_module_names:
            if top not in libraries:
                yield line, f"imports {module}"
        elif own in PURE and top not in STDLIB_PURE:
            yield line, f"{module} in a pure room"


def async_only_where_it_belongs(path: Path, tree: ast.Module) -> Faults:
    """Beside the rooms that wait, one coroutine that a command hands to trio.run."""
    if room(path) in ASYNC_ROOMS or path.relative_to(HOUSE).as_posix() == "cli/serve.py":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef):
            yield node.lineno, f"async def {node.name}"


@pytest.mark.parametrize("name", ["money", "pricing", "books", "audit", "receipt", "payments"])
def test_no_float_in_money(name: str) -> None:
    for node in ast.walk(ast.parse((HOUSE / "core" / f"{name}.py").read_text())):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), (
            f"line {getattr(node, 'lineno', '?')}: a float"
        )
        assert not (isinstance(node, ast.Name) and node.id == "float"), f"line {getattr(node, 'lineno', '?')}: float"
        assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)), (
            f"line {getattr(node, 'lineno', '?')}: true division"
        )


def house_rules(path: Path, tree: ast.Module) -> Faults:
    text = path.read_text()
    lines = text.splitlines()
    if FORBIDDEN_NAMES & set(path.stem.split("_")):
        yield 1, "a name that says nothing"
    if len(lines) > 560:
        yield 1, f"{len(lines)} lines: split it"
    if not ast.get_docstring(tree):
        yield 1, "a file opens with what it is for"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno:
            if node.end_lineno - node.lineno >= 70:
                yield node.lineno, f"{node.name} has {node.end_lineno - node.lineno} lines"
        elif isinstance(node, ast.ExceptHandler):
            broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception")
            if broad and "#" not in lines[node.lineno - 1]:
                yield node.lineno, "a broad except says why"
        elif isinstance(node, ast.Global):
            yield node.lineno, "global"
    if re.search(r"TODO|FIXME|XXX", text):
        yield 1, "unfinished work belongs into an issue"


@pytest.mark.parametrize("rule", [walls, async_only_where_it_belongs, house_rules])
def test_every_file_keeps(rule: Callable[[Path, ast.Module], Faults]) -> None:
    trees = ((path, ast.parse(path.read_text())) for path in FILES)
    found = [f"{path.relative_to(ROOT)}:{line}: {why}" for path, tree in trees for line, why in rule(path, tree)]
    assert found == [] and len(FILES) > 300


def test_the_root_holds_only_what_the_design_names() -> None:
    import subprocess

    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    allowed = {
        "pyproject.toml",
        "ftgate",
        "config.example.toml",
        "tests",
        "scripts",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
    }
    assert {name.split("/")[0] for name in tracked if not name.startswith(".")} <= allowed


def test_what_a_command_needs_is_all_it_loads() -> None:
    """`keys list` must not import the web server or the HTTP client."""
    import subprocess

    code = (
        "import sys, ftgate.cli.accounts, ftgate.app; "
        "print(sorted({'quart', 'hypercorn', 'httpx', 'httpcore', 'stripe'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
