"""The manual as pages, and the API told to people: what /openapi.json says to programs. Anybody may read them."""

import re
from collections.abc import Mapping, MutableMapping, Sequence
from functools import cache
from typing import Any

import trio
from markupsafe import Markup, escape
from quart import Blueprint, Response

from ftgate import manual
from ftgate.errors import NotFound
from ftgate.web.described.document import document
from ftgate.web.described.reading import groups
from ftgate.web.pages.desk import Desk

TO_TOPIC = re.compile(r"([a-z-]+)\.md(#.*)?")


def add(routes: Blueprint, desk: Desk) -> None:
    @routes.get("/docs")
    async def docs() -> Response:
        return desk.show(
            "docs/list.html", desk.visitor(), about=document()["info"], groups=groups(), topics=manual.groups(),
        )  # fmt: skip

    @routes.get("/docs/<name>")
    async def topic(name: str) -> Response:
        try:
            found = manual.topic(name)
        except manual.UnknownTopic as unknown:
            near = f" Did you mean {' or '.join(unknown.near)}?" if unknown.near else ""
            raise NotFound(f"the manual has no topic of this name.{near}") from None
        body = await trio.to_thread.run_sync(rendered, found.body)  # long: calls go on meanwhile
        about = await trio.to_thread.run_sync(rendered, found.about, True)
        return desk.show("docs/topic.html", desk.visitor(), topic=found, about=about, body=body)


@cache
def rendered(text: str, inline: bool = False) -> Markup:
    """Markdown as HTML; marks of HTML in it are text. `inline`: a sentence, without a paragraph around it."""
    from markdown_it import MarkdownIt  # a start does not wait for it

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    if inline:
        return Markup(reader.renderInline(text))
    tokens = reader.parse(text)
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrs["id"] = slug(tokens[at + 1].content)
        for inner in token.children or ():
            if inner.type == "link_open" and (found := TO_TOPIC.fullmatch(str(inner.attrs["href"]))):
                inner.attrs["href"] = f"/docs/{found[1]}{found[2] or ''}"
    rules: MutableMapping[str, Any] = vars(reader.renderer)["rules"]
    rules["fence"] = _code
    rules["table_open"] = lambda *_: '<div class="table" tabindex="0" role="region" aria-label="Table"><table>'
    rules["table_close"] = lambda *_: "</table></div>\n"
    return Markup(reader.renderer.render(tokens, reader.options, {}))


def slug(heading: str) -> str:
    """The part of an address that leads to a heading."""
    return "-".join(re.findall(r"[a-z0-9]+", heading.lower()))


def _code(tokens: Sequence[Any], at: int, options: Mapping[str, Any], env: Mapping[str, Any]) -> str:
    """A block of code, which scrolls inside itself, by keyboard too."""
    return f'<pre tabindex="0"><code>{escape(tokens[at].content)}</code></pre>\n'
