"""How the fake upstream answers in OpenAI's Responses: what a Script says, as a response or its events.

`reasoning` is one item with a seal, `content` one message, each of `tool_calls` a call: of a custom tool where the
request offers the name as one, whose input is then the `input` in its arguments. `deltas`, `error_event` and `comment`
are not said. The kinds of events are those of upstream.py: "role" is response.created, "finish" the last event. There
is no [DONE].
"""

import json
from collections.abc import Iterator
from typing import Any

SEAL = "c2VhbGVk"
Event = tuple[str, dict[str, Any]]


def usage_of(usage: Any, prompt: int, output: int) -> Any:
    """`usage` where the script says one, a chat's in the words of Responses; else counted: `usage` is then None."""
    if isinstance(usage, dict) and "prompt_tokens" in usage:
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        counted = usage_of(None, usage["prompt_tokens"], usage["completion_tokens"])
        return {**counted, "input_tokens_details": {"cached_tokens": cached}}
    counted = {"input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + output}
    return counted if usage is None else usage


def response(script: Any, body: Any, output: list[dict[str, Any]], usage: Any, status: str) -> dict[str, Any]:
    model = body.get("model", "fake") if isinstance(body, dict) else "fake"
    short = {"reason": "max_output_tokens"} if status == "incomplete" else None
    return {
        "id": "resp_fake", "object": "response", "created_at": 1_700_000_000, "model": model, "status": status,
        "output": output, "usage": usage, "error": None, "incomplete_details": short, "tools": [],
        "parallel_tool_calls": True, "tool_choice": "auto",
    }  # fmt: skip


def offered(body: Any) -> list[Any]:
    """The tools of a request, those that its input brings along too, and those within a namespace by themselves."""
    if not isinstance(body, dict):
        return []
    turns = body["input"] if isinstance(body.get("input"), list) else []
    brought = [item.get("tools") or [] for item in turns if item.get("type") == "additional_tools"]
    told = [tool for tools in (body.get("tools") or [], *brought) for tool in tools]
    return [tool for one in told for tool in (one["tools"] if one.get("type") == "namespace" else [one])]


def items(script: Any, body: Any) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    if script.reasoning:
        summary = [{"type": "summary_text", "text": "".join(script.reasoning)}]
        said.append({"id": "rs_fake", "type": "reasoning", "summary": summary, "encrypted_content": SEAL})
    if script.content:
        text = {"type": "output_text", "text": "".join(script.content) * script.repeat, "annotations": []}
        made = {"id": "msg_fake", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
        said.append(made)
    custom = {tool.get("name") for tool in offered(body) if tool.get("type") == "custom"}
    for index, call in enumerate(script.tool_calls):
        name, given = call.get("name", "f"), call.get("arguments", "{}")
        named = {"call_id": call.get("id", f"call_{index}"), "name": name, "status": "completed"}
        if name in custom:
            said.append(
                {"id": f"ctc_{index}", "type": "custom_tool_call", **named, "input": json.loads(given)["input"]}
            )
        else:
            said.append({"id": f"fc_{index}", "type": "function_call", **named, "arguments": given})
    return said


def status_of(script: Any) -> str:
    return "incomplete" if script.finish_reason == "length" else "completed"


def plain_body(script: Any, body: Any, usage: Any) -> bytes:
    return json.dumps(response(script, body, items(script, body), usage, status_of(script))).encode()


def _message(script: Any, item: dict[str, Any]) -> Iterator[Event]:
    at = {"item_id": item["id"], "content_index": 0}
    whole = item["content"][0]
    yield "frame", {"type": "response.content_part.added", **at, "part": {**whole, "text": ""}}
    for text in script.content * script.repeat:
        yield "piece", {"type": "response.output_text.delta", **at, "delta": text}
    yield "frame", {"type": "response.output_text.done", **at, "text": whole["text"]}
    yield "frame", {"type": "response.content_part.done", **at, "part": whole}


def _reasoning(script: Any, item: dict[str, Any]) -> Iterator[Event]:
    at = {"item_id": item["id"], "summary_index": 0}
    whole = item["summary"][0]
    yield "frame", {"type": "response.reasoning_summary_part.added", **at, "part": {**whole, "text": ""}}
    for text in script.reasoning:
        yield "piece", {"type": "response.reasoning_summary_text.delta", **at, "delta": text}
    yield "frame", {"type": "response.reasoning_summary_text.done", **at, "text": whole["text"]}
    yield "frame", {"type": "response.reasoning_summary_part.done", **at, "part": whole}


def _call(item: dict[str, Any]) -> Iterator[Event]:
    name, field = ("function_call_arguments", "arguments") if item["type"] == "function_call" else (
        "custom_tool_call_input", "input")  # fmt: skip
    yield "piece", {"type": f"response.{name}.delta", "item_id": item["id"], "delta": item[field]}
    yield "frame", {"type": f"response.{name}.done", "item_id": item["id"], field: item[field]}


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    """The item as it is first told, with nothing in it."""
    empty = {"content": [], "summary": [], "arguments": "", "input": ""}
    return {**item, **{name: nothing for name, nothing in empty.items() if name in item}}


def _all(script: Any, body: Any, usage: Any) -> Iterator[Event]:
    yield "role", {"type": "response.created", "response": response(script, body, [], None, "in_progress")}
    said = items(script, body)
    for index, item in enumerate(said):
        yield "frame", {"type": "response.output_item.added", "output_index": index, "item": _begun(item)}
        inner = {"message": _message, "reasoning": _reasoning}.get(item["type"])
        for kind, event in inner(script, item) if inner else _call(item):
            yield kind, {**event, "output_index": index}
        yield "frame", {"type": "response.output_item.done", "output_index": index, "item": item}
    status = status_of(script)
    yield "finish", {"type": f"response.{status}", "response": response(script, body, said, usage, status)}


def stream_events(script: Any, body: Any, usage: Any) -> Iterator[tuple[str, bytes]]:
    """The answer's events as (kind, bytes), as upstream.stream_events."""
    for number, (kind, event) in enumerate(_all(script, body, usage)):
        data = json.dumps({**event, "sequence_number": number})
        yield kind, f"event: {event['type']}\ndata: {data}\n\n".encode()
