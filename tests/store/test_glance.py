"""What a start page shows of an account's calls, against sums and counts over its rows one by one."""

from collections import Counter
from zoneinfo import ZoneInfo

import msgspec
import pytest

from ftgate.core.logged import NOT_FAILED, Sums
from ftgate.core.periods import DAYS, Span, window
from ftgate.ports import Row
from ftgate.store import glance as of
from ftgate.store.glance import glance
from ftgate.store.source import Source
from tests.store.either import write
from tests.store.test_usage import NOW, made, summed


def rows() -> list[Row]:
    return [
        msgspec.structs.replace(
            one, first_token_ms=n if n % 3 else None, status=("ok", "error", "client_gone")[n % 5 % 3]
        )
        for n, one in enumerate(made(2000))
    ]


ROWS = rows()


@pytest.fixture(scope="module")
def logged(shared: Source) -> Source:
    write(shared, ROWS, group=100)
    return shared


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
@pytest.mark.parametrize("period", DAYS)
def test_against_the_rows(logged: Source, period: str, zone: str) -> None:
    month, shown = window("30d", NOW, ZoneInfo(zone)), window(period, NOW, ZoneInfo(zone))

    def by_model(span: Span) -> dict[str, Sums]:
        found = [one for one in ROWS if one.account == 1 and span.from_us <= one.created_at_us < span.to_us]
        models = {one.served_model for one in found}
        return {model: summed([one for one in found if one.served_model == model]) for model in models}

    found = glance(logged, 1, month, shown)
    assert [{m: s for m, s in day.items() if s.requests} for day in found.days] == [by_model(day) for day in month.days]
    assert [{m: s for m, s in its.items() if s.requests} for its in found.hours] == [
        by_model(its) for its in shown.hours
    ]
    inside = [one for one in ROWS if one.account == 1 and shown.from_us <= one.created_at_us < shown.to_us]
    assert found.counted == dict(Counter((one.key, "", one.status) for one in inside))
    failed = [one.request_id for one in ROWS if one.account == 1 and one.status not in NOT_FAILED]
    assert [one.request_id for one in found.failed] == failed[:-11:-1]
    assert found.first_token_ms == sorted(one.first_token_ms for one in inside if one.first_token_ms is not None)


def test_times_are_of_the_newest_calls(logged: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of, "NEWEST", 30)
    asked = window("30d", NOW, ZoneInfo("UTC"))
    inside = [one for one in ROWS if one.account == 1 and asked.from_us <= one.created_at_us < asked.to_us]
    newest = sorted(inside, key=lambda one: (one.created_at_us, ROWS.index(one)))[-30:]
    expected = sorted(one.first_token_ms for one in newest if one.first_token_ms is not None)
    assert glance(logged, 1, asked, asked).first_token_ms == expected


def test_an_account_without_calls(logged: Source) -> None:
    asked = window("24h", NOW, ZoneInfo("UTC"))
    found = glance(logged, 9, asked, asked)
    assert (found.counted, found.failed, found.first_token_ms) == ({}, [], [])
    assert not any(found.days) and not any(found.hours) and len(found.hours) == 24
