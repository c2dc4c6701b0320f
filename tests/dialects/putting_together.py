"""Streams put together as the SDKs of their dialects do it, and held to the order that these demand: written apart from
ftgate, so that a test does not ask the code whether it is right. And whole answers as an upstream would stream them.
"""

import json
from typing import Any


def events(data: bytes) -> list[tuple[str, str]]:
    """The (name, data) of each block; a block of comments alone is an event without data to some clients."""
    found = []
    assert data.endswith(b"\n\n")
    for block in data.decode().split("\n\n")[:-1]:
        lines = [line.partition(": ") for line in block.split("\n")]
        named = [value for field, _, value in lines if field == "event"]
        held = [value for field, _, value in lines if field == "data"]
        assert len(held) == 1, block
        found.append((named[0] if named else "", held[0]))
    return found


# Chat


def of_chat(data: bytes) -> dict[str, Any]:
    """A chat stream that is whole: its message, why it ended, its usage if it told one."""
    *chunks, (_, done) = events(data)
    assert done == "[DONE]"
    message: dict[str, Any] = {}
    finish, usage, heads = None, None, set()
    for name, held in chunks:
        chunk = json.loads(held)
        assert name == "" and chunk["object"] == "chat.completion.chunk"
        heads.add((chunk["id"], chunk["created"], chunk["model"]))
        if not chunk["choices"]:
            assert finish is not None and usage is None
            usage = chunk["usage"]
            continue
        (choice,) = chunk["choices"]
        assert choice["index"] == 0 and finish is None
        assert message or choice["delta"].get("role") == "assistant"
        _joined(message, choice["delta"])
        finish = choice["finish_reason"]
    assert len(heads) == 1 and finish is not None
    for call in message.get("tool_calls", ()):
        assert message["tool_calls"][call.pop("index")] is call
    return {"message": message, "finish_reason": finish, "usage": usage}


def _joined(known: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if name not in known or known[name] is None:
            known[name] = value
        elif isinstance(value, str) and name not in ("role", "type", "id"):
            known[name] += value
        elif isinstance(value, dict):
            _joined(known[name], value)
        elif isinstance(value, list):
            for one in value:
                place = next((its for its in known[name] if its["index"] == one["index"]), None)
                if place is None:
                    assert one["index"] == len(known[name])
                    known[name].append(one)
                else:
                    _joined(place, one)


def chat_streamed(answer: dict[str, Any]) -> bytes:
    """A whole chat answer as a provider streams it: texts in two pieces, the parts of its calls in turn."""
    (choice,) = answer["choices"]
    message = dict(choice["message"])
    calls = message.pop("tool_calls", None) or []
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "reasoning", "content", "refusal"):
        deltas += [{name: piece} for piece in _halves(message.get(name) or "")]
    for at, call in enumerate(calls):
        function = {"name": call["function"]["name"], "arguments": ""}
        deltas.append({"tool_calls": [{"index": at, **call, "function": function}]})
    halves = [_halves(call["function"]["arguments"]) for call in calls]
    for half in range(2):
        deltas += [{"tool_calls": [{"index": at, "function": {"arguments": pieces[half]}}]}
                   for at, pieces in enumerate(halves) if half < len(pieces)]  # fmt: skip
    head = {"id": answer["id"], "object": "chat.completion.chunk", "created": 1, "model": answer["model"]}
    chunks = [head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    if "usage" in answer:
        chunks.append(head | {"choices": [], "usage": answer["usage"]})
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def _halves(text: str) -> list[str]:
    return [piece for piece in (text[: len(text) // 2], text[len(text) // 2 :]) if piece]


# Messages


def of_messages(data: bytes) -> dict[str, Any]:
    """A messages stream that is whole, as the message that it makes."""
    (first, started), *between, (beforelast, ended), (last, stopped) = events(data)
    assert (first, beforelast, last) == ("message_start", "message_delta", "message_stop")
    assert json.loads(stopped) == {"type": "message_stop"}
    message: dict[str, Any] = json.loads(started)["message"]
    assert message["content"] == [] and message["stop_reason"] is None
    blocks: list[dict[str, Any]] = message["content"]
    is_open, written = False, ""
    for name, held in between:
        said = json.loads(held)
        assert said["type"] == name
        if name == "ping":
            continue
        if name == "content_block_start":
            assert not is_open and said["index"] == len(blocks)
            blocks.append(said["content_block"])
            is_open, written = True, ""
            continue
        assert is_open and said["index"] == len(blocks) - 1
        block = blocks[-1]
        if name == "content_block_stop":
            is_open = False
            if block["type"] == "tool_use":
                assert block["input"] == {}
                block["input"] = json.loads(written or "{}")
            continue
        assert name == "content_block_delta"
        match said["delta"]:
            case {"type": "text_delta", "text": text}:
                assert block["type"] == "text"
                block["text"] += text
            case {"type": "thinking_delta", "thinking": text}:
                assert block["type"] == "thinking"
                block["thinking"] += text
            case {"type": "signature_delta", "signature": str(seal)}:
                assert block["type"] == "thinking"
                block["signature"] = seal
            case {"type": "input_json_delta", "partial_json": text}:
                assert block["type"] == "tool_use"
                written += text
            case other:
                raise AssertionError(other)
    assert not is_open
    end = json.loads(ended)
    assert end["type"] == "message_delta"
    return message | end["delta"] | {"usage": message["usage"] | end["usage"]}


def messages_streamed(answer: dict[str, Any]) -> bytes:
    """A whole messages answer as Anthropic streams it."""
    usage = answer["usage"]
    told = {**{name: its for name, its in usage.items() if name != "output_tokens_details"}, "output_tokens": 1}
    said: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**answer, "content": [], "stop_reason": None, "stop_sequence": None,
                                              "usage": told}},
        {"type": "ping"},
    ]  # fmt: skip
    for at, block in enumerate(answer["content"]):
        kind = block["type"]
        empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}
        said.append({"type": "content_block_start", "index": at, "content_block": block | empty.get(kind, {})})
        deltas: list[dict[str, Any]] = []
        if kind == "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in _halves(block["text"])]
        elif kind == "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _halves(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        elif kind == "tool_use":
            pieces = ["", *(_halves(json.dumps(block["input"])) if block["input"] else [])]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        said += [{"type": "content_block_delta", "index": at, "delta": delta} for delta in deltas]
        said.append({"type": "content_block_stop", "index": at})
    ended = {name: answer[name] for name in ("stop_reason", "stop_sequence", "stop_details") if name in answer}
    said.append({"type": "message_delta", "delta": ended, "usage": usage})
    said.append({"type": "message_stop"})
    return b"".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in said)
