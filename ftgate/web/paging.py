"""Pages of a list: which one is asked for, and how it is answered. A cursor goes on behind the last row that was seen,
so that no row comes twice or is skipped while others arrive; it is one of ours, of the same list, or refused."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from quart import request

from ftgate.errors import InvalidRequest
from ftgate.ports.site import Rows

PAGE_SIZE, MOST_SIZE = 20, 100
MOST_PAGE = 10**9


class Paging(msgspec.Struct, frozen=True):
    """`page` from 1; `after` is what the cursor holds, which beats the page: where the last row stood."""

    page: int
    size: int
    after: tuple[int, ...] | None = None

    @property
    def skipped(self) -> int:
        """Rows that stand before this page; none behind a cursor."""
        return 0 if self.after is not None else (self.page - 1) * self.size


def paging(kind: str, places: int = 1, rows: int = PAGE_SIZE) -> Paging:
    """What the request's query asks for. `kind` names the list, `places` is how many numbers say where a row stands
    in it, `rows` how many make a page where the query does not say. Raises InvalidRequest."""
    page = whole("page", 1, MOST_PAGE)
    size = whole("page_size" if "page_size" in request.args else "pageSize", rows, MOST_SIZE)
    cursor = request.args.get("cursor")
    return Paging(page, size, _read(cursor, kind, places) if cursor else None)


async def page_of(kind: str, listing: Callable[..., Awaitable[Rows]]) -> dict[str, object]:
    """The page of a list that the request asks for. `kind` names the list, and `listing` gives its rows behind the
    place `after`, or behind the first `skipped`, `size` of them. Raises InvalidRequest."""
    asked = paging(kind)
    behind = asked.after[0] if asked.after else None
    rows, total, last = await listing(after=behind, skipped=asked.skipped, size=asked.size)
    return paged(rows, asked, total, None if last is None else (last,), kind)


def paged(
    rows: Sequence[object], asked: Paging, total: int, last: Sequence[int] | None, kind: str
) -> dict[str, object]:
    """A page as it is answered. `last` says where its last row stands; None where no row follows."""
    following = None if last is None else _written(kind, last)
    return {"data": rows, "page": asked.page, "page_size": asked.size, "total": total, "next": following}


def whole(name: str, default: int, most: int) -> int:
    """A query argument that is a whole number from 1; past `most` it is `most`."""
    said = request.args.get(name)
    if not said:
        return default
    if not said.isdecimal() or not said.isascii() or int(said[:12]) < 1:
        raise InvalidRequest(f"`{name}` must be a whole number from 1", param=name)
    return min(int(said[:12]), most)


def _written(kind: str, place: Sequence[int]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([kind, *place])).decode().rstrip("=")


def _read(cursor: str, kind: str, places: int) -> tuple[int, ...]:
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        said, *place = msgspec.json.decode(data, type=list[str | int])
        if said == kind and len(place) == places and all(type(one) is int for one in place):
            return tuple(int(one) for one in place)
    except (binascii.Error, UnicodeEncodeError, ValueError, msgspec.DecodeError):
        pass
    raise InvalidRequest("`cursor` is none of this list: take `next` of its last page", param="cursor")
