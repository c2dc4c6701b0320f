"""Stacked bars, drawn on the server: whole numbers in, an SVG's rectangles out."""

from collections.abc import Sequence

import msgspec

HEIGHT, STEP, WIDTH = 1000, 100, 76
"""Of the drawing, of a bar with the space beside it, and of a bar, in the drawing's own units: it is stretched to its
place."""


class Block(msgspec.Struct, frozen=True):
    """A part of a bar. `hue` is a class of the stylesheet."""

    hue: str
    y: int
    height: int


class Bar(msgspec.Struct, frozen=True):
    """One bar: its name, where it leads, its amounts (those of the series in their order, and of all others), their
    sum, and its blocks from below."""

    name: str
    path: str
    amounts: list[int]
    total: int
    x: int
    blocks: list[Block]


class Chart(msgspec.Struct, frozen=True):
    """`ticks` are the values beside the chart, the largest first; `money` says that amounts are units, and no
    numbers."""

    series: list[str]
    hues: list[str]
    bars: list[Bar]
    ticks: list[int]
    money: bool
    others: bool

    @property
    def width(self) -> int:
        return len(self.bars) * STEP

    @property
    def total(self) -> int:
        return sum(bar.total for bar in self.bars)


def chart(series: Sequence[str], rows: Sequence[tuple[str, str, Sequence[int]]], *, money: bool) -> Chart:
    """Of rows of a name, a path and amounts: one for each of the series, and one for all others."""
    most = above(max((sum(amounts) for _, _, amounts in rows), default=0))
    hues = [f"hue-{number}" for number in range(1, len(series) + 1)] + ["hue-rest"]
    bars = []
    for place, (name, path, amounts) in enumerate(rows):
        blocks, reached = [], 0
        for hue, amount in zip(hues, amounts, strict=True):
            if amount > 0:
                low, reached = reached, reached + amount
                top, bottom = HEIGHT * low // most, HEIGHT * reached // most
                height = max(bottom - top, 4)  # what is there is seen
                blocks.append(Block(hue, HEIGHT - top - height, height))
        bars.append(Bar(name, path, list(amounts), sum(amounts), place * STEP + (STEP - WIDTH) // 2, blocks))
    others = any(bar.amounts[-1] for bar in bars)
    return Chart(list(series), hues, bars, [most, most // 2, 0] if most > 1 else [most, 0], money, others)


def above(amount: int) -> int:
    """The next round number from an amount on, whose half is as round: one at the least."""
    if amount <= 1:
        return 1
    step: int = 10 ** (len(str(amount)) - 1)
    return next(times * step for times in (1, 2, 3, 4, 6, 8, 10) if times * step >= amount and times * step != 3)
