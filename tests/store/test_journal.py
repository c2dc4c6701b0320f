"""The request log as the account and operator routes read it: in worker threads, piece by piece."""

import pytest

from ftgate.core.logged import OPERATOR, Wanted, csv_head, csv_line
from ftgate.core.periods import window
from ftgate.store import journal
from ftgate.store.journal import StoredJournal
from ftgate.store.source import Source
from tests.store.test_listing import ROWS, chosen, ids, logged
from tests.store.test_usage import NOW, ZoneInfo

__all__ = ["logged"]  # the fixture: ROWS


async def test_a_page_a_call_and_what_was_used(logged: Source) -> None:
    stored = StoredJournal(logged)
    expected = chosen(ROWS, account=1, status="ok")
    found = await stored.page(Wanted(account=1, status="ok"), skipped=2, size=3)
    assert (ids(found), found.total) == (expected[2:5], len(expected))
    following = await stored.page(Wanted(account=1, status="ok"), skipped=0, size=3, after=found.following)
    assert ids(following) == expected[5:8]
    said = await stored.call("r5")
    assert said is not None and said.row.request_id == "r5" and await stored.call("no") is None
    assert (await stored.used(1, window("24h", NOW, ZoneInfo("UTC")))).whole.requests == 0


@pytest.mark.parametrize("names", [("request_id",), OPERATOR])
async def test_an_export_comes_piece_by_piece(
    logged: Source, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr(journal, "PIECE", 50)
    pieces = [piece.decode() async for piece in StoredJournal(logged).csv(Wanted(account=1), names)]
    expected = chosen(ROWS, account=1)[::-1]
    assert pieces[0] == csv_head(names) and len(pieces) == 1 + -(-len(expected) // 50)
    lines = "".join(pieces[1:]).splitlines(keepends=True)
    assert [line.partition(",")[0].strip() for line in lines] == expected
    one = (await StoredJournal(logged).page(Wanted(account=1), skipped=0, size=1)).rows[0]
    assert lines[-1] == csv_line(one, names)
