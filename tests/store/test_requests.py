"""The request log read back as a whole: the newest calls, sums, what channels have cost."""

from typing import Any

import pytest

from ftgate.store import requests
from ftgate.store.batch import Batch
from ftgate.store.source import Source
from tests.store.either import opened, put
from tests.store.faulty import row


@pytest.fixture
def listed(source: Source) -> Source:
    """30 requests of two accounts: n from 0 at n seconds."""
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
    with opened(source) as connection:
        put(connection, batch)
    return source


def test_a_row_as_it_is_shown(listed: Source) -> None:
    found: Any = requests.latest(listed, 24)
    assert (found["page"], found["page_size"], found["total"], len(found["data"])) == (1, 24, 30, 24)
    assert found["data"][-1] == {
        "request_id": "req_6", "created_at": "1970-01-01T00:00:06.000Z", "model": "m1", "served_model": "m0",
        "provider": "p", "status": "ok", "http_status": 200, "error_code": "", "mode": "standard", "prompt_tokens": 10,
        "cached_tokens": 0, "completion_tokens": 2, "cost": "0.006", "estimated": False, "latency_ms": 5,
        "first_token_ms": 3, "attempts": 1, "stream": True, "account": "1", "key": "7", "remark": "",
    }  # fmt: skip


def test_sums(listed: Source) -> None:
    found: Any = requests.stats(listed)
    each = {"requests": 10, "prompt_tokens": 100, "completion_tokens": 20}
    assert found == {
        "requests": 30, "prompt_tokens": 300, "completion_tokens": 60, "cost": "0.435", "failed": 6,
        "models": [
            {"model": "m2", **each, "cost": "0.155"}, {"model": "m1", **each, "cost": "0.145"},
            {"model": "m0", **each, "cost": "0.135"},
        ],
    }  # fmt: skip


def test_sums_past_sixty_four_bits(source: Source) -> None:
    """Ten million dollars and a pico, in two models of one sum each."""
    batch = Batch()
    for n in range(20):
        batch.rows.append(row(f"r{n}", served_model="dear" if n % 2 else "dearer", cost=5 * 10**17 + (n == 2)))
    with opened(source) as connection:
        put(connection, batch)
    found = requests.stats(source)
    assert found["cost"] == "10000000.000000000001"
    models: Any = found["models"]
    assert [(one["model"], one["cost"]) for one in models] == [("dearer", "5000000.000000000001"), ("dear", "5000000")]
