"""Large requests: whatever takes as long as they are large is done in a thread, so that nobody else waits for it. Small
ones never see a thread."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

from ftgate.dialects import anthropic_messages, openai_chat, openai_responses
from ftgate.line.beside import LARGE_BODY, Beside
from ftgate.line.call import Call
from ftgate.line.counting import Counter
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, addresses, channel, model
from tests.line.transcript import PLAIN, WAYS, answer, status

Asked = dict[str, Any]
WORDS = "some words " * (LARGE_BODY // 10)
CHAT: Asked = {"messages": [{"role": "user", "content": "Hi"}]}
CALLERS: dict[str, tuple[Any, Asked]] = {
    "openai_chat": (openai_chat, CHAT),
    "anthropic_messages": (anthropic_messages, {"max_tokens": 9, **CHAT}),
    "openai_responses": (openai_responses, {"input": [{"role": "user", "content": "Hi"}]}),
}
SAID: dict[str, bytes] = {
    "openai_chat": answer(),
    "anthropic_messages": json.dumps(
        {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "Hi"}],
         "stop_reason": "end_turn", "usage": {"input_tokens": 10, "output_tokens": 2}}
    ).encode(),
    "openai_responses": json.dumps(
        {"id": "r", "object": "response", "status": "completed", "model": "m", "output": [
            {"id": "o", "type": "message", "role": "assistant", "status": "completed",
             "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}],
         "usage": {"input_tokens": 10, "output_tokens": 2}}
    ).encode(),
}  # fmt: skip
WORK = ("read_request", "talk_of", "render_talk", "render")
"""What of a dialect takes as long as a request is large."""


class Watch:
    """Where each piece of work on a request is done, in order: (dialect, what, whether on the loop's thread). Before
    each, `at[what]` is called there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = threading.get_ident()
        self.done: list[tuple[str, str, bool]] = []
        self.at: dict[str, Callable[[], None]] = {}
        for dialect, _ in CALLERS.values():
            for what in WORK:
                monkeypatch.setattr(dialect, what, self._watched(dialect.NAME, what, getattr(dialect, what)))

    def _watched(self, name: str, what: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*given: Any) -> Any:
            self.done.append((name, what, threading.get_ident() == self.loop))
            self.at.get(what, lambda: None)()
            return work(*given)

        return watched

    @property
    def names(self) -> list[str]:
        return [f"{name} {what}" for name, what, _ in self.done]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    yield Watch(monkeypatch)


def body_of(caller: str, **more: Any) -> bytes:
    return json.dumps({"model": "m", **CALLERS[caller][1], **more}).encode()


def large(caller: str, **more: Any) -> bytes:
    """With words that mean nothing, in a field that every dialect has."""
    body = json.loads(body_of(caller, **more))
    (body["input"] if "input" in body else body["messages"])[0]["content"] += WORDS
    return json.dumps(body).encode()


def over(*spoken: tuple[str, ...], scripts: list[Any] | None = None) -> Stage:
    """A stage with a channel for each of these sets of dialects, which answer in the first of theirs."""
    ways = [
        channel(f"c{at}", model(context=None, max_output=100), addresses=addresses(f"http://c{at}.invalid", *names))
        for at, names in enumerate(spoken)
    ]
    return Stage(ScriptedUpstream(*(scripts or [[PLAIN, SAID[spoken[0][0]]]])), *ways, credits=10**15)


async def relay(stage: Stage, caller: str, body: bytes, *, left: Callable[[Call], None] = lambda call: None) -> Any:
    client = RecordingClient()
    call = Call(id="req_9", dialect=CALLERS[caller][0], secret=b"sk-ft_test", body=body)
    left(call)
    await stage.gate.relay(call, client)
    stage.check()
    return client


OTHERS = [(caller, spoken) for caller in CALLERS for spoken in CALLERS if caller != spoken]


@pytest.mark.parametrize(("caller", "spoken"), OTHERS)
async def test_a_large_request_in_another_dialect_is_put_into_it_beside_the_loop(
    caller: str, spoken: str, watch: Watch
) -> None:
    client = await relay(over((spoken,)), caller, large(caller))
    assert client.status == 200, client.body
    assert watch.names == [f"{caller} read_request", f"{caller} talk_of", f"{spoken} render_talk", f"{spoken} render"]
    assert not any(on_the_loop for *_, on_the_loop in watch.done), watch.done


@pytest.mark.parametrize("caller", CALLERS)
async def test_a_large_request_in_its_own_dialect_is_rendered_beside_the_loop(caller: str, watch: Watch) -> None:
    assert (await relay(over((caller,)), caller, large(caller))).status == 200
    assert watch.done == [(caller, "read_request", False), (caller, "render", False)]


@pytest.mark.parametrize(("caller", "spoken"), [*OTHERS, *((one, one) for one in CALLERS)])
async def test_a_small_request_never_sees_a_thread(
    caller: str, spoken: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trio.to_thread, "run_sync", None)
    assert (await relay(over((spoken,)), caller, body_of(caller))).status == 200
    assert all(on_the_loop for *_, on_the_loop in watch.done), watch.done


async def test_it_is_said_once_in_each_dialect_however_many_channels_and_attempts(watch: Watch) -> None:
    stage = over(
        ("openai_chat",), ("openai_responses",), ("openai_chat",),
        scripts=[[*status(500)], [*status(500)], [*status(500)]],
    )  # fmt: skip
    assert (await relay(stage, "anthropic_messages", large("anthropic_messages"))).status == 502
    said = [name for name in watch.names if not name.endswith(" render")]
    assert sorted(said) == sorted(
        ["anthropic_messages read_request", "anthropic_messages talk_of", "openai_chat render_talk",
         "openai_responses render_talk"]
    )  # fmt: skip
    assert len(stage.upstream.requests) == 3 and not any(on_the_loop for *_, on_the_loop in watch.done)


@pytest.mark.parametrize("made", [body_of, large])
async def test_what_cannot_be_said_is_refused_before_the_hold_and_read_once(
    made: Callable[..., bytes], watch: Watch
) -> None:
    """Though two dialects were to be tried at one channel, and one more at another."""
    stage = over(("anthropic_messages", "openai_responses"), ("openai_responses",))
    client = await relay(stage, "openai_chat", made("openai_chat", logit_bias={"1": 2}))
    assert client.status == 400 and json.loads(client.body)["error"]["param"] == "logit_bias"
    assert watch.names == ["openai_chat read_request", "openai_chat talk_of"]
    assert [entry.kind for entry in stage.log.entries] == ["grant"] and stage.log.rows[0].status == "refused"


async def test_what_one_dialect_cannot_say_goes_to_a_channel_that_can(watch: Watch) -> None:
    """Fitness is asked of a large request as of a small one, before the plan is cut."""
    body = json.loads(large("anthropic_messages"))
    at = {"type": "document", "source": {"type": "url", "url": "https://x.invalid/a.pdf"}}
    body["messages"].append({"role": "user", "content": [at]})
    stage = over(("openai_chat",), ("anthropic_messages",), scripts=[[PLAIN, SAID["anthropic_messages"]]])
    assert (await relay(stage, "anthropic_messages", json.dumps(body).encode())).status == 200
    assert [request.channel for request in stage.upstream.requests] == ["c1"]


@pytest.mark.parametrize("way", sorted(WAYS.keys() - {"outside"}))
@pytest.mark.parametrize("what", WORK)
async def test_a_call_that_is_ended_meanwhile_asks_nobody_and_pays_nothing(what: str, way: str, watch: Watch) -> None:
    stage = over(("openai_chat",))

    def leaving(call: Call) -> None:
        watch.at[what] = lambda: trio.from_thread.run_sync(WAYS[way], call, trio.CancelScope())

    client = await relay(stage, "anthropic_messages", large("anthropic_messages"), left=leaving)
    assert stage.upstream.requests == [] and stage.log.rows[0].cost == 0
    assert (client.status is None) is (way in ("client_gone", "write_timeout"))
    (row,) = stage.log.rows
    assert row.hold is not None and row.status != "ok"


@pytest.mark.parametrize("what", WORK)
async def test_a_call_whose_door_is_cancelled_meanwhile_is_settled(what: str, watch: Watch) -> None:
    stage, scope = over(("openai_chat",)), trio.CancelScope()
    watch.at[what] = lambda: trio.from_thread.run_sync(scope.cancel)
    with scope:
        await relay(stage, "anthropic_messages", large("anthropic_messages"))
    stage.check()
    assert scope.cancelled_caught and len(stage.upstream.scripts) == 1
    assert stage.books.accounts[1].posted == stage.credits


async def test_a_large_request_is_counted_beside_the_loop_too(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    client = RecordingClient()
    stage = over(("openai_responses",), scripts=[[PLAIN, b'{"input_tokens": 42}']])
    call = Call(id="req_9", dialect=anthropic_messages, secret=b"sk-ft_test", body=large("anthropic_messages"))
    await Counter(stage.gate).count(call, client)
    assert client.status == 200 and json.loads(client.body) == {"input_tokens": 42}
    assert watch.names == ["anthropic_messages talk_of", "openai_responses render_talk", "openai_responses render"]
    assert not any(on_the_loop for *_, on_the_loop in watch.done), watch.done


async def test_the_loop_has_its_turn_soon_while_a_thread_works_and_as_usual_behind_it() -> None:
    beside, usual, seen = Beside(), sys.getswitchinterval(), []

    def fails() -> None:
        seen.append(sys.getswitchinterval())
        trio.from_thread.run(hold_on.wait)
        raise ValueError

    async def failing() -> None:
        with pytest.raises(ValueError):
            await beside.run(fails)

    hold_on = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(failing)
        seen.append(await beside.run(sys.getswitchinterval))
        assert sys.getswitchinterval() < usual  # the other is still at work
        hold_on.set()
    assert sys.getswitchinterval() == usual and len(seen) == 2 and max(seen) < usual / 2
