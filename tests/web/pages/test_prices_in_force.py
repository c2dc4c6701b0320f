"""The operator's page of prices: what is in force, a list beside it, and writing what was shown."""

from typing import Any
from uuid import uuid4

import pytest

from ftgate.errors import Conflict, GateError, InvalidRequest
from ftgate.ports.operator import PriceList
from ftgate.web.pages.operate.prices import MOST_BYTES
from tests.web.fakes import Answer, Asking
from tests.web.pages.given import given_to
from tests.web.pages.visiting import OPERATOR, SCRIPT, USER, Visitor, gone_to, is_safe, text

ROW: dict[str, object] = {
    "provider": "deepseek", "model": SCRIPT, "channels": ["deep"], "kind": "chat", "input": "0.3", "output": "1.2",
    "cached": "0.006", "cache_write": "0.3", "cache_write_1h": "0.3", "per_request": None,
    "tiers": [{"above": 272000, "input": "5", "output": "22.5"}], "hours": True, "date": "2026-11-29",
    "source": "javascript:alert(1)",
}  # fmt: skip
CHANGE: dict[str, object] = {
    "provider": "deepseek", "model": SCRIPT, "new": False, "large": False, "hand": False, "channels": [],
    "fields": [{"field": "output", "now": "1.2", "then": "1.3"}],
}  # fmt: skip
FOUND: dict[str, Any] = {
    "id": "abc", "path": "/etc/ftgate.toml", "known": ["deepseek"], "changes": [CHANGE], "same": 2, "unlisted": ["x/y"],
    "others": 1, "unread": [{"model": SCRIPT, "why": "its thinking"}],
}  # fmt: skip


class Desk:
    """ports.operator.Prices."""

    def __init__(self) -> None:
        self.rows = [ROW]
        self.found = dict(FOUND)
        self.asked: list[Any] = []
        self.refused: GateError | None = None

    def shown(self) -> list[dict[str, object]]:
        return self.rows

    async def compare(self, asked: PriceList) -> dict[str, Any]:
        self.asked.append(asked)
        if self.refused is not None:
            raise self.refused
        return self.found

    async def apply(self, id: str, *, force: bool, by: Any) -> dict[str, object]:
        if self.refused is not None:
            raise self.refused
        self.asked.append((id, force, by.id))
        return {"written": 1}


@pytest.fixture
def prices() -> Desk:
    return Desk()


@pytest.fixture
def asking(prices: Desk) -> Asking:
    asking = Asking()
    given_to(asking, prices=prices)
    return asking


@pytest.fixture
def operator(asking: Asking) -> Visitor:
    return Visitor(asking, OPERATOR)


async def upload(visitor: Visitor, data: bytes, **fields: str) -> Answer:
    """A form with a file, as a browser sends it."""
    mark = uuid4().hex
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{said}\r\n'.encode()
        for name, said in ({"csrf_token": "proof"} | fields).items()
    ]
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="a.json"\r\n'
    body = b"".join(
        [*parts, head.encode(), b"Content-Type: application/json\r\n\r\n", data, f"\r\n--{mark}--\r\n".encode()]
    )
    return await visitor.asking.ask(
        "/admin/prices/compare", method="POST", secret=None, body=body, accept="text/html",
        content_type=f"multipart/form-data; boundary={mark}", **visitor.cookie,
    )  # fmt: skip


async def test_what_is_in_force(asking: Asking, operator: Visitor, prices: Desk) -> None:
    page = await operator.get("/admin/prices")
    said = text(page)
    assert is_safe(page) and "catalogue , 2026-11-29" in said
    assert "$0.30" in said and "$0.00 6" in said and "past 272 k tokens: $5.00 in, $22.50 out" in said
    assert (await Visitor(asking, USER).get("/admin/prices")).status == 403
    prices.rows = [ROW | {"date": None, "source": None}]
    assert "1 of them by the config" in text(await operator.get("/admin/prices"))


