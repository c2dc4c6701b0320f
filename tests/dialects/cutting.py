"""Every way to cut a stream into pieces."""

from collections.abc import Iterator
from itertools import pairwise

SHORT = 400
"""Bytes of a stream that is cut at every point."""


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Whole; one byte at a time; in two at every point, of a long one at each around the ends of its lines and at some
    between (what reads lines is tried at every point by itself); with empty pieces between."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for at in range(1, len(data)):
        if len(data) <= SHORT or at % 13 == 0 or b"\n" in data[max(at - 2, 0) : at + 2]:
            yield [data[:at], data[at:]]
    yield [b"", data[: len(data) // 2], b"", data[len(data) // 2 :], b""]


def cut_at(data: bytes, points: list[int]) -> list[bytes]:
    edges = [0, *sorted(point % (len(data) + 1) for point in points), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]
