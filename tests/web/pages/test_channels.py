"""The pages of channels and of calls in flight: what they say, and what their buttons do."""

from typing import Any

import pytest

from ftgate.core.health import LastError
from ftgate.errors import InvalidRequest
from tests.web.fakes import Asking
from tests.web.pages.visiting import OPERATOR, SCRIPT, USER, Visitor, gone_to, is_safe, text

KEY = {"hint": "…abcd", "model": None, "state": "ok", "until": None, "reason": None}
CHANNEL: dict[str, Any] = {
    "provider": "deepseek", "base_url": "https://api.example/v1", "priority": 0, "weight": 1, "models": ["m", SCRIPT],
    "state": "ok", "circuits": [], "credentials": [KEY], "spent_month": "1.50", "monthly_cap": None,
    "last_error": {"at": "2026-05-10T12:00:00.000Z", "text": SCRIPT}, "requests_1h": 200, "errors_1h": 3, "p50_ms": 840,
    "p95_ms": 2400, "first_token_p50_ms": None,
}  # fmt: skip
CALL = {
    "request_id": "req_1", "user": "5", "key": "1", "model": SCRIPT, "channel": None, "stream": True,
    "state": "waiting", "started_at": "2026-05-10T12:00:00.000Z", "age_ms": 6200, "completion_tokens": 12,
    "held": "0.012296",
}  # fmt: skip
PATHS = ("/admin/channels", "/admin/channels/lab", "/admin/calls")


@pytest.fixture
def asking() -> Asking:
    asking = Asking()
    asking.channels.more = dict(CHANNEL)
    asking.channels.half_hours = {45: (100, 4), 46: (100, 5), 47: (100, 25)}
    asking.channels.failed = [LastError(3_600_000_000, "m", SCRIPT), LastError(0, SCRIPT, "answered 500: no room")]
    asking.calls.calls, asking.managed.more = [CALL], {}
    return asking


async def test_its_last_errors_stand_with_their_times_and_models(asking: Asking) -> None:
    said = text(await Visitor(asking, OPERATOR).get("/admin/channels/lab"))
    assert f"01 Jan 1970, 01:00:00 UTC m {SCRIPT} 01 Jan 1970, 00:00:00 UTC {SCRIPT} answered 500: no room" in said
    asking.channels.failed = []
    assert "Last error" not in text(await Visitor(asking, OPERATOR).get("/admin/channels/lab"))


@pytest.mark.parametrize("path", PATHS)
async def test_operators_alone_see_them_and_texts_are_only_text(asking: Asking, path: str) -> None:
    assert (await Visitor(asking, USER).get(path)).status == 403
    assert gone_to(await Visitor(asking, None).get(path)).startswith("/login")
    page = await Visitor(asking, OPERATOR).get(path)
    assert page.status == 200 and is_safe(page)


async def test_a_day_is_drawn_in_half_hours(asking: Asking) -> None:
    page = await Visitor(asking, OPERATOR).get("/admin/channels/lab")
    kinds = [page.body.decode().count(f'class="block-{kind}"') for kind in ("good", "fair", "bad", "none")]
    assert kinds == [1, 1, 1, 45]
    said = text(page)
    assert "1.5 % 3 of them" in said and "840 ms" in said and "$1.50" in said and "…abcd" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "Nothing is known against it."),
        ({"requests_1h": 100, "errors_1h": 24}, "Nothing is known against it."),
        ({"requests_1h": 4, "errors_1h": 3}, "Nothing is known against it."),
        ({"requests_1h": 0, "errors_1h": 0}, " ready "),
        ({"requests_1h": 1, "errors_1h": 1}, "1 of its 1 attempts in the last hour failed. Calls still go there."),
        ({"requests_1h": 100, "errors_1h": 25}, "0 of 1 can be called; lab: fails."),
        ({"requests_1h": 5, "errors_1h": 5}, "5 of its 5 attempts in the last hour failed. Calls still go there."),
        ({"state": "degraded", "requests_1h": 5, "errors_1h": 5}, "lab: in part."),
        ({"state": "disabled", "enabled": False}, "0 of 1 can be called; lab: off."),
        ({"state": "degraded"}, "lab: in part."),
        ({"state": "open", "circuits": [{"model": "m", "state": "open", "failures": 3, "until": None}]}, "lab: rests."),
        ({"state": "open", "monthly_cap": "1.00"}, "lab: at its cap."),
    ],
)
async def test_how_it_stands_is_said_in_words(asking: Asking, more: dict[str, Any], words: str) -> None:
    asking.channels.more |= more
    assert words in text(await Visitor(asking, OPERATOR).get("/admin/channels"))
    assert (await Visitor(asking, OPERATOR).get("/admin/channels/lab")).status == 200


