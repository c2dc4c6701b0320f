"""No pattern takes more steps than a small multiple of its text's characters: a text of a caller's must not hold up
everybody else.

Each pattern of ftgate is taken from the sources, with the ways in which it is used, and meets texts that repeat what it
looks for and never come to an end of it. Counted is the time of this thread's processor: reading such a text in a
straight line takes a millisecond or so, and some hundred times that where each beginning is tried to the end.
"""

import ast
import importlib
import re
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LENGTH = 16_384
MOST_S = 0.05
WAYS = frozenset(("search", "match", "fullmatch", "findall", "finditer", "sub", "subn", "split"))
FUNCTIONS = frozenset(("re.compile", *(f"re.{way}" for way in WAYS)))
OF_OURS = frozenset(("word", "mark"))
"""Names of what a pattern is made of while the program runs: words of our own tables, a mark of our own making."""
REPEATED = (
    '"', '\\"', "\\", "a", "1", "1.", "1,", "1 ", "1e", "0-", "a.", "a@", "a:b@", "[", "{}", " ", "\t", "\n", "\r\n",
    "\r", "\n ", "/", "/v1", "../", "a/", "-", "_", "_a", "+", "=", "A=", ",", ";", ":", "::", "1:", "中", "“", "```",
    "\ud800", "data:", "data:a", "data:;", "data:a/b;", "data:a/b;base64,", '"type"', '"type": "', '"type"  ', "0a",
    '"retryDelay":"1', "sk-", "sk-a", "key-", "key_a.", "api_key=", "api key = ", "Bearer ", "bearer a", "eyJ", "eyJa.",
    "AKIA", "x9.", "https://", "wss://a", "%", "%2", "\\u", "\\ud", "&#", "&#1", "T1", "v1=", "t=1,",
    "\ncontent-length:", "Content-Length:0", "http://a", "-----BEGIN CERTIFICATE-----\n",
)  # fmt: skip
ENDS = ("", "!", "\0")


FILES = [
    path.relative_to(ROOT).as_posix()
    for path in sorted(ROOT.glob("ftgate/**/*.py"))
    if "re." in (text := path.read_text()) and any(function in text for function in FUNCTIONS)
]


def patterns(file: str) -> Iterator[tuple[str, re.Pattern[Any], set[str]]]:
    """Of a file: where each stands, itself, and by which methods it is used."""
    tree = ast.parse((ROOT / file).read_text())
    used: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in WAYS and isinstance(node.value, ast.Name):
            used.setdefault(node.value.id, set()).add(node.attr)
    module = importlib.import_module(file.removesuffix(".py").replace("/", ".").removesuffix(".__init__"))
    names = {id(node.value): ast.unparse(node.targets[0]) for node in ast.walk(tree) if isinstance(node, ast.Assign)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or (function := ast.unparse(node.func)) not in FUNCTIONS:
            continue
        way = function.removeprefix("re.")
        written = node.args if way == "compile" else node.args[:1]
        if any(isinstance(part, ast.Name) and part.id in OF_OURS for one in written for part in ast.walk(one)):
            continue
        said = [eval(ast.unparse(one), dict(vars(module))) for one in written]
        ways = {way} if way in WAYS else used.get(names.get(id(node), ""), {"search", "fullmatch"})
        yield f"{file}:{node.lineno}", re.compile(*said), ways


def steps_s(pattern: re.Pattern[Any], ways: set[str], text: str) -> float:
    """How long it takes the slowest of its ways."""
    said: Any = text.encode("utf-8", "surrogatepass") if isinstance(pattern.pattern, bytes) else text
    took = [0.0]
    for way in ways:
        call = getattr(pattern, way)
        began = time.thread_time()
        found = call(said[:0], said) if way in {"sub", "subn"} else call(said)
        if way == "finditer":
            deque(found, maxlen=0)
        took.append(time.thread_time() - began)
    return max(took)


def slow_for(pattern: re.Pattern[Any], ways: set[str]) -> Iterator[str]:
    """The texts that take it too long, twice."""
    for said in REPEATED:
        for end in ENDS:
            text = said * (LENGTH // len(said)) + end
            if steps_s(pattern, ways, text) > MOST_S:
                slowest = min(steps_s(pattern, ways, text) for _ in range(2))
                if slowest > MOST_S:
                    yield f"{slowest:.3f} s for {said!r} {LENGTH // len(said)} times and {end!r}"


@pytest.mark.parametrize("file", FILES)
def test_a_pattern_reads_a_text_in_a_straight_line(file):
    found = list(patterns(file))
    assert found
    for place, pattern, ways in found:
        assert next(slow_for(pattern, ways), None) is None, place


def test_a_slow_one_is_seen():
    assert len(FILES) > 30
    assert steps_s(re.compile(r'"(?:[^"\\]|\\.)*"'), {"search"}, '\\"' * (LENGTH // 2)) > 2 * MOST_S
