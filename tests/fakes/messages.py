"""How the fake upstream answers in Anthropic's shape: what a Script says, as a message or its events.

`reasoning` is one thinking block with a signature, `deltas` are whole blocks, `content` is one text block, each of
`tool_calls` a tool_use block whose input comes in one piece. The kinds of events are those of upstream.py: "role" is
message_start, "finish" message_delta, "done" message_stop.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
SIGNATURE = "c2lnbmVk"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def usage_of(usage: Any, prompt: int, output: int) -> Any:
    """`usage` where the script says one, else counted: `usage` is then None."""
    return {"input_tokens": prompt, "output_tokens": output} if usage is None else usage


def blocks(script: Any) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    if script.reasoning:
        said.append({"type": "thinking", "thinking": "".join(script.reasoning), "signature": SIGNATURE})
    said += [dict(block) for block in script.deltas]
    if script.content:
        said.append({"type": "text", "text": "".join(script.content) * script.repeat})
    for index, call in enumerate(script.tool_calls):
        made = json.loads(call.get("arguments", "{}"))
        id, name = call.get("id", f"toolu_{index}"), call.get("name", "f")
        said.append({"type": "tool_use", "id": id, "name": name, "input": made})
    return said


def message(script: Any, body: Any, content: list[dict[str, Any]], stop: str | None, usage: Any) -> dict[str, Any]:
    model = body.get("model", "fake") if isinstance(body, dict) else "fake"
    return {
        "id": "msg_fake", "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": stop, "stop_sequence": None, "usage": usage,
    }  # fmt: skip


def stop_of(script: Any) -> str | None:
    return None if script.finish_reason is None else STOPS.get(script.finish_reason, script.finish_reason)


def plain_body(script: Any, body: Any, usage: Any) -> bytes:
    whole = message(script, body, blocks(script), stop_of(script), usage)
    if script.usage_place == "none":
        del whole["usage"]
    return _compact(whole).encode()


def error_body(status: int) -> bytes:
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error",
             529: "overloaded_error"}  # fmt: skip
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "api_error")
    error = {"type": "error", "error": {"type": kind, "message": f"scripted {status}"}, "request_id": "req_fake"}
    return _compact(error).encode()


def _pieces(script: Any) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """(kind, block, event without its index) of all blocks in turn; kind is "piece" or "role" for what is none."""
    index = 0

    def block(begun: Mapping[str, Any], deltas: list[dict[str, Any]]) -> Iterator[tuple[str, int, dict[str, Any]]]:
        yield "frame", index, {"type": "content_block_start", "content_block": dict(begun)}
        for delta in deltas:
            kind = "frame" if delta["type"] == "signature_delta" or delta.get("partial_json") == "" else "piece"
            yield kind, index, {"type": "content_block_delta", "delta": delta}
        yield "frame", index, {"type": "content_block_stop"}

    if script.reasoning:
        thoughts = [{"type": "thinking_delta", "thinking": text} for text in script.reasoning]
        seal = {"type": "signature_delta", "signature": SIGNATURE}
        yield from block({"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, seal])
        index += 1
    for whole in script.deltas:
        yield "piece", index, {"type": "content_block_start", "content_block": dict(whole)}
        yield "frame", index, {"type": "content_block_stop"}
        index += 1
    if script.content:
        texts = [{"type": "text_delta", "text": text} for text in script.content] * script.repeat
        yield from block({"type": "text", "text": ""}, texts)
        index += 1
    for at, call in enumerate(script.tool_calls):
        made = call.get("arguments", "{}")
        parts = [{"type": "input_json_delta", "partial_json": part} for part in ("", made)]
        begun = {"type": "tool_use", "id": call.get("id", f"toolu_{at}"), "name": call.get("name", "f"), "input": {}}
        yield from block(begun, parts)
        index += 1


def stream_events(script: Any, body: Any, usage: Any, prompt: int) -> Iterator[tuple[str, bytes]]:
    """The answer's events as (kind, bytes), as upstream.stream_events."""
    end = "\r\n" if script.crlf else "\n"

    def event(said: Mapping[str, Any]) -> bytes:
        return f"event: {said['type']}{end}data: {_compact(said)}{end}{end}".encode()

    told = script.usage_place != "none"
    if script.role_chunk:
        begun = message(script, body, [], None, {"input_tokens": prompt, "output_tokens": 1} if told else None)
        yield "role", event({"type": "message_start", "message": begun})
    pieces = 0
    for kind, index, said in _pieces(script):
        if kind == "piece":
            if script.error_event is not None and script.error_after == pieces:
                break
            if script.comment is not None:
                yield "comment", f": {script.comment}{end}{end}".encode()
            pieces += 1
        yield kind, event({"type": said.pop("type"), "index": index, **said})
    if script.error_event is not None:
        yield "error", event({"type": "error", **script.error_event})
        return
    if (stop := stop_of(script)) is not None:
        ended = {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}}
        yield "finish", event({**ended, "usage": usage if told else {}})
    if script.done:
        yield "done", event({"type": "message_stop"})
