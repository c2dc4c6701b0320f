"""What the program has, by name, and what a text says of it: both sides that tests/manual/test_names.py compares."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
from markdown_it import MarkdownIt
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import MapAdapter

from ftgate.cli.group import cli
from ftgate.config.build import SECTIONS
from ftgate.dialects.openai_responses.response import OVERLOADED
from ftgate.doors import http
from ftgate.web.described.document import operations, refusals
from scripts.documenting.commands import leaves, options
from scripts.documenting.settings import names
from tests.house.test_metrics import desk
from tests.web.fakes import Asking

ROOT = Path(__file__).parents[2]
DEMO = {"tool", "long", "slow", "error", "limit", "cut"}
"""What the demo is told in brackets: no sections of a config."""
FILES = {"server.key"}
"""What looks like a setting and is a file."""
NO_METRICS = {"ftgate_session"}
PARTS = ("_bucket", "_count", "_sum")
"""What Prometheus hangs to a histogram's name."""
PLACE = re.compile(
    r"(?:(?<=\$G)|(?<![\w/.}…]))/(?:v1|anthropic|admin|docs|openapi\.json|metrics|healthz|readyz)\b[\w/{}.<>-]*+(?!…)"
)
CALL = re.compile(r"(?:^|[|;&] *|sudo )(?:ftgate|scripts/run|python3 \S*ftgate\S*\.pyz)(?: [^|;&#]*|$)")
METHOD = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE|HEAD) (/[\w/{}.-]*)")


@cache
def settings() -> set[str]:
    return set(names())


@cache
def codes() -> set[str]:
    """Every code with which something may be refused: those of the source, and of the API's description."""
    found = {OVERLOADED} | {code for _, one in operations() for some in refusals(one).values() for code in some}
    for path in (ROOT / "ftgate").rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if re.search(r"\bcode\s*=[^=]", text) else ():
            if isinstance(node, ast.keyword) and node.arg == "code":
                found |= _texts(node.value)
            elif path.name == "errors.py" and isinstance(node, ast.Assign):
                target = node.targets[0]
                if isinstance(target, ast.Name) and target.id == "code":
                    found |= _texts(node.value)
    return found


def _texts(node: ast.expr) -> set[str]:
    if isinstance(node, ast.IfExp):
        return _texts(node.body) | _texts(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


@cache
def metrics() -> set[str]:
    """As a scrape has them: counters with `_total`."""
    return {f"{one.name}_total" if one.type == "counter" else one.name for one in desk()[0].collect()}


@cache
def routes() -> set[str]:
    """METHOD and path of each, as the API's description has them."""
    return {f"{one.method} {one.path}" for _, one in operations()}


@cache
def commands() -> dict[str, set[str]]:
    """The options of each command."""
    return {path: options(command) for path, command in leaves()}


# What a text names


def spans(text: str) -> Iterator[tuple[str, str]]:
    """Whatever stands as code in Markdown: ("", a few words) in a line, (language, a block) apart."""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "fence":
            yield token.info or "text", token.content
        yield from (("", inner.content) for inner in token.children or () if inner.type == "code_inline")


def unknown(text: str) -> list[str]:
    """Every name in a text that the program does not have."""
    found = [f"no error code: {code}" for code in _refused(text) if code not in codes()]
    for language, code in spans(text):
        if not language:
            found += [f"no setting: {code}" for _ in range(1) if _is_setting(code) and not _is_known(code)]
            found += [f"no section: {code}" for _ in range(1) if not _is_section(code)]
        if language in ("", "sh", "dockerfile", "yaml"):
            found += [f"no command: {wrong}" for line in _lines(code) if (wrong := _no_command(line))]
        found += [f"no route: {one}" for one in _places(code) if not _answers(*one)]
        found += [f"no metric: {one}" for one in re.findall(r"\bftgate_[a-z_]+", code) if not _is_metric(one)]
        found += [f"no variable: {one}" for one in re.findall(r"\bFTGATE_[A-Z_]+", code) if one not in _variables()]
        found += [f"no script: {one}" for one in re.findall(r"\bscripts/\w+", code) if not (ROOT / one).exists()]
    return found


def _refused(text: str) -> list[str]:
    return re.findall(r"\b[45]\d\d `([a-z_]+)`", text) + re.findall(r"^\| `([a-z_]+)` \| [45]\d\d", text, re.M)


def _is_setting(code: str) -> bool:
    name = re.match(r"([a-z]+)\.[a-z_.]+(?= =|$)", code)
    return name is not None and name[1] in SECTIONS and code not in FILES


def _is_known(code: str) -> bool:
    return code.split(" = ")[0] in settings()


def _is_section(code: str) -> bool:
    """Whether a name in brackets is one of the config's sections; all else is fine."""
    name = re.fullmatch(r'\[\[?([a-z_]+)(\.[\w."-]+)?\]\]?', code)
    return name is None or name[1] in DEMO or name[1] in SECTIONS


def _places(code: str) -> Iterator[tuple[str, str]]:
    """Method ("" for any) and path of what is asked of this server."""
    methods = {path.rstrip("."): method for method, path in METHOD.findall(code)}
    for path in PLACE.findall(code):
        yield methods.get(path.rstrip("."), ""), path.rstrip(".")


@cache
def _map() -> MapAdapter:
    return Asking().site.app.url_map.bind("localhost")


def _answers(method: str, path: str) -> bool:
    if path in ("/v1", "/anthropic") or path in http.CALLS:
        return True
    try:
        _map().match(re.sub(r"\{\w+\}", "1", path), method=method or "GET")
    except MethodNotAllowed:
        return not method
    except HTTPException:
        return False
    return True


def _is_metric(name: str) -> bool:
    plain = next((name.removesuffix(part) for part in PARTS if name.endswith(part)), name)
    return bool({name, plain} & metrics()) or name in NO_METRICS


@cache
def _variables() -> set[str]:
    text = "".join(path.read_text() for path in (ROOT / "ftgate").rglob("*.py"))
    return set(re.findall(r"\bFTGATE_[A-Z_]+", text + (ROOT / "tests/browser/crawl.py").read_text()))


def _lines(code: str) -> Iterator[list[str]]:
    """The words of each command of ours."""
    for line in code.replace("\\\n", " ").splitlines():
        for call in CALL.findall(line.strip()):
            try:
                words = shlex.split(call.lstrip("|;& ").removeprefix("sudo "))
            except ValueError:  # a quote goes on in the next line
                words = call.split()
            yield words[2 if words[0] == "python3" else 1 :]


def _no_command(words: list[str]) -> str | None:
    """What is wrong with a command of ours, if anything."""
    if not words or words[0].startswith("-"):
        words = ["serve", *words] if words != ["--version"] else []
    command: click.Command = cli
    path, rest = "ftgate", list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        inner = command.commands.get(rest[0]) if command is not cli else _top(rest[0])
        if inner is None:
            return None if rest[0].isupper() or rest[0] == "…" else f"{path} {rest[0]}"
        command, path = inner, f"{path} {rest.pop(0)}"
    if isinstance(command, click.Group):
        return None
    given = [word.split("=")[0] for word in rest if re.fullmatch(r"--?[a-z][\w-]*(=.*)?", word)]
    return next((f"{path} {word}" for word in given if word not in options(command)), None)


def _top(name: str) -> click.Command | None:
    return cli.get_command(click.Context(cli), name)
