"""The demo provider: a transport that answers by itself, so that everything can be tried without a provider key.

It speaks OpenAI chat, completions and embeddings like any upstream, is priced in its catalogue file, and goes through
the same line. Deterministic: the same request gets the same words. A person can steer it with markers anywhere in the
last message:

    [tool]   answers with a call of the first tool offered        [long]   a few hundred words
    [error]  an upstream error with status 500                    [slow]   half a second between pieces
    [limit]  status 429                                            [cut]    breaks off in mid-stream
"""

import base64
import hashlib
import json
import struct
from collections.abc import Callable, Iterator

import trio

from ftgate.core import estimate
from ftgate.errors import Fault, UpstreamFailed
from ftgate.ports import Answer, Headers, Sending, UpstreamRequest

PIECE_S = 0.02
"""Seconds between pieces: a pace at which a stream can be seen to stream."""
SLOW_S = 0.5
_CREATED = 1_767_225_600
_LONG = (
    "This is the long demo answer. It goes on for a while, so that there is time to watch it stream, to leave in the "
    "middle and to"
    " see that only what was delivered is charged. "
) * 8


def _texts(value: object) -> Iterator[str]:
    """All strings of a message's content."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            if isinstance(part, dict):
                yield from _texts(part.get("text"))


def _words(text: str, cap: int | None) -> tuple[list[str], bool]:
    """The pieces of a text, one token each, cut at the cap; whether it was cut."""
    pieces = [word + " " for word in text.split(" ")]
    pieces[-1] = pieces[-1].rstrip()
    return (pieces[:cap], True) if cap is not None and len(pieces) > cap else (pieces, False)


def _tool_name(tool: object) -> str:
    """The name of a tool, in whatever shape a caller offers one."""
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else "tool"


class DemoAnswer:
    """ports.Answer over pieces made in advance."""

    def __init__(
        self, status: int, headers: Headers, pieces: list[bytes], pause_s: float, *, cut: bool = False
    ) -> None:
        self.status = status
        self.headers = headers
        self.whole: bytes | None = None
        self.pieces = iter(pieces)
        self.pause_s = pause_s
        self.cut = cut

    async def receive(self) -> bytes:
        await trio.sleep(self.pause_s)
        piece = next(self.pieces, b"")
        if not piece and self.cut:
            raise UpstreamFailed(Fault.incomplete, "the demo broke off, as it was asked to", sent=True)
        return piece

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """As ports.Answer says: each piece is received."""
        return False

    async def aclose(self) -> None:
        """There is no connection."""


def _refusal(status: int, words: str, kind: str) -> DemoAnswer:
    body = json.dumps({"error": {"message": words, "type": kind, "code": None}}).encode()
    return DemoAnswer(status, [(b"content-type", b"application/json")], [body], 0)


class DemoUpstream:
    """ports.Upstream for channels of the provider "demo"."""

    def begin(self, request: UpstreamRequest, sending: Sending, now: float) -> None:
        """As ports.Upstream says: each call is opened."""

    async def open(self, request: UpstreamRequest, sending: Sending | None = None) -> Answer:
        await trio.sleep(PIECE_S)
        if sending is not None:
            sending.sent = True
        try:
            asked = json.loads(request.body)
        except (ValueError, RecursionError):  # a number of thousands of digits, a nesting past all depth
            return _refusal(400, "the demo cannot read this request", "invalid_request_error")
        if request.url.endswith("/embeddings"):
            return _embeddings(asked)
        older = "messages" not in asked
        if older:
            prompt = asked.get("prompt")
            asked["messages"] = [{"content": prompt if isinstance(prompt, str) else json.dumps(prompt)}]
        last = " ".join(_texts(asked["messages"][-1].get("content")))
        for marker, status, words in (
            ("[error]", 500, "the demo failed, as it was asked to"),
            ("[limit]", 429, "the demo is busy"),
        ):
            if marker in last:
                return _refusal(status, words, "server_error")
        return self._answer(asked, last, older=older)

    def _answer(self, asked: dict[str, object], last: str, *, older: bool) -> Answer:
        """`older`: as a completion, which has a text in place of a message."""
        cap = asked.get("max_tokens") or asked.get("max_completion_tokens")
        tools = asked.get("tools")
        call = None
        if "[tool]" in last and isinstance(tools, list) and tools:
            function = {"name": _tool_name(tools[0]), "arguments": '{"demo": true}'}
            call = {"id": "call_demo", "type": "function", "function": function}
        text = _LONG if "[long]" in last else f"Hello from ftgate's demo provider. You said: {last[:200]}"
        pieces, cut_short = ([], False) if call else _words(text, cap if isinstance(cap, int) else None)
        prompt = sum((estimate.text(t) for m in asked["messages"] for t in _texts(m.get("content"))), estimate.ZERO)  # type: ignore[attr-defined]
        usage = {
            "prompt_tokens": max(prompt.likely + estimate.PRIMING_TOKENS, 1),
            "completion_tokens": max(len(pieces), 1),
        }
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
        finish = "tool_calls" if call else "length" if cut_short else "stop"
        message: dict[str, object] = {"role": "assistant", "content": None if call else "".join(pieces)}
        if call:
            message["tool_calls"] = [call]
        head = {"id": "chatcmpl-demo", "created": _CREATED, "model": asked["model"]}
        pause = SLOW_S if "[slow]" in last else PIECE_S
        if not asked.get("stream"):
            choice = _choice("message", message, finish, older=older)
            kind = "text_completion" if older else "chat.completion"
            body = json.dumps({**head, "object": kind, "choices": [choice], "usage": usage}).encode()
            return DemoAnswer(200, [(b"content-type", b"application/json")], [body], pause)
        deltas: list[dict[str, object]] = [{"role": "assistant", "content": ""}]
        deltas += [{"tool_calls": [{"index": 0, **call}]}] if call else [{"content": piece} for piece in pieces]
        chunk = {**head, "object": "text_completion" if older else "chat.completion.chunk"}
        events = [{**chunk, "choices": [_choice("delta", delta, None, older=older)]} for delta in deltas]
        if "[cut]" in last:
            return DemoAnswer(200, _STREAM, [_event(e) for e in events[: len(events) // 2]], pause, cut=True)
        events.append({**chunk, "choices": [_choice("delta", {}, finish, older=older)]})
        options = asked.get("stream_options")
        if isinstance(options, dict) and options.get("include_usage"):
            events.append({**chunk, "choices": [], "usage": usage})
        return DemoAnswer(200, _STREAM, [*(_event(e) for e in events), b"data: [DONE]\n\n"], pause)


def _choice(name: str, message: dict[str, object], finish: str | None, *, older: bool) -> dict[str, object]:
    said: dict[str, object] = {"text": message.get("content") or "", "logprobs": None} if older else {name: message}
    return {"index": 0, **said, "finish_reason": finish}


def _embeddings(asked: dict[str, object]) -> Answer:
    """A vector of eight numbers for each input, made of its text; as base64 where that is asked for."""
    given = asked.get("input")
    inputs = given if isinstance(given, list) and not all(isinstance(token, int) for token in given) else [given]
    prompt, rows = 0, []
    for index, one in enumerate(inputs):
        text = one if isinstance(one, str) else json.dumps(one)
        prompt += estimate.text(text).likely if isinstance(one, str) else len(one) if isinstance(one, list) else 1
        numbers = [byte / 128 - 1 for byte in hashlib.blake2b(text.encode(), digest_size=8).digest()]
        packed = base64.b64encode(struct.pack("<8f", *numbers)).decode()
        vector = packed if asked.get("encoding_format") == "base64" else numbers
        rows.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": max(prompt, 1), "total_tokens": max(prompt, 1)}
    body = json.dumps({"object": "list", "data": rows, "model": asked["model"], "usage": usage}).encode()
    return DemoAnswer(200, [(b"content-type", b"application/json")], [body], 0)


_STREAM = [(b"content-type", b"text/event-stream")]


def _event(chunk: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"
