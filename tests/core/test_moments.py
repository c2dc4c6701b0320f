"""Instants as text and back."""

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ftgate.core.moments import EPOCH, iso, month, next_month_us, parse_http_date, parse_time, stamp, stamped_us


@pytest.mark.parametrize(
    ("text", "at_us"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:01Z", 1_000_000),
        (" 1970-01-01T01:00:00+01:00 ", 0),
        ("2027-01-31T12:00:00", 1_801_396_800_000_000),
        ("2026-03-14T09:26:53.589793Z", 1_773_480_413_589_793),
        ("20270131T12:00", 1_801_396_800_000_000),
        ("2027-01-31 12:00", 1_801_396_800_000_000),
        ("2027-W04-7t12", 1_801_396_800_000_000),
    ],
)
def test_parse(text, at_us):
    assert parse_time(text) == at_us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2027-13-01",
        "1801396800",
        "1790120112345",
        "2027-01-31x10:00",
        "２０２７-01-31",
        "12345678901234567",
    ],
)
def test_parse_refused(text):
    with pytest.raises(ValueError, match="is no ISO 8601 time"):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1801396800", "as seconds since 1970 it would be 2027-01-31T12:00:00.000Z: write that, if it is meant"),
        ("1801396800.5", "as seconds since 1970 it would be 2027-01-31T12:00:00.000Z"),
        ("1790120112345", "as milliseconds since 1970 it would be 2026-09-22T23:35:12.345Z"),
        ("1801396800000000", "as microseconds since 1970 it would be 2027-01-31T12:00:00.000Z"),
        ("2027", "write 2027-01-31 or 2027-01-31T12:00:00Z"),
    ],
)
def test_a_number_is_told_as_what_it_may_count(text, hint):
    with pytest.raises(ValueError, match="is no ISO 8601 time; " + hint):
        parse_time(text)


@given(st.integers(0, 4_000_000_000_000))
@example(1_090_781_345_001)
def test_round_trip_to_the_millisecond(milliseconds):
    assert parse_time(iso(milliseconds * 1000)) == milliseconds * 1000


def test_iso():
    assert iso(0) == "1970-01-01T00:00:00.000Z"


@given(st.integers(0, 4_000_000_000_000_000))
def test_parse_keeps_each_microsecond(at_us):
    assert parse_time((EPOCH + timedelta(microseconds=at_us)).isoformat()) == at_us


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 +0000",
    ],
)
def test_http_dates(text):
    assert parse_http_date(text) == 784_111_777_000_000


@pytest.mark.parametrize(
    "text", ["", "7", "tomorrow", "Sun, 99 Nov 1994 08:49:37 GMT", "\0", "Sun, 06 Nov 99999999999 08:49:37 GMT"]
)
def test_no_http_date(text):
    with pytest.raises(ValueError, match="no HTTP date"):
        parse_http_date(text)


@given(st.text(max_size=40))
def test_reading_an_http_date_raises_nothing_else(text):
    with suppress(ValueError):
        parse_http_date(text)


@pytest.mark.parametrize(
    ("now", "its", "after"),
    [
        ("2026-01-31T23:59:59.999999Z", "2026-01", "2026-02-01T00:00:00.000Z"),
        ("2026-02-01T00:00:00Z", "2026-02", "2026-03-01T00:00:00.000Z"),
        ("2026-12-01T00:00:00Z", "2026-12", "2027-01-01T00:00:00.000Z"),
        ("2024-02-29T12:00:00Z", "2024-02", "2024-03-01T00:00:00.000Z"),
        ("2026-05-31T20:00:00-05:00", "2026-06", "2026-07-01T00:00:00.000Z"),
    ],
)
def test_months_are_those_of_utc(now: str, its: str, after: str) -> None:
    at_us = parse_time(now)
    assert (month(at_us), iso(next_month_us(at_us))) == (its, after)


@pytest.mark.parametrize(
    ("at_us", "text"), [(0, "19700101-000000"), (1_801_396_799_999_999, "20270131-115959"), (-1, "19691231-235959")]
)
def test_a_stamp_is_the_second_it_falls_into(at_us, text):
    assert stamp(at_us) == text and stamped_us(text) == at_us // 1_000_000 * 1_000_000
