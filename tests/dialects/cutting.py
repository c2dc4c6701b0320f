"""Every way to cut a stream into pieces."""

from collections.abc import Iterator
from itertools import pairwise


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Whole; one byte at a time; in two at every point; with empty pieces between."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]
    yield [b"", data[: len(data) // 2], b"", data[len(data) // 2 :], b""]


def cut_at(data: bytes, points: list[int]) -> list[bytes]:
    edges = [0, *sorted(point % (len(data) + 1) for point in points), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]
