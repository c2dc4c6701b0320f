"""The house rules, held by reading the source: who may import whom, where async may stand, what the pure rooms may not
touch."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ROOT / "ftgate"
FILES = sorted(HOUSE.rglob("*.py"))
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
    "store": ({"core", "ports", "errors", "waking"}, {"msgspec", "sqlite_utils", "trio"}),
    "accounts": ({"store.batch", "store.database", "store.writer", "core", "ports", "errors"}, {"httpx", "jwt",
    "msgspec", "stripe", "trio"}),
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


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(HOUSE)))
def test_walls(path: Path) -> None:
    import sys

    own = room(path)
    allowed, libraries = WALLS[own]
    for line, module in imports(ast.parse(path.read_text())):
        top, _, inside = module.partition(".")
        if top == "ftgate":
            of = inside.split(".")[0]
            exact = inside if "." in inside else f"{inside}.__init__" if (HOUSE / inside).is_dir() else inside
            fits = (of or "ftgate") in allowed or (of and of == own) or exact in allowed
            assert fits, f"{path.name}:{line} imports {module}"
        elif top not in sys.stdlib_module_names:
            assert top in libraries, f"{path.name}:{line} imports {module}"
        elif own in PURE:
            assert top in STDLIB_PURE, f"{path.name}:{line}: {module} in a pure room"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(HOUSE)))
def test_async_only_where_it_belongs(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.AsyncFunctionDef) and room(path) not in ASYNC_ROOMS:
            # The one coroutine that a command hands to trio.run.
            assert path.relative_to(HOUSE).as_posix() == "cli/serve.py", f"{path}:{node.lineno}: async def {node.name}"


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


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(HOUSE)))
def test_house_rules(path: Path) -> None:
    text = path.read_text()
    lines = text.splitlines()
    tree = ast.parse(text)
    assert not FORBIDDEN_NAMES & set(path.stem.split("_")), "a name that says nothing"
    assert len(lines) <= 560, f"{len(lines)} lines: split it"
    assert path.name == "py.typed" or ast.get_docstring(tree), "a file opens with what it is for"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno:
            assert node.end_lineno - node.lineno < 70, f"{node.name} has {node.end_lineno - node.lineno} lines"
        if isinstance(node, ast.ExceptHandler) and (
            node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception")
        ):
            assert "#" in lines[node.lineno - 1], f"line {node.lineno}: a broad except says why"
        if isinstance(node, ast.Global):
            raise AssertionError(f"line {node.lineno}: global")
    assert not re.search(r"TODO|FIXME|XXX", text), "unfinished work belongs into an issue"


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
    import sys

    code = (
        "import sys, ftgate.cli.accounts, ftgate.app; "
        "print(sorted({'quart', 'hypercorn', 'httpx', 'httpcore', 'stripe'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
