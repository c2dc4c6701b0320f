"""Markdown on a terminal: what the manual uses of it. rich has its own, which loads a reader of programs in every
language; the one file does not carry that."""

from collections.abc import Iterator
from typing import Any

from markdown_it import MarkdownIt
from rich.console import Console
from rich.text import Text

STYLES = {"strong_open": "bold", "em_open": "italic", "code_inline": "bold", "heading_open": "bold", "fence": "cyan"}

NARROWEST = 20
"""Columns: where a terminal has fewer, it breaks the lines itself."""


def show(text: str, console: Console, width: int) -> None:
    """Print it in lines of at most `width` columns. Code is not broken, so that it can be copied."""
    for line in lines(text, console, width):
        console.print(line, soft_wrap=True)


def lines(text: str, console: Console, width: int) -> Iterator[Text]:
    """Its lines, with an empty one between blocks, and none between the items of a close list."""
    marks: list[
        str
    ] = []  # what stands before each item that is open: "- " or "2. ", and spaces once it has been written
    begun = False
    tokens = MarkdownIt("commonmark").parse(text)
    for at, token in enumerate(tokens):
        if token.type in {"heading_open", "paragraph_open", "fence", "bullet_list_open", "ordered_list_open"}:
            if begun and not token.hidden and (not marks or token.type == "fence"):
                yield Text()
            begun = not token.type.endswith("list_open")
        if token.type == "list_item_open":
            marks.append(f"{token.info}. " if token.info else "- ")
        elif token.type == "list_item_close":
            marks.pop()
        elif token.type == "fence":
            before = " " * (sum(map(len, marks)) + 2)
            for line in token.content.splitlines():
                yield Text(before).append(line, style=STYLES["fence"])
        elif token.type == "inline":
            style = STYLES.get(tokens[at - 1].type, "")
            before = "".join(marks)
            for piece in _sentence(token, style).wrap(console, max(width - len(before), NARROWEST)):
                piece.rstrip()
                yield Text(before) + piece
                before = " " * len(before)
            marks = [" " * len(mark) for mark in marks]


def _sentence(block: Any, style: str) -> Text:
    """The words of a block, each in its style; a link is followed by where it leads."""
    told, open_, leads = Text(style=style), [""], ""
    for token in block.children:
        if token.type in {"softbreak", "hardbreak"}:
            told.append(" ")
        elif token.type == "link_open":
            leads = str(token.attrs["href"])
        elif token.type == "link_close":
            told.append(f" ({leads})")
        elif token.nesting == 1:
            open_.append(STYLES.get(token.type, ""))
        elif token.nesting == -1:
            open_.pop()
        else:
            told.append(token.content, style=STYLES.get(token.type, open_[-1]))
    return told
