"""What was found, as one SVG picture written by hand: pure. Each figure is a dot on a logarithmic scale, its spread a
line."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from scripts.benchmark.report import figure

Dot = tuple[str, float, float, float, str]
"""A row: name, median, low, high, and words behind the figure."""

_LEFT, _WIDTH, _RIGHT, _ROW, _HEAD = 130, 430, 200, 24, 58
_STYLE = """
  .back { fill: #ffffff } text { fill: #1f2328; font: 13px system-ui, sans-serif }
  .soft { fill: #59636e; font-size: 12px }
  .title { font-weight: 600; font-size: 15px } .grid { stroke: #d1d9e0; stroke-width: 1 }
  .line { stroke: #818b98; stroke-width: 2 }
  .dot { fill: #818b98 } .own .dot { fill: #0969da } .own .line { stroke: #0969da } .own text { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } text { fill: #f0f6fc } .soft { fill: #9198a1 } .grid { stroke: #3d444d }
    .dot { fill: #9198a1 } .line { stroke: #9198a1 } .own .dot { fill: #4493f8 } .own .line { stroke: #4493f8 }
  }
"""


def panel(title: str, words: str, dots: Sequence[Dot], top: int) -> tuple[str, int]:
    """One panel from `top` down, and where it ends."""
    known = [value for _, median, low, high, _ in dots for value in (median, low, high) if value > 0]
    least, most = (min(known), max(known)) if known else (1.0, 10.0)
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    last = max(last, first + 1)

    def x(value: float) -> float:
        place = math.log10(max(value, 10.0**first))
        return round(_LEFT + (place - first) / (last - first) * _WIDTH, 1)

    bottom = top + _HEAD + _ROW * len(dots)
    parts = [f'<text class="title" x="16" y="{top + 20}">{escape(title)}</text>']
    parts += [f'<text class="soft" x="16" y="{top + 38}">{escape(words)}</text>']
    for power in range(first, last + 1):
        at = x(10.0**power)
        parts += [f'<line class="grid" x1="{at}" y1="{top + _HEAD - 10}" x2="{at}" y2="{bottom - 4}"/>']
        parts += [f'<text class="soft" x="{at}" y="{bottom + 12}" text-anchor="middle">{figure(10.0**power)}</text>']
    for number, (name, median, low, high, more) in enumerate(dots):
        y = top + _HEAD + _ROW * number + 4
        own = ' class="own"' if name.startswith("ftgate") else ""
        parts += [f"<g{own}>", f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(name)}</text>']
        parts += [
            f'<line class="line" x1="{x(low)}" y1="{y}" x2="{x(high)}" y2="{y}"/>',
            f'<circle class="dot" cx="{x(median)}" cy="{y}" r="5"/>',
        ]
        parts += [f'<text x="{_LEFT + _WIDTH + 16}" y="{y + 4}">{escape(figure(median) + more)}</text>', "</g>"]
    return "\n".join(parts), bottom + 26


def _dot(name: str, found: Mapping[str, float], factor: float = 1.0, more: str = "") -> Dot:
    return name, found["median"] * factor, found["low"] * factor, found["high"] * factor, more


def panels(result: Mapping[str, Any]) -> list[tuple[str, str, list[Dot]]]:
    """Title, words and rows of what there is to draw."""
    found = []
    plain = result.get("plain") or {}
    many = "32" if any("32" in cells for cells in plain.values()) else "1"
    rows = [_dot(name, cells[many]["per_second"]) for name, cells in plain.items() if many in cells]
    if rows:
        title = f"Requests a second, {many} connection{'s' * (many != '1')}"
        found.append(
            (
                title,
                "more is better; median of the rounds, the line is their spread",
                sorted(rows, key=lambda row: -row[1]),
            )
        )
    rows = [_dot(name, added, 0.001, " ms") for name, added in (result.get("added_us") or {}).items()]
    if rows:
        words = "less is better; p50 on one connection minus the bare upstream's"
        found.append(("Added latency", words, sorted(rows, key=lambda row: row[1])))
    streams = result.get("streams") or {}
    keys = [key for cells in streams.values() for key in cells]
    if keys:
        key = max(keys, key=lambda key: math.prod(int(part) for part in key.split("x")) + int(key.split("x")[0]))
        count, rate = key.split("x")
        rows = []
        for name, cell in ((name, cells[key]) for name, cells in streams.items() if key in cells):
            short = cell["wanted"] - cell["ended"]
            rows.append(_dot(name, cell["p99_ms"], 1.0, " ms" + (f", {short:,} short" if short else "")))
        title = f"Event delay, p99: {int(count):,} streams of {rate} events a second"
        found.append(
            (
                title,
                "less is better; from the upstream's send to the client's read; short: streams not opened in time, "
                "or not ended well",
                sorted(rows, key=lambda row: row[1]),
            )
        )
    return found


def svg(result: Mapping[str, Any]) -> str:
    """The picture; readable on light and dark."""
    parts, top = [], 12
    for title, words, rows in panels(result):
        drawn, top = panel(title, words, rows, top)
        parts.append(drawn)
    width, height = _LEFT + _WIDTH + _RIGHT, top + 8
    said = "; ".join(
        f"{title}: " + ", ".join(f"{row[0]} {figure(row[1])}{row[4]}" for row in rows)
        for title, _, rows in panels(result)
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img">'
    )
    words = f"<title>ftgate beside other ways to do the same work</title>\n<desc>{escape(said)}</desc>"
    back = f'<rect class="back" width="{width}" height="{height}"/>'
    return "\n".join([head, words, f"<style>{_STYLE}</style>", back, *parts, "</svg>"]) + "\n"
