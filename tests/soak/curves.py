"""Curves over one time, beneath each other, as one SVG."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDE, HIGH, GAP = 900, 110, 34


def drawn(curves: Mapping[str, Sequence[float]]) -> str:
    """Each by its name, from zero to its largest value."""
    parts = []
    for number, (name, values) in enumerate(curves.items()):
        top, most = number * (HIGH + GAP) + GAP, max(values, default=0) or 1
        points = " ".join(
            f"{at * WIDE / max(len(values) - 1, 1):.1f},{top + HIGH - value * HIGH / most:.1f}"
            for at, value in enumerate(values)
        )
        parts.append(
            f'<text x="0" y="{top - 8}">{escape(name)}: at most {most:.1f}</text>'
            f'<rect x="0" y="{top}" width="{WIDE}" height="{HIGH}" fill="none" stroke="#ccc"/>'
            f'<polyline points="{points}" fill="none" stroke="#2255cc"/>'
        )
    high = len(curves) * (HIGH + GAP) + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 0 {WIDE + 20} {high}" font-family="sans-serif" '
        f'font-size="14"><rect x="-10" width="{WIDE + 20}" height="{high}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )
