"""The pages that say how to connect a program: with this server's address, and with no key that works."""

from typing import Any

import pytest

from ftgate.core.connect import PLACEHOLDER, TOOLS
from ftgate.ports.settings import SiteSettings
from ftgate.ports.site import Rows
from tests.fakes.ports import Still
from tests.web.fakes import Answer, Asking
from tests.web.pages.given import given_to

EVIL = "<script>x()</script>"


class Keys:
    """ports.site.KeyRing of account 1."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = rows

    async def page(self, account: int | None, *, status: str | None, **place: Any) -> Rows:
        assert (account, status) == (1, "active")
        return self.rows, len(self.rows), None


MINE = {"id": "5", "name": f"work {EVIL}", "keyPrefix": "sk-ft_abcdef"}
PLAYGROUND = {"id": "6", "name": "playground", "keyPrefix": "playground"}


async def get(path: str, *keys: dict[str, Any], host: str = "x") -> Answer:
    site = Asking()
    given_to(site, keys=Keys(*keys))
    return await site.ask(path, secret=None, accept="text/html", host=host, **site.signed_in())


async def test_the_list_has_every_tool_and_both_addresses() -> None:
    page = (await get("/connect", MINE, PLAYGROUND)).body.decode()
    for id in TOOLS:
        assert f'href="/connect/{id}"' in page
    assert "http://x/v1" in page
    assert "http://x/anthropic" in page
    assert "work &lt;script&gt;" in page
    assert "<script>x" not in page
    assert '<option value="5">' in page
    assert '<option value="6">' not in page  # nothing outside can use it


@pytest.mark.parametrize("id", TOOLS)
async def test_every_tool_has_its_page(id: str) -> None:
    answer = await get(f"/connect/{id}?model=m%3Cscript%3Ex()", MINE)
    page = answer.body.decode()
    assert answer.status == 200
    assert PLACEHOLDER in page
    assert "<script>x" not in page
    assert TOOLS[id].name in page


async def test_a_key_is_shown_by_its_beginning_alone() -> None:
    page = (await get("/connect/openai?key=5&model=m", MINE)).body.decode()
    assert "sk-ft_abcdef…" in page
    assert "Put the rest of your key" in page
    assert 'href="/connect/llm?model=m&amp;key=5"' in page
    assert "Make a key first" in (await get("/connect/openai")).body.decode()


@pytest.mark.parametrize("path", ["/connect/openai?key=9", "/connect/openai?key=6", "/connect/nothing", "/connect/x/y"])
async def test_another_s_key_and_what_is_no_tool_are_not_there(path: str) -> None:
    assert (await get(path, MINE, PLAYGROUND)).status == 404


async def test_who_cannot_reach_this_server_is_told_so() -> None:
    assert "cannot reach http://x" in (await get("/connect/cursor")).body.decode()
    assert "cannot reach" not in (await get("/connect/zed")).body.decode()


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1:8400", "http://127.0.0.1:8400"), ("192.168.1.5:8080", "http://192.168.1.5:8080"),
        ("[fe80::1]:8080", "http://[fe80::1]:8080"), ("NAS:8080", "http://nas:8080"), ("pi.local", "http://pi.local"),
        ("evil.example:8400", "http://127.0.0.1:8400"), ("127.0.0.1.evil.example", "http://127.0.0.1:8400"),
        ("x@evil.example", "http://127.0.0.1:8400"), ("localhost:99999", "http://127.0.0.1:8400"),
        ("nas;curl evil", "http://127.0.0.1:8400"), ("", "http://127.0.0.1:8400"),
    ],
)  # fmt: skip
async def test_a_forged_host_is_not_copied_into_commands(host: str, shown: str) -> None:
    """What is copied from a page is run with the reader's key: it must lead here, whoever named the host."""
    page = (await get("/connect", MINE, host=host)).body.decode()
    assert f"{shown}/anthropic" in page
    assert "evil" not in page


async def test_a_public_url_is_shown_whatever_the_host() -> None:
    site = Asking()
    given_to(site, keys=Keys(MINE))
    live = Still()
    live.site = SiteSettings(public_url="http://gate.example/")
    site.site.guard.live = live
    page = (await site.ask("/connect", secret=None, accept="text/html", host="evil.example", **site.signed_in())).body
    assert b"http://gate.example/anthropic" in page and b"evil" not in page
