"""A conversation that goes through other dialects still means the same: said in one, read, said in the next, read.

What each loses on the way is written down in `meaning`: where a text was parted, marks of caches, details of pictures,
an effort that thinks as the model likes anyway. Nothing else may differ.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftgate import dialects
from ftgate.dialects.neutral import (
    Choice,
    Document,
    Effort,
    Format,
    Image,
    Part,
    Talk,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)  # fmt: skip

CHAT, MESSAGES, RESPONSES = "openai_chat", "anthropic_messages", "openai_responses"
NAMES = ("look", "see_it", "run-2")
words = st.text(alphabet='ab é"\\\n{\u2028\U0001f600', min_size=1, max_size=8).map(lambda text: f"x{text}y")
arguments = st.dictionaries(words, st.one_of(words, st.integers(-5, 5), st.none(), st.lists(words, max_size=2)))
shown = st.one_of(
    words.map(Text),
    st.just(Image(data="iVBO", media="image/png")),
    st.just(Image(url="https://x.test/a.png")),
    st.just(Document(data="JVBERg==", media="application/pdf", name="a.pdf")),
)
schemas = st.sampled_from([b'{"type": "object"}', b'{"type":"object","properties":{"a":{"type":"string"}}}'])


@st.composite
def turns(draw: st.DrawFn) -> tuple[Turn, ...]:
    """Rounds of question and answer, with the results of all calls behind each; a user has the last word."""
    made = 0
    found: list[Turn] = []
    for _ in range(draw(st.integers(0, 3))):
        found.append(Turn("user", tuple(draw(st.lists(shown, min_size=1, max_size=3)))))
        said: list[Part] = [Text(text) for text in draw(st.lists(words, max_size=1))]
        results: list[Part] = []
        for _ in range(draw(st.integers(0 if said else 1, 3))):
            made += 1
            given_ = json.dumps(draw(arguments), separators=(",", ":"), ensure_ascii=False)
            said.append(ToolUse(f"call_{made}", draw(st.sampled_from(NAMES)), given_))
            results.append(ToolResult(f"call_{made}", tuple(Text(text) for text in draw(st.lists(words, max_size=2)))))
        found.append(Turn("assistant", tuple(said)))
        if results:
            found.append(Turn("user", tuple(draw(st.permutations(results)))))
    return (*found, Turn("user", (Text(draw(words)),)))


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    """Tools are offered wherever some have been called: Anthropic's models must be told of those in any case."""
    said = draw(turns())
    called = any(isinstance(part, ToolUse) for turn in said for part in turn.parts)
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1 if called else 0, max_size=3))
    tools = tuple(Tool(name, msgspec.Raw(draw(schemas)), draw(st.sampled_from(["", "Does it"]))) for name in names)
    hows: list[Choice | None] = [None, Choice("auto"), Choice("any"), Choice("none")]
    hows += [Choice("tool", name) for name in names]
    thinks = draw(st.sampled_from(["", "low", "medium", "high", "xhigh", "max"]))
    return Talk(
        turns=said,
        system=tuple(map(Text, draw(st.lists(words, max_size=2)))),
        tools=tools,
        choice=draw(st.sampled_from(hows)) if tools else None,
        parallel=draw(st.sampled_from([None, False])) if tools else None,
        temperature=None if thinks else draw(st.sampled_from([None, 0.0, 0.5])),
        effort=Effort(thinks),
        format=draw(st.sampled_from([None, Format(msgspec.Raw(b'{"type":"object"}'), "answer", strict=True)])),
        user=draw(st.sampled_from(["", "u1"])),
    )


def through(talk: Talk, names: Iterable[str]) -> Talk:
    for name in names:
        dialect = dialects.ALL[name]
        fields = {"model": "m", "max_tokens": 9000, **dialect.render_talk(talk)}
        if name not in (CHAT, MESSAGES):
            del fields["max_tokens"]
        talk = dialect.talk_of(dialect.read_request(msgspec.json.encode(fields)))
    return talk


def meaning(talk: Talk) -> dict[str, Any]:
    demanded = talk.choice.how if talk.choice is not None else "auto"
    return {
        "system": "\n\n".join(text.text for text in talk.system),
        "turns": [(role, list(parts)) for role, parts in _sides(talk.turns)],
        "tools": [(tool.name, msgspec.json.decode(tool.schema), tool.description) for tool in talk.tools],
        "choice": (demanded, talk.choice.name if talk.choice is not None else "") if talk.tools else None,
        "parallel": demanded == "none" or not talk.tools or talk.parallel is not False,
        "sampling": (talk.temperature, talk.top_p, talk.stop),
        "effort": talk.effort.level,
        "format": None if talk.format is None else msgspec.json.decode(talk.format.schema or b"{}"),
        "user": talk.user,
    }


def _sides(turns: Iterable[Turn]) -> Iterator[tuple[str, Iterator[Any]]]:
    """Who speaks, and what: turns of one side that follow each other are one, and the results stand first, in
    any order."""
    for role, group in groupby(turns, key=lambda turn: turn.role):
        parts = [part for turn in group for part in turn.parts]
        parts.sort(key=lambda part: (0, part.id) if isinstance(part, ToolResult) else (1, ""))
        yield role, _plain(parts)


def _plain(parts: Iterable[Any]) -> Iterator[Any]:
    for kind, group in groupby(parts, key=type):
        if kind is Text:
            if text := "\n\n".join(part.text for part in group):
                yield text
            continue
        for part in group:
            match part:
                case Image(data, media, url):
                    yield "image", data, media, url
                case Document(data=data, media=media, name=name):
                    yield "document", data, media, name
                case ToolUse(id, name, given_):
                    yield "call", id, name, json.loads(given_)
                case ToolResult(id, held):
                    yield "result", id, list(_plain(held))
                case other:
                    raise AssertionError(other)


WAYS = [(CHAT,), (MESSAGES,), (RESPONSES,), (CHAT, MESSAGES), (MESSAGES, CHAT), (RESPONSES, MESSAGES, CHAT, RESPONSES)]


@pytest.mark.parametrize("way", WAYS, ids=" > ".join)
@given(talk=talks())
@settings(max_examples=40, deadline=None)
def test_meaning_is_kept(way: tuple[str, ...], talk: Talk) -> None:
    assert meaning(through(talk, way)) == meaning(talk)
