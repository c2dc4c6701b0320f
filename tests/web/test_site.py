"""What holds for every route of the site: which request a path means, errors in their family's shape, request ids,
CORS."""

import logging
from typing import Any

import pytest
import trio

from ftgate.errors import NoHealthyProvider
from tests.doors.doors import get
from tests.doors.fast import call, opened
from tests.web.fakes import Asking

CHAT = "/v1/chat/completions"


def with_pages(asking: Asking) -> Asking:
    """Pages whose names are words of the API, one of them with a form."""
    for path in ("/models", "/chat", "/tokens", "/admin/tokens", "/messages"):

        async def page(path: str = path) -> str:
            return f"page {path}"

        methods = ["GET", "POST"] if path == "/tokens" else ["GET"]
        asking.site.app.add_url_rule(path, endpoint=path, view_func=page, methods=methods)
    return asking


# ---- paths ----


@pytest.mark.parametrize(
    "path", ["/models", "/models/", "//models", "/chat", "/tokens", "//admin//tokens/", "/messages"]
)
async def test_a_page_may_have_a_word_of_the_api(path: str) -> None:
    answer = await with_pages(Asking()).ask(path, secret=None)
    assert (answer.status, answer.body.partition(b" ")[0]) == (200, b"page")
    assert answer.headers["content-type"].startswith("text/html")


async def test_a_form_s_post_is_the_page_s() -> None:
    assert (await with_pages(Asking()).ask("/tokens", method="POST")).body == b"page /tokens"


TOLERANT = ["/chat/completions", "/v1/v1/chat/completions/", "//chat//completions", CHAT + "/?beta=true", CHAT]


@pytest.mark.parametrize("path", TOLERANT)
@pytest.mark.parametrize("pages", [False, True])
async def test_relay_calls_are_taken_however_they_are_written(path: str, pages: bool) -> None:
    asking = with_pages(Asking()) if pages else Asking()
    answer = await asking.ask(path, method="POST", body=b"{}")
    assert (answer.status, answer.headers["x-walked"], answer.body) == (200, "yes", b"{}")


@pytest.mark.parametrize(
    "path", ["/models/m", "/v1/v1/models", "/v1/models/m/", "/pricing", "/billing/balance", "//v1"]
)
@pytest.mark.parametrize("pages", [False, True])
async def test_routes_of_the_api_are_taken_however_they_are_written(path: str, pages: bool) -> None:
    asking = with_pages(Asking()) if pages else Asking()
    answer = await asking.ask(path)
    assert answer.status == (404 if path == "//v1" else 200), answer.body


async def test_without_a_page_models_are_the_api_s() -> None:
    assert (await Asking().ask("/models")).json()["object"] == "list"
    wrong = await Asking().ask("/models", method="POST")
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, HEAD")
    assert "/v1/models takes GET" in wrong.json()["error"]["message"]


async def test_the_fast_door_keeps_to_it_too() -> None:
    asking = with_pages(Asking())
    async with trio.open_nursery() as nursery:
        async with opened(nursery, site=asking.site) as place:
            client = await place.connect()
            await client.write(call(b"one", path="/chat/completions"))
            assert (await client.answer("POST")).body == b"one"
            await client.write(call(b"two", path="/v1/v1/chat/completions/"))
            assert (await client.answer("POST")).body == b"two"
            assert place.walked.fast == [True, True]
            assert (await client.ask("/models/")).body == b"page /models"
            await client.write(call(b"three", path="//tokens"))
            assert (await client.answer("POST")).body == b"page /tokens"
            await client.write(get("/v1/chat/completions"))
            assert (await client.answer()).status == 405
        nursery.cancel_scope.cancel()


# ---- errors ----


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/chat/completion", "Did you mean /v1/chat/completions?"),
        ("/user/log", "Did you mean /v1/user/logs?"),
        ("/v1/price", "Did you mean /v1/pricing?"),
        ("/somewhere", "The API is under /v1"),
    ],
)
async def test_a_wrong_path_names_the_one_meant(path: str, words: str) -> None:
    answer = await Asking().ask(path)
    said = answer.json()["error"]
    assert (answer.status, said["code"], said["type"]) == (404, "not_found", "invalid_request_error")
    assert words in said["message"]


