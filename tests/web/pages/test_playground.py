"""The playground's page: what it sends to the gate, and how it shows what came back. That leaving it stops upstreams is
shown with the whole gateway (tests/blackbox/test_playground.py)."""

from typing import Any

import msgspec
import pytest

from ftgate.errors import Forbidden
from tests.web.fakes import Answer, Asking

EVIL = "<script>x()</script>"


async def opened(asking: Asking, path: str = "/playground") -> str:
    answer = await asking.ask(path, secret=None, accept="text/html", **asking.signed_in())
    assert answer.status == 200
    return answer.body.decode()


async def sent(asking: Asking, **texts: str) -> tuple[Answer, str]:
    answer = await asking.form("/playground", headers=asking.signed_in(), **texts)
    return answer, answer.body.decode()


async def test_it_offers_the_models_and_the_same_call_elsewhere() -> None:
    page = await opened(Asking(), "/playground?model=m")
    assert '<option value="m" selected>m</option>' in page
    assert '<option value="auto">auto</option>' in page
    assert "Authorization: Bearer sk-ft_YOUR_KEY" in page
    for way in ("curl", "Python", "JavaScript", "Claude Code"):
        assert f"<summary>{way}</summary>" in page


async def test_a_form_becomes_a_chat_request_and_a_page_its_answer() -> None:
    asking = Asking()
    body = {
        "choices": [{"message": {"content": f"Hi {EVIL}", "reasoning_content": f"Hm {EVIL}"}}],
        "usage": {"prompt_tokens": 1234, "completion_tokens": 5},
    }
    headers = [(b"x-findtoken-model", b"real"), (b"x-findtoken-cost", b"0.01234")]
    asking.dialled.answer = 200, headers, msgspec.json.encode(body)
    answer, page = await sent(asking, model="m", message=f" {EVIL}\r\n", system="Be short", max_tokens="7")
    ((account, asked, id, via),) = asking.dialled.asked
    messages = [{"role": "system", "content": "Be short"}, {"role": "user", "content": f" {EVIL}\n"}]
    assert (account, via) == (1, "session")
    assert asked == {"model": "m", "messages": messages, "max_tokens": 7}
    assert answer.status == 200
    assert answer.headers["x-request-id"] == id
    assert "<script>x" not in page
    assert "Hi &lt;script&gt;" in page
    assert "Hm &lt;script&gt;" in page
    assert "<h2>real</h2>" in page
    assert f'href="/logs/{id}"' in page
    assert "1\u202f234" in page
    assert '$0.01<span class="under">234</span>' in page


async def test_two_models_are_asked_side_by_side() -> None:
    asking = Asking()
    _, page = await sent(asking, model="auto", beside=f"m{EVIL}", message="Hello")
    assert [asked["model"] for _, asked, *_ in asking.dialled.asked] == ["auto", f"m{EVIL}"]
    assert len({id for *_, id, _ in asking.dialled.asked}) == 2
    assert page.count('aria-label="Answer of') == 2
    assert "<script>x" not in page


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"error": {"message": "no <b>such</b> model"}}', "no &lt;b&gt;such&lt;/b&gt; model"),
        (b"<html>", "status 404"), (b"[]", "status 404"), (b'{"error": "x"}', "status 404"),
    ],
)  # fmt: skip
async def test_what_the_gate_refuses_is_told(body: bytes, shown: str) -> None:
    asking = Asking()
    asking.dialled.answer = 404, [], body
    _, page = await sent(asking, model="m", message="Hello")
    assert f'<p class="told bad">{shown}</p>' in page


@pytest.mark.parametrize("answer", [{}, {"choices": []}, {"choices": [1]}, {"choices": [{"message": None}]}])
async def test_an_answer_of_an_odd_shape_is_a_page_too(answer: Any) -> None:
    asking = Asking()
    asking.dialled.answer = 200, [], msgspec.json.encode(answer)
    found, page = await sent(asking, model="m", message="Hello")
    assert (found.status, 'aria-label="Answer of m"' in page) == (200, True)


async def test_a_call_of_a_tool_is_shown_as_it_came() -> None:
    asking = Asking()
    call = {"content": None, "tool_calls": [{"function": {"name": "look"}}]}
    asking.dialled.answer = 200, [], msgspec.json.encode({"choices": [{"message": call}]})
    _, page = await sent(asking, model="m", message="Hello")
    assert "&#34;name&#34;:&#34;look&#34;" in page


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        ({"message": ""}, "message"), ({"max_tokens": "0"}, "max_tokens"), ({"max_tokens": "1.5"}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"), ({"max_tokens": "99999999999999"}, "max_tokens"),
        ({"max_tokens": "1".zfill(12) + "9" * 5000}, "max_tokens"),
    ],
)  # fmt: skip
async def test_what_is_wrong_stands_beside_its_field(texts: dict[str, str], field: str) -> None:
    asking = Asking()
    answer, page = await sent(asking, **{"model": "m", "message": "Hello", "system": EVIL, **texts})
    assert (answer.status, asking.dialled.asked) == (400, [])
    assert f'id="e-{field}"' in page
    assert "&lt;script&gt;x()&lt;/script&gt;</textarea>" in page


async def test_a_refusal_of_the_key_is_told_by_both_ways() -> None:
    asking = Asking()
    asking.dialled.refusal = Forbidden("the key is disabled", code="key_disabled")
    answer, page = await sent(asking, model="m", message="Hello")
    assert (answer.status, "the key is disabled" in page) == (403, True)
    headers = {"content_type": "application/json", "x_csrf_token": "proof", **asking.signed_in()}
    answer = await asking.ask("/playground/call", method="POST", secret=None, body=b"{}", **headers)
    assert (answer.status, answer.json()["error"]["code"]) == (403, "key_disabled")


async def test_the_script_s_call_goes_on_as_it_came() -> None:
    asking = Asking()
    asking.dialled.answer = 200, [(b"x-own", b"yes")], b"data: 1\n\n"
    headers = {"content_type": "application/json", "x_csrf_token": "proof", **asking.signed_in()}
    answer = await asking.ask("/playground/call", method="POST", secret=None, body=b'{"model":"m"}', **headers)
    assert (answer.status, answer.headers, answer.body) == (200, {"x-own": "yes"}, b"data: 1\n\n")
    assert [asked for _, asked, *_ in asking.dialled.asked] == [{"model": "m"}]
    large = b'"' + b"x" * 1_100_000 + b'"'
    answer = await asking.ask("/playground/call", method="POST", secret=None, body=large, **headers)
    assert (answer.status, len(asking.dialled.asked)) == (413, 1)


async def test_nobody_else_s_page_makes_a_call() -> None:
    asking = Asking()
    headers = {"content_type": "application/json", **asking.signed_in()}
    for shown in ({}, {"x_csrf_token": "another"}, {"x_csrf_token": "proof", "origin": "https://evil.example"}):
        answer = await asking.ask("/playground/call", method="POST", secret=None, body=b"{}", **headers, **shown)
        assert (answer.status, asking.dialled.asked) == (403, [])
    answer = await asking.ask(
        "/playground/call", method="POST", body=b"{}", content_type="application/json", x_csrf_token="a"
    )
    assert (answer.status, answer.headers["location"]) == (303, "/login?said=ended")