async def test_a_key_that_rests_says_until_when_and_why(asking: Asking) -> None:
    rest = KEY | {"state": "resting", "model": "m", "until": "2026-05-10T14:05:00.000Z", "reason": "rate_limited"}
    asking.channels.more["credentials"] = [rest, KEY | {"state": "refused", "reason": "credential"}]
    said = text(await Visitor(asking, OPERATOR).get("/admin/channels/lab"))
    assert "resting its limit is reached m 10 May 2026, 14:05:00 UTC" in said
    assert "refused the provider refused it all its models the settings change" in said


@pytest.mark.parametrize(
    ("action", "said", "done"),
    [("enable", "channel_on", ("switch", True, 2)), ("disable", "channel_off", ("switch", False, 2)),
     ("reset", "channel_reset", ("reset", 2))],
)  # fmt: skip
async def test_its_buttons(asking: Asking, action: str, said: str, done: tuple[object, ...]) -> None:
    visitor = Visitor(asking, OPERATOR)
    assert (await visitor.send(f"/admin/channels/lab/{action}", proof="x")).status == 403
    assert (await Visitor(asking, USER).send(f"/admin/channels/lab/{action}")).status == 403
    assert (await visitor.send(f"/admin/channels/other/{action}")).status == 404
    asking.channels.done.clear()
    assert gone_to(await visitor.send(f"/admin/channels/lab/{action}")) == f"/admin/channels/lab?said={said}"
    assert asking.channels.done == [done]


@pytest.mark.parametrize(
    ("trial", "words"),
    [
        ({"ok": True, "status": 200, "error": None}, "It works: m answered in 840 ms, its first token after 90"),
        ({"ok": False, "status": 502, "error": SCRIPT}, f"It did not work with m: {SCRIPT}"),
    ],
)
async def test_a_test_says_how_it_went(asking: Asking, trial: dict[str, Any], words: str) -> None:
    asking.channels.trial = {"model": "m", "latency_ms": 840, "first_token_ms": 90, **trial}
    page = await Visitor(asking, OPERATOR).send("/admin/channels/lab/test", model="m")
    assert page.status == 200 and words in text(page) and is_safe(page)
    assert asking.channels.done == [("test", "m", 2)]


async def test_a_test_of_a_model_that_it_has_not(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise InvalidRequest(f"{SCRIPT} is no model of it", param="model")

    monkeypatch.setattr(asking.channels, "test", refuse)
    page = await Visitor(asking, OPERATOR).send("/admin/channels/lab/test", model="x")
    assert page.status == 400 and is_safe(page) and "is no model of it" in text(page)


async def test_a_channel_that_is_not_there(asking: Asking) -> None:
    assert (await Visitor(asking, OPERATOR).get("/admin/channels/other")).status == 404


async def test_no_channel_says_what_to_do(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking.channels, "shown", list)
    assert "ftgate init" in text(await Visitor(asking, OPERATOR).get("/admin/channels"))


async def test_calls_in_flight_are_shown_and_stopped(asking: Asking) -> None:
    visitor = Visitor(asking, OPERATOR)
    said = text(await visitor.get("/admin/calls"))
    assert "1 in flight, 0 of them streaming." in said and "6.2 s waiting user5" in said and "$0.01 2296" in said
    assert gone_to(await visitor.send("/admin/calls/req_1/stop")) == "/admin/calls?said=call_stopped"
    assert gone_to(await visitor.send("/admin/calls/req_2/stop")) == "/admin/calls?said=call_over"
    assert [by.id for by in asking.calls.stopped] == [2]
    asking.calls.calls = []
    assert "No call is in flight." in text(await visitor.get("/admin/calls"))
