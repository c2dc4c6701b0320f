"""The request log as an account is shown it: its own calls and nobody else's, chosen as asked."""

from pathlib import Path
from typing import Any

import pytest

from ftgate.store.journal import StoredJournal
from tests.store.test_requests import ids, listed

__all__ = ["listed"]  # the fixture: 30 requests of two accounts, n from 0 at n seconds


@pytest.mark.parametrize(
    ("account", "chosen", "expected"),
    [
        (1, {}, range(28, -1, -2)),
        (2, {}, range(29, 0, -2)),
        (3, {}, []),
        (1, {"model": "m2"}, [26, 20, 14, 8, 2]),
        (1, {"status": "error"}, [20, 10, 0]),
        (2, {"from_us": 20_000_000, "to_us": 25_000_000}, [23, 21]),
    ],
)
async def test_an_account_s_own_calls(listed: Path, account: int, chosen: dict[str, Any], expected: Any) -> None:
    journal = StoredJournal(listed)
    found: Any = await journal.page(account, **chosen, page=1, page_size=100)
    assert ids(found) == list(expected) and found["total"] == len(expected)
    second: Any = await journal.page(account, **chosen, page=2, page_size=2)
    assert ids(second) == list(expected)[2:4]
