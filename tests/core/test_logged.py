"""A call as it is shown, and as a line of CSV that no spreadsheet takes for a formula."""

import csv
import io
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core.logged import OPERATOR, ROW, Logged, csv_head, csv_line, shown

ONE = Logged(
    request_id="req_1", created_at_us=1_500_000, model="auto", served_model="m", provider="p", status="ok",
    http_status=200, error_code="", mode="standard", prompt_tokens=10, cached_tokens=3, completion_tokens=2,
    cost=10**9, estimated=0, latency_ms=5, first_token_ms=None, attempts=1, stream=1, key=7, key_name="k", account=4,
    channel="c", lost=5,
)  # fmt: skip


def test_the_fields_of_a_row() -> None:
    assert shown(ONE) == {
        "request_id": "req_1", "created_at": "1970-01-01T00:00:01.500Z", "model": "auto", "served_model": "m",
        "provider": "p", "status": "ok", "http_status": 200, "error_code": "", "mode": "standard", "prompt_tokens": 10,
        "cached_tokens": 3, "completion_tokens": 2, "cost": "0.001", "estimated": False, "latency_ms": 5,
        "first_token_ms": None, "attempts": 1, "stream": True, "key": "7", "key_name": "k",
    }  # fmt: skip
    assert list(shown(ONE)) == list(ROW)
    assert shown(ONE, OPERATOR) == shown(ONE) | {"user": "4", "channel": "c", "lost": "0.000000000005"}


def test_a_line_of_csv() -> None:
    assert csv_head().startswith("request_id,created_at,model,") and csv_head().endswith(",key,key_name\r\n")
    assert csv_line(ONE) == (
        "req_1,1970-01-01T00:00:01.500Z,auto,m,p,ok,200,,standard,10,3,2,0.001,false,5,,1,true,7,k\r\n"
    )
    assert csv_line(ONE, OPERATOR).endswith(",7,k,4,c,0.000000000005\r\n")


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"), ("\tx", "'\tx"), ("\rx", '"\'\rx"'),
        ('a"b', '"a""b"'), ("a,b", '"a,b"'), ("a\nb", '"a\nb"'), ('="x"', '"\'=""x"""'), ("a=1", "a=1"), ("", ""),
    ],
)  # fmt: skip
def test_a_text_is_no_formula(said: str, written: str) -> None:
    one = msgspec.structs.replace(ONE, model=said)
    assert csv_line(one) == csv_line(ONE).replace(",auto,", f",{written},")


@given(st.text(), st.text())
def test_what_is_written_can_be_read(model: str, name: str) -> None:
    one = msgspec.structs.replace(ONE, model=model, key_name=name)
    (read,) = csv.reader(io.StringIO(csv_line(one), newline=""))
    said: Any = shown(one)
    assert len(read) == len(ROW)
    for text, value in ((read[2], said["model"]), (read[19], said["key_name"])):
        assert text == value or (text == "'" + value and value[0] in "=+-@\t\r")
