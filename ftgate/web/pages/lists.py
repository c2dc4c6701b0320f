"""Lists as files: what a page shows as a table comes as CSV or JSON, too, where the address says so (`?format=`)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import msgspec
from quart import Response

from ftgate.core.logged import cell
from ftgate.web.asked import chosen
from ftgate.web.pages.forms import snake
from ftgate.web.pages.writing import plain_usd
from ftgate.web.paging import whole
from ftgate.web.replies import reply

FORMATS = ("html", "csv", "json")
AT_ONCE = 100
"""Rows that a page shows of a list that is there as a whole: more of them weigh more than a page should."""


class Part(msgspec.Struct, frozen=True):
    """Some rows of a list that is there as a whole, the `page`-th AT_ONCE of its `total`; the first is row number
    `first`."""

    rows: Sequence[Any]
    page: int
    total: int
    first: int

    @property
    def last(self) -> int:
        """The number of the last row."""
        return self.first + len(self.rows) - 1


def part(rows: Sequence[Any]) -> Part:
    """What the address asks for of these (`?page=`); past their end the last ones. Raises InvalidRequest."""
    page = min(whole("page", 1, 10**6), max(-(-len(rows) // AT_ONCE), 1))
    begins = (page - 1) * AT_ONCE
    return Part(rows[begins : begins + AT_ONCE], page, len(rows), begins + 1)


def form() -> str:
    """The form in which the list is asked for. Raises InvalidRequest."""
    return chosen("format", FORMATS)


def rows_of(page: Mapping[str, object]) -> Sequence[Mapping[str, Any]]:
    """The rows of a page (web.paging)."""
    return cast(Sequence[Mapping[str, Any]], page["data"])


def as_file(page: Mapping[str, object], name: str, form: str, *, cents: Collection[str] = ()) -> Response:
    """A page of a list as JSON, as the API has it, or its rows as the file NAME.csv. Amounts of the columns in `cents`
    are dollars there, as on the page, and the column's name says so: quota_usd."""
    if form == "json":
        return reply(page)
    rows = rows_of(page)
    names = list(rows[0]) if rows else []
    heads = [f"{snake(column)}_usd" if column in cents else column for column in names]
    lines = [",".join(heads), *(",".join(_cell(row[column], column in cents) for column in names) for row in rows)]
    answer = Response("".join(f"{line}\r\n" for line in lines), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def _cell(value: Any, is_cents: bool) -> str:
    return cell(plain_usd(value, cents=True) if is_cents and value is not None else value)
