"""Pages of what is kept in memory."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def cut(rest: Iterable[T], skipped: int, size: int, id: Callable[[T], int]) -> tuple[list[T], int | None]:
    """Of what stands behind a place, newest first: so many behind the first `skipped`, and the id of the last of them
    where more follow. No more is looked at than that."""
    found = [*islice(rest, skipped, skipped + size + 1)]
    return found[:size], id(found[size - 1]) if len(found) > size else None
