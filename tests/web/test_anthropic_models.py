"""The models as Anthropic's clients ask for them: at their own route, and at the one that both protocols share."""

from typing import Any

import msgspec
import pytest

from tests.fakes.ports import channel
from tests.fakes.ports import model as fake_model
from tests.web.fakes import KEY, SECRET, Answer, Asking, OneLine

OWN = "/anthropic/v1/models"
VERSION = {"anthropic_version": "2023-06-01"}


def line(*names: str, **more: Any) -> OneLine:
    models = {name: fake_model(name) for name in names}
    return OneLine(channels=(msgspec.structs.replace(channel(), models=models),), **more)


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [row["id"] for row in answer.json()["data"]]


FIVE = Asking(line("a", "b", "c", "d", "e"))


async def test_a_model_in_anthropic_s_words() -> None:
    model = fake_model("m", context=131_072, max_output=8192)
    bare = fake_model("bare", context=None, max_output=None)
    one = msgspec.structs.replace(channel(), models={"m": model, "bare": bare})
    asking = Asking(OneLine(channels=(one,)))
    shape = {
        "type": "model", "id": "m", "display_name": "m", "created_at": "2026-01-01T00:00:00.000Z",
        "lifecycle": "active", "line": None, "deprecated_at": None, "retires_at": None, "max_input_tokens": 131_072,
        "max_tokens": 8192, "capabilities": None,
    }  # fmt: skip
    unstated = shape | {"id": "bare", "display_name": "bare", "max_input_tokens": None, "max_tokens": None}
    listed = (await asking.ask("/v1/models", **VERSION)).json()
    assert listed == {"data": [shape, unstated], "has_more": False, "first_id": "m", "last_id": "bare"}
    for path in ("/v1/models/m", OWN + "/m"):
        assert (await asking.ask(path, **VERSION)).json() == shape
    for path in ("/v1/models/anthropic/m", OWN + "/anthropic/m", "/anthropic/models/anthropic%2Fm/"):
        assert (await asking.ask(path.replace("%2F", "/"), **VERSION)).json() == shape | {"id": "anthropic/m"}


async def test_each_model_is_listed_once_more_with_the_prefix() -> None:
    assert ids(await FIVE.ask(OWN))[:4] == ["a", "anthropic/a", "b", "anthropic/b"]
    assert len(ids(await FIVE.ask(OWN))) == 10
    asking = Asking(line("own", "anthropic/own", "anthropic/only"))
    assert ids(await asking.ask(OWN)) == ["own", "anthropic/own", "anthropic/only"]
    embeds = msgspec.structs.replace(channel(), models={"e": fake_model("e", kind="embeddings")})
    assert ids(await Asking(OneLine(channels=(embeds,))).ask(OWN)) == ["e"]  # messages routes take no such model


PAGES = [
    # query, the ids, whether there are more
    ("", "a b c d e", False),
    ("limit=1000", "a b c d e", False),
    ("limit=99999999999999", "a b c d e", False),
    ("limit=5", "a b c d e", False),
    ("limit=2", "a b", True),
    ("limit=2&after_id=b", "c d", True),
    ("limit=2&after_id=d", "e", False),
    ("after_id=e", "", False),
    ("after_id=b", "c d e", False),
    ("limit=2&before_id=d", "b c", True),
    ("limit=3&before_id=d", "a b c", False),
    ("limit=2&before_id=a", "", False),
    ("beta=true", "a b c d e", False),
    ("lifecycle[]=active&lifecycle[]=deprecated", "a b c d e", False),
    ("lifecycle[]=retired", "", False),
]


@pytest.mark.parametrize(("query", "shown", "more"), PAGES)
async def test_pages(query: str, shown: str, more: bool) -> None:
    answer = await FIVE.ask("/v1/models?" + query, **VERSION)
    found = ids(answer)
    said = answer.json()
    assert (" ".join(found), said["has_more"]) == (shown, more)
    assert (said["first_id"], said["last_id"]) == ((found[0], found[-1]) if found else (None, None))


