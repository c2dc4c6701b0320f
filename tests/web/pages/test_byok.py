"""The page of provider keys: nothing of a key comes back, and nobody sees another's."""

import ast
from collections.abc import Sequence
from html import unescape
from typing import Any

import msgspec
import pytest

from ftgate.core.secret import Secret
from ftgate.dialects import brought
from ftgate.errors import NotAuthenticated, NotFound
from ftgate.ports import Taker
from ftgate.web.pages import byok
from tests.fakes.ports import channel
from tests.web.fakes import Answer, Asking, OneLine
from tests.web.pages.given import given_to

EVIL = "<script>x()</script>"
KEY = "sk-canary-of-a-provider"


class Checked:
    """ports.site.ProviderKeys of account 1, whose only key is 5."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.asked: list[tuple[Any, ...]] = []

    def of(self, account: int) -> Sequence[dict[str, object]]:
        assert account == 1
        at = "2026-11-01T10:00:00.000Z"
        return [
            {"id": "5", "provider": "lab", "name": name, "fingerprint": "0123456789abcdef", "checked_at": at}
            for name in self.names
        ]

    async def register(self, account: int, *, provider: str, key: str, name: str | None, **more: Any) -> Any:
        self.asked.append((account, provider, key, name))
        if key.endswith("wrong"):
            raise NotAuthenticated("lab refuses this key", code="invalid_provider_key")

    async def delete(self, id: int, account: int, by: Any) -> None:
        if id != 5:
            raise NotFound(f"no provider key with the id {str(id)!r}")
        self.asked.append(("forgotten", id, account))


def asking(*names: str) -> tuple[Asking, Checked]:
    line = OneLine()
    line.settings = type(line.settings)(
        line.settings.routes, line.settings.retry, 60.0, line.settings.plans,
        takers={"lab": Taker(channel(), next(iter(channel().models.values())))},
    )  # fmt: skip
    made, keys = Asking(line), Checked(*names)
    given_to(made, provider_keys=keys)
    return made, keys


async def page_of(site: Asking) -> str:
    answer = await site.ask("/byok", secret=None, accept="text/html", **site.signed_in())
    assert answer.status == 200
    return answer.body.decode()


async def test_it_says_what_was_checked_and_that_no_key_is_kept() -> None:
    site, _ = asking(f"mine {EVIL}")
    page = await page_of(site)
    assert "never stored" in page
    assert "0123456789abcdef" in page
    assert "mine &lt;script&gt;" in page
    assert "<script>x" not in page
    assert "of 5" in page
    assert 'action="/byok/5/forget"' in page


async def test_how_a_key_is_sent_is_as_the_gate_reads_it() -> None:
    page = await page_of(asking()[0])
    assert byok.HEADER == brought.HEADER
    assert f"{brought.HEADER}: lab:YOUR_PROVIDER_KEY" in page
    field = page[page.index("extra_body=") + len("extra_body=") :].partition("\n)")[0]
    said = ast.literal_eval(unescape(field).strip().rstrip(","))
    assert brought.in_body({name: msgspec.Raw(msgspec.json.encode(value)) for name, value in said.items()}) == (
        brought.Brought("lab", Secret("YOUR_PROVIDER_KEY"))
    )
    assert "No key was checked yet" in page


async def sent(site: Asking, path: str = "/byok", **texts: str) -> Answer:
    return await site.form(path, headers=site.signed_in(), **texts)


async def test_a_key_is_checked_and_does_not_come_back() -> None:
    site, keys = asking()
    answer = await sent(site, provider="lab", api_key=KEY, name="work")
    assert (answer.status, answer.headers["location"]) == (303, "/byok?said=provider_key_checked")
    assert keys.asked == [(1, "lab", KEY, "work")]


@pytest.mark.parametrize(
    ("key", "status", "field"), [(f"{KEY}-wrong", 401, ""), ("", 400, "api_key"), ("short", 400, "api_key")]
)
async def test_a_wrong_key_is_told_and_what_else_was_typed_stays(key: str, status: int, field: str) -> None:
    site, _ = asking()
    answer = await sent(site, provider="lab", api_key=key, name=EVIL)
    page = answer.body.decode()
    assert answer.status == status
    assert (f'id="e-{field}"' in page) is bool(field)
    assert "&lt;script&gt;" in page
    assert not key or key not in page


async def test_a_key_is_forgotten_and_another_s_is_none() -> None:
    site, keys = asking("mine")
    answer = await sent(site, "/byok/5/forget")
    assert (answer.status, answer.headers["location"]) == (303, "/byok?said=provider_key_forgotten")
    assert keys.asked == [("forgotten", 5, 1)]
    for other in ("6", "x", "005"):
        assert (await sent(site, f"/byok/{other}/forget")).status == 404
