"""Short words for the transcripts of test_line.py: upstream events and client bodies."""

import json
from typing import Any

STREAM = (200, [(b"content-type", b"text/event-stream")])
PLAIN = (200, [(b"content-type", b"application/json")])
DONE = b"data: [DONE]\n\n"


def status(code: int, message: str = "no", **headers: str) -> tuple[Any, bytes]:
    """An error answer: its head and its body, to be spread into a script."""
    head = (code, [(b"content-type", b"application/json"), *((n.replace("_", "-").encode(), v.encode()) for n, v in headers.items())])
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