async def test_a_list_is_compared_as_a_file_or_as_a_text(operator: Visitor, prices: Desk) -> None:
    page = await upload(operator, b'{"a": "\xc3\xa9\r\n"}', format="litellm", provider="deepseek", new="on")
    assert page.status == 200 and is_safe(page) and "$1.2 $1.3 taken" in text(page) and "its thinking" in text(page)
    pasted = await operator.send("/admin/prices/compare", format="models.dev", list="{}", provider="")
    assert pasted.status == 200
    assert prices.asked == [
        PriceList("litellm", b'{"a": "\xc3\xa9\r\n"}', "deepseek", True), PriceList("models.dev", b"{}", None, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [({"hand": True}, "stays somebody set it"), ({"large": True}, "only if ticked over threefold"),
     ({"new": True}, "new"), ({"channels": ["deep"]}, "deep has a price of its own, which counts there")],
)  # fmt: skip
async def test_what_becomes_of_each(operator: Visitor, prices: Desk, change: dict[str, Any], words: str) -> None:
    prices.found["changes"] = [CHANGE | change]
    page = await upload(operator, b"{}", format="litellm")
    assert words in text(page)
    assert (b'name="id" value="abc"' in page.body) == ("hand" not in change)
    assert (b'name="force"' in page.body) == ("large" in change)


async def test_without_a_config_file_it_tells_the_command(operator: Visitor, prices: Desk) -> None:
    prices.found["path"] = None
    page = await upload(operator, b"{}", format="litellm", new="on")
    assert "ftgate prices import --from litellm --file LIST.json --new --apply" in text(page)
    assert b"/admin/prices/apply" not in page.body


async def test_a_list_that_says_nothing_else(operator: Visitor, prices: Desk) -> None:
    prices.found["changes"] = []
    assert "says nothing else" in text(await upload(operator, b"{}", format="litellm"))
    prices.found["known"] = []
    assert "No channel has a provider that this list knows." in text(await upload(operator, b"{}", format="litellm"))


async def test_what_is_wrong_with_a_list(operator: Visitor, prices: Desk) -> None:
    empty = await upload(operator, b"", format="litellm")
    assert empty.status == 400 and b'id="e-file"' in empty.body and prices.asked == []
    assert (await upload(operator, b"{}", format="x")).status == 400
    prices.refused = InvalidRequest(f"The list cannot be used: {SCRIPT}", param="list")
    page = await operator.send("/admin/prices/compare", format="litellm", list="[" * 30_000)
    assert page.status == 400 and is_safe(page) and b"[[[[" not in page.body


async def test_who_may_send_one(asking: Asking, operator: Visitor, prices: Desk) -> None:
    assert (await upload(operator, b"{}", format="litellm", csrf_token="x")).status == 403
    assert (await upload(Visitor(asking, USER), b"{}", format="litellm")).status == 403
    assert (await upload(Visitor(asking, USER), b"x" * MOST_BYTES, format="litellm")).status == 403  # and not read
    assert gone_to(await upload(Visitor(asking, None), b"{}", format="litellm")).startswith("/login")
    for size in (MOST_BYTES, 3 * MOST_BYTES):  # ours, and Quart's own
        assert (await upload(operator, b"x" * size, format="litellm")).status == 413
    broken = await asking.ask(
        "/admin/prices/compare", method="POST", secret=None, body=b"--x\r\n\r\n", content_type="multipart/form-data",
        **operator.cookie,
    )  # fmt: skip
    assert broken.status in (400, 403) and prices.asked == []


async def test_what_was_shown_is_written(operator: Visitor, prices: Desk) -> None:
    assert gone_to(await operator.send("/admin/prices/apply", id="abc", force="on")) == (
        "/admin/prices?said=prices_written"
    )
    assert (await operator.send("/admin/prices/apply", id="abc", proof="x")).status == 403
    assert prices.asked == [("abc", True, 2)]
    prices.refused = Conflict("the config has changed since", code="changed")
    page = await operator.send("/admin/prices/apply", id="abc")
    assert page.status == 409 and "the config has changed since" in text(page)
