"""The document as one page of HTML: no script, and nothing from elsewhere."""

from collections.abc import Iterator
from functools import cache
from html import escape
from itertools import groupby
from typing import Any

from ftgate.web.described.document import document, operations, refusals
from ftgate.web.described.words import Operation, Schema

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
summary{cursor:pointer;padding:.3rem 0;border-top:1px solid var(--line)}
summary b{display:inline-block;min-width:4.5rem}
details>div{padding:.2rem 0 1rem 1rem}
table{border-collapse:collapse}td{padding:.1rem .8rem .1rem 0;vertical-align:top}
nav a{margin-right:1rem}
"""


@cache
def page() -> str:
    """The whole page."""
    groups = [(heading, [one for _, one in found]) for heading, found in groupby(operations(), key=lambda one: one[0])]
    links = "".join(f'<a href="#{_anchor(heading)}">{escape(heading)}</a>' for heading, _ in groups)
    body = "".join(
        f'<h2 id="{_anchor(heading)}">{escape(heading)}</h2>{"".join(map(_operation, found))}'
        for heading, found in groups
    )
    about = document()["info"]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{about["title"]} API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{about['title']} {escape(about['version'])}</h1><p>{escape(about['description'])} "
        f'For programs: <a href="/openapi.json">openapi.json</a>.</p><nav>{links}</nav>{body}</html>'
    )


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def _operation(one: Operation) -> str:
    rows = [("shown by", ", ".join(one.asks) or "nobody in particular")]
    rows += [(f"{param.place} {param.name}", f"{_kind(param.schema)} {param.told}") for param in one.params]
    rows += [("body", _kind(one.body))] if one.body is not None else []
    rows += list(_fields(one.body)) if one.body is not None else []
    rows += [(f"200 {media}", _kind(schema)) for media, schema in one.answers.items()]
    rows += [(str(status), ", ".join(codes)) for status, codes in refusals(one).items()]
    table = "".join(f"<tr><td>{escape(name)}</td><td>{escape(words)}</td></tr>" for name, words in rows)
    return (
        f"<details><summary><b>{one.method}</b> <code>{escape(one.path)}</code> {escape(one.summary)}</summary>"
        f"<div><table>{table}</table></div></details>"
    )


def _fields(schema: Schema) -> Iterator[tuple[str, str]]:
    needed = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        yield f"· {name}", f"{_kind(inner)}{'' if name in needed else ', may be left out'}"


def _kind(schema: Schema) -> str:
    """A schema in a few words."""
    told = f": {schema['description']}" if "description" in schema else ""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"])) + told
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"])) + told
    kind: Any = schema.get("type", "anything")
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return f"{words} of {_kind(schema['items'])}{told}" if "items" in schema else words + told
