"""Short words for the tests of the line: upstream events, client bodies, and how a call is ended."""

import json
from collections.abc import Callable
from typing import Any

import trio

from ftgate.line.call import Call
from tests.fakes.ports import RecordingClient, Stage

WAYS: dict[str, Callable[[Call, trio.CancelScope], None]] = {
    "client_gone": lambda call, outer: call.client_gone(),
    "write_timeout": lambda call, outer: call.client_gone("write_timeout"),
    "operator": lambda call, outer: call.cancel("operator"),
    "shutdown": lambda call, outer: call.cancel("shutdown"),
    "outside": lambda call, outer: outer.cancel(),
}
"""How a call is ended in its middle: by its door, by the gate, or with everything around it."""
STREAM = (200, [(b"content-type", b"text/event-stream")])
PLAIN = (200, [(b"content-type", b"application/json")])
DONE = b"data: [DONE]\n\n"


def status(code: int, message: str = "no", **headers: str) -> tuple[Any, bytes]:
    """An error answer: its head and its body, to be spread into a script."""
    head = (
        code,
        [
            (b"content-type", b"application/json"),
            *((n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()),
        ],
    )
    return head, json.dumps({"error": {"message": message, "type": "t", "code": "c"}}).encode()


def ask(*, stream: bool = False, **fields: Any) -> bytes:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **fields}
    if stream:
        body["stream"] = True
    return json.dumps(body).encode()


def delta(text: str | None = None, *, finish: str | None = None, **fields: Any) -> bytes:
    chunk = {
        "id": "c1",
        "choices": [{"index": 0, "delta": {"content": text} if text is not None else {}, "finish_reason": finish}],
        **fields,
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def usage(prompt: int, completion: int, **more: Any) -> bytes:
    said = {"prompt_tokens": prompt, "completion_tokens": completion, **more}
    return b"data: " + json.dumps({"id": "c1", "choices": [], "usage": said}).encode() + b"\n\n"


def answer(text: str = "Hi", prompt: int = 10, completion: int = 2, **fields: Any) -> bytes:
    body: dict[str, Any] = {
        "id": "c1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion},
    }
    return json.dumps({**body, **fields}).encode()


def chat(*texts: str, prompt: int = 10, completion: int | None = None) -> list[Any]:
    """A whole good stream."""
    done = [delta(finish="stop"), usage(prompt, len(texts) if completion is None else completion), DONE]
    return [STREAM, delta(""), *(delta(text) for text in texts), *done]


async def leave(stage: Stage, after_s: float, *, stream: bool = True) -> RecordingClient:
    """Relay a call whose client leaves after so many seconds; what it got. Ends with the stage's own checks."""
    call, client = stage.call(ask(stream=stream)), RecordingClient()

    async def go() -> None:
        await trio.sleep(after_s)
        call.client_gone()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(go)
        await stage.gate.relay(call, client)
        nursery.cancel_scope.cancel()
    stage.check()
    return client
