"""The request log read back: pages, filters, sums."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ftgate.store import requests
from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import connect
from ftgate.store.requests import Filter
from tests.store.faulty import row


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """30 requests of two accounts: n from 0 at n seconds."""
    path = tmp_path / "listed.sqlite3"
    batch = Batch()
    for n in range(30):
        batch.rows.append(
            row(
                f"req_{n}", created_at_us=n * 1_000_000, account=1 + n % 2, key=7, model="auto" if n % 3 else "m1",
                served_model=f"m{n % 3}", status="ok" if n % 5 else "error", http_status=200 if n % 5 else 502,
                cost=n * 10**9,
                estimated=n == 4, stream=n == 6, first_token_ms=3 if n == 6 else None,
            )
        )  # fmt: skip
    with closing(connect(path, durability="process")) as connection:
        write_batch(connection, batch)
    return path


def ids(found: dict[str, Any]) -> list[int]:
    return [int(one["request_id"].removeprefix("req_")) for one in found["data"]]


def test_a_row_as_it_is_shown(listed: Path) -> None:
    found = requests.page(listed, Filter(), page=24, page_size=1)
    assert found == {
        "data": [
            {
                "request_id": "req_6", "created_at": "1970-01-01T00:00:06.000Z", "model": "m1", "served_model": "m0",
                "provider": "p",
                "status": "ok", "http_status": 200, "error_code": "", "mode": "standard", "prompt_tokens": 10,
                "cached_tokens": 0,
                "completion_tokens": 2, "cost": "0.006", "estimated": False, "latency_ms": 5, "first_token_ms": 3,
                "attempts": 1,
                "stream": True, "account": "1", "key": "7",
            }
        ],
        "page": 24, "page_size": 1, "total": 30,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("page", "size", "expected"),
    [
        (1, 10, range(29, 19, -1)),
        (3, 10, range(9, -1, -1)),
        (4, 10, []),
        (1, 100, range(29, -1, -1)),
        (2, 20, range(9, -1, -1)),
        (10**9, 200, []),
    ],
)
def test_paging(listed: Path, page: int, size: int, expected: Any) -> None:
    found = requests.page(listed, Filter(), page=page, page_size=size)
    assert ids(found) == list(expected) and (found["page"], found["page_size"], found["total"]) == (page, size, 30)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"account": 1}, [n for n in range(30) if n % 2 == 0]),
        ({"account": 9}, []),
        ({"model": "m1"}, [n for n in range(30) if n % 3 in {0, 1}]),  # asked or served
        ({"model": "auto"}, [n for n in range(30) if n % 3]),
        ({"status": "error"}, [0, 5, 10, 15, 20, 25]),
        ({"status": "502"}, [0, 5, 10, 15, 20, 25]),
        ({"status": "20"}, []),
        ({"from_us": 10_000_000, "to_us": 12_000_000}, [10, 11]),
        ({"from_us": 29_000_001}, []),
        (
            {"account": 2, "status": "ok", "model": "m2", "from_us": 3_000_000},
            [n for n in range(3, 30) if n % 2 and n % 5 and n % 3 == 2],
        ),
        ({"model": "m1' OR '1'='1"}, []),
        ({"model": "'; DROP TABLE requests; --"}, []),
        ({"model": "m%"}, []),
        ({"model": "m?"}, []),
        ({"model": ""}, []),
        ({"status": "ok' --"}, []),
        ({"status": "²"}, []),
        ({"status": "9" * 40}, []),
        ({"status": ""}, []),
    ],
    ids=repr,
)
def test_filters(listed: Path, filters: dict[str, Any], expected: list[int]) -> None:
    found = requests.page(listed, Filter(**filters), page=1, page_size=100)
    assert ids(found) == expected[::-1] and found["total"] == len(expected)
    sums = requests.stats(listed, Filter(**filters))
    assert sums["requests"] == len(expected) and sums["failed"] == sum(n % 5 == 0 for n in expected)
    assert requests.page(listed, Filter(), page=1, page_size=1)["total"] == 30


def test_sums(listed: Path) -> None:
    found = requests.stats(listed, Filter(to_us=6_000_000))
    assert found == {
        "requests": 6, "prompt_tokens": 60, "completion_tokens": 12, "cost": "0.015", "failed": 2,
        "models": [
            {"model": "m2", "requests": 2, "prompt_tokens": 20, "completion_tokens": 4, "cost": "0.007"},
            {"model": "m1", "requests": 2, "prompt_tokens": 20, "completion_tokens": 4, "cost": "0.005"},
            {"model": "m0", "requests": 2, "prompt_tokens": 20, "completion_tokens": 4, "cost": "0.003"},
        ],
    }  # fmt: skip
    assert requests.stats(listed, Filter(account=9)) == {
        "requests": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost": "0", "failed": 0, "models": [],
    }  # fmt: skip


def test_sums_past_sixty_four_bits(tmp_path: Path) -> None:
    """Ten million dollars and a pico, in two models of one sum each."""
    batch = Batch()
    for n in range(20):
        batch.rows.append(row(f"r{n}", served_model="dear" if n % 2 else "dearer", cost=5 * 10**17 + (n == 2)))
    with closing(connect(tmp_path / "f", durability="process")) as connection:
        write_batch(connection, batch)
    found = requests.stats(tmp_path / "f", Filter())
    assert found["cost"] == "10000000.000000000001"
    models: Any = found["models"]
    assert [(one["model"], one["cost"]) for one in models] == [("dearer", "5000000.000000000001"), ("dear", "5000000")]
