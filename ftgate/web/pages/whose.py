"""Whose rows an operator's list is to show: the account that its filter names, by id or by name. One that is not there
is no fault of the address: the list is empty, and says so."""

from collections.abc import Callable
from typing import NamedTuple

from ftgate.errors import NotFound
from ftgate.web.asked import text
from ftgate.web.pages.desk import Desk
from ftgate.web.paging import paged, paging

MOST_SHOWN = 100


class Whose(NamedTuple):
    """`account` is None for everybody's rows, or where nobody is called so; then `missing` is the sentence for it."""

    account: int | None = None
    missing: str = ""


def whose(desk: Desk) -> Whose:
    """Of the query's `user`. Digits are an id, or else a name."""
    said = text("user")
    if said is None:
        return Whose()
    ways: list[Callable[[], int]] = [lambda: desk.services.credits.account(said)]
    if said.isascii() and said.isdecimal() and len(said) <= 18:
        ways.insert(0, lambda: int(str(desk.services.users.shown(int(said))["id"])))
    for way in ways:
        try:
            return Whose(way())
        except NotFound:
            continue
    shown = said if len(said) <= MOST_SHOWN else f"{said[:MOST_SHOWN]}…"
    return Whose(missing=f"There is no user “{shown}”.")


def nobodys(kind: str) -> dict[str, object]:
    """The page of a list of somebody who is not there. Raises InvalidRequest."""
    return paged([], paging(kind), 0, None, kind)