async def test_pages_cover_all_in_both_directions() -> None:
    whole = ids(await FIVE.ask(OWN))
    for size in (1, 3, 7):
        forth: list[str] = []
        back: list[str] = []
        while page := ids(await FIVE.ask(f"{OWN}?limit={size}" + (f"&after_id={forth[-1]}" if forth else ""))):
            forth += page
        while len(back) < len(whole) - 1 and (
            page := ids(await FIVE.ask(f"{OWN}?limit={size}&before_id={back[0] if back else whole[-1]}"))
        ):
            back = page + back
        assert forth == whole and back == whole[:-1]


@pytest.mark.parametrize(
    ("query", "param"), [("limit=0", "limit"), ("limit=x", "limit"), ("after_id=z", "after_id"), ("before_id=z", "be")]
)
async def test_pages_that_are_not_there(query: str, param: str) -> None:
    answer = await FIVE.ask(f"{OWN}?{query}")
    assert (answer.status, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert param in answer.json()["error"]["message"]


async def test_a_key_sees_its_own() -> None:
    restricted = line("a", "b", aliases={"old": "a"})
    restricted.key = msgspec.structs.replace(KEY, models=("anthropic/b",))
    asking = Asking(restricted)
    assert ids(await asking.ask(OWN)) == ["b", "anthropic/b"]
    assert ids(await asking.ask("/v1/models")) == ["b"]
    restricted.key = KEY
    assert (await asking.ask(OWN + "/anthropic/old")).json()["id"] == "anthropic/old"


@pytest.mark.parametrize("path", [OWN, OWN + "/m", "/v1/models", "/v1/models/m"])
async def test_both_ways_to_show_a_key(path: str) -> None:
    asking = Asking()
    key = SECRET.decode()
    assert (await asking.ask(path, secret=None, x_api_key=key, **VERSION)).status == 200
    assert (await asking.ask(path, x_api_key=key, **VERSION)).status == 200
    for shown in ({}, {"x_api_key": "sk-ft_wrong"}):
        answer = await asking.ask(path, secret=None, **shown, **VERSION)
        assert (answer.status, answer.json()["type"]) == (401, "error")
        assert answer.json()["error"]["type"] == "authentication_error"
    assert (await asking.ask(path, x_api_key="sk-ft_other", **VERSION)).status == 400


@pytest.mark.parametrize("path", [OWN + "/nonesuch", "/v1/models/nonesuch", "/v1/models/anthropic/nonesuch"])
async def test_an_unknown_model(path: str) -> None:
    answer = await FIVE.ask(path, **VERSION)
    said = answer.json()
    assert (answer.status, said["type"], said["error"]["type"]) == (404, "error", "not_found_error")
    assert said["request_id"] == answer.headers["x-request-id"]


async def test_without_a_version_the_shared_route_is_openai_s() -> None:
    assert (await FIVE.ask("/v1/models")).json()["object"] == "list"
    missing = await FIVE.ask("/v1/models/anthropic/a")  # no name of OpenAI's routes
    assert (missing.status, missing.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("path", ["/anthropic/models", "//anthropic//v1//models/", "/anthropic/v1/v1/models"])
async def test_however_it_is_written(path: str) -> None:
    assert len(ids(await FIVE.ask(path))) == 10


async def test_wrong_methods_and_routes_are_told_in_anthropic_s_words() -> None:
    answer = await FIVE.ask(OWN, method="POST")
    assert (answer.status, answer.headers["allow"], answer.json()["type"]) == (405, "GET, HEAD", "error")
    wrong = await FIVE.ask("/anthropic/v1/model")
    assert (wrong.status, wrong.json()["error"]["type"]) == (404, "not_found_error")
    assert "Did you mean /anthropic/v1/models?" in wrong.json()["error"]["message"]


async def test_browsers_of_other_origins() -> None:
    asking = Asking(cors=True)
    for path in (OWN, OWN + "/m"):
        assert (await asking.ask(path)).headers["access-control-allow-origin"] == "*"
        assert (await asking.ask(path, method="OPTIONS", secret=None)).status == 204
