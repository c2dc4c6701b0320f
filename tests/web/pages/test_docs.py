"""The manual as pages: open to all, light, and with nothing in it that is not text."""

import re
from itertools import pairwise

import pytest
from markupsafe import escape

from ftgate.manual import NAMES, topic
from ftgate.web.pages import docs
from tests.web.fakes import Asking
from tests.web.pages.visiting import OPERATOR, Visitor, text


async def page(path: str) -> str:
    answer = await Visitor(Asking(), None).get(path)
    assert answer.status == 200 and "script-src 'self'" in answer.headers["content-security-policy"]
    return answer.body.decode()


async def test_the_list_has_every_topic_and_the_api() -> None:
    body = await page("/docs")
    for name in NAMES:
        assert f'href="/docs/{name}">{escape(topic(name).title)}</a>' in body
        assert escape(topic(name).about) in body
    assert "<code>/v1/chat/completions</code>" in body and 'id="api"' in body
    assert len(body) < 100_000


@pytest.mark.parametrize("name", NAMES)
async def test_a_topic_is_a_page(name: str) -> None:
    body = await page(f"/docs/{name}")
    assert len(body.encode()) < 100_000
    assert re.findall(r"<h1>(.*?)</h1>", body) == [escape(topic(name).title)]
    assert not re.search(r"<(script|style)(?! src=)|\bon\w+=|\bstyle=", body)
    blocks = len(re.findall(r"^ *```\w", topic(name).text, re.M))
    assert body.count("<pre") == body.count('<pre tabindex="0"><code>') == blocks
    ids = re.findall(r'\bid="([^"]+)"', body)
    assert len(ids) == len(set(ids)) and ".md" not in "".join(re.findall(r'href="([^"]*)"', body))
    levels = [int(level) for level in re.findall(r"<h(\d)", body)]
    assert levels and all(later <= earlier + 1 for earlier, later in pairwise(levels)), levels


async def test_links_between_topics_lead_to_pages() -> None:
    body = await page("/docs/billing")
    assert 'href="/docs/troubleshooting#the-ledger-disagrees"' in body
    assert 'id="the-ledger-disagrees"' in await page("/docs/troubleshooting")


def test_html_in_a_text_is_text() -> None:
    made = docs.rendered("a <b>b</b> [x](javascript:alert(1))\n\n```sh\n<script>x</script>\n```\n\n<img src=x>\n")
    assert "<b>" not in made and "<script>" not in made and "<img" not in made and 'href="javascript' not in made
    assert "&lt;script&gt;" in made


async def test_what_is_no_topic_is_not_there_and_says_what_is_near() -> None:
    answer = await Visitor(Asking(), None).get("/docs/bilings")
    assert answer.status == 404 and "Did you mean billing?" in text(answer)
    assert (await Visitor(Asking(), None).get("/docs/%2e%2e%2ferrors")).status == 404


async def test_it_is_linked_for_everybody() -> None:
    assert 'href="/docs"' in await page("/login")
    signed_in = (await Visitor(Asking(), OPERATOR).get("/docs/start")).body.decode()
    assert '<a href="/docs" aria-current="page">Manual</a>' in signed_in