@pytest.mark.parametrize(("path", "method", "status", "kind"), [
    ("/v1/messages/nonesuch", "POST", 404, "not_found_error"), ("/messages/x", "GET", 404, "not_found_error"),
    ("/v1/messages", "GET", 405, "invalid_request_error"), ("/anthropic", "POST", 405, "invalid_request_error"),
    ("/anthropic/v1/complete", "POST", 404, "not_found_error"), ("/anthropic/x", "GET", 404, "not_found_error"),
    ("/anthropic/v1/messages/count_tokens", "PUT", 405, "invalid_request_error"),
])  # fmt: skip
async def test_errors_of_anthropic_s_routes(path: str, method: str, status: int, kind: str) -> None:
    answer = await Asking().ask(path, method=method)
    said = answer.json()
    assert (answer.status, said["type"], said["error"]["type"]) == (status, "error", kind)
    assert said["request_id"] == answer.headers["x-request-id"]
    assert ("allow" in answer.headers) == (status == 405)


async def test_errors_that_a_route_raises(caplog: pytest.LogCaptureFixture) -> None:
    asking = Asking()

    async def refuse() -> Any:
        raise NoHealthyProvider("nobody", retry_after_s=3)

    async def fail() -> Any:
        raise ValueError("sk-ft_secret")

    asking.site.app.add_url_rule("/refuse", view_func=refuse)
    asking.site.app.add_url_rule("/fail", view_func=fail)
    refused = await asking.ask("/refuse")
    assert (refused.status, refused.headers["retry-after"], refused.json()["error"]["message"]) == (503, "3", "nobody")
    with caplog.at_level(logging.ERROR):
        failed = await asking.ask("/fail")
    assert (failed.status, failed.json()["error"]["code"]) == (500, "internal_error")
    assert b"secret" not in failed.body
    id = failed.headers["x-request-id"]
    assert [record.message for record in caplog.records] == [f"request {id}: internal error at /fail: ValueError"]


# ---- every answer ----


async def test_every_answer_has_an_id_and_is_not_kept() -> None:
    asking = Asking()
    ids = set()
    for path in ("/healthz", "/v1/models", "/nonesuch", "/v1/user/balance"):
        answer = await asking.ask(path)
        assert answer.headers["cache-control"] == "no-store" and answer.headers["x-content-type-options"] == "nosniff"
        ids.add(answer.headers["x-request-id"])
    assert len(ids) == 4 and all(one.startswith("req_") for one in ids)


@pytest.mark.parametrize(
    ("path", "is_open"), [("/models", True), ("/v1/pricing", True), ("/v1/user/balance", False), ("/healthz", False)]
)
async def test_other_origins(path: str, is_open: bool) -> None:
    asking = Asking(cors=True)
    assert ("access-control-allow-origin" in (await asking.ask(path)).headers) is is_open
    assert ((await asking.ask(path, method="OPTIONS")).status == 204) is is_open
    assert "access-control-allow-origin" not in (await Asking(cors=False).ask(path)).headers


async def test_a_page_is_not_open_to_other_origins() -> None:
    assert "access-control-allow-origin" not in (await with_pages(Asking(cors=True)).ask("/models")).headers


# ---- several gateways ----


async def test_what_others_may_have_changed_is_looked_for_and_nothing_is_changed_where_that_cannot_be() -> None:
    looked: list[bool] = []
    answers = True

    async def refresh() -> bool:
        looked.append(answers)
        return answers

    asking = with_pages(Asking(refresh=refresh))
    assert (await asking.ask("/tokens")).status == (await asking.ask("/tokens", method="POST")).status == 200
    answers = False
    assert (await asking.ask("/tokens")).body == b"page /tokens"
    refused = await asking.ask("/tokens", method="POST")
    assert (refused.status, refused.json()["error"]["code"]) == (503, "database_busy")
    assert refused.json()["error"]["message"].startswith("the database takes no changes now, and nothing was changed")
    assert looked == [True, True, False, False]
    assert (await asking.ask("/healthz")).status == 200 and len(looked) == 4
