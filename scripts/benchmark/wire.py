"""What every subject is asked and what the upstreams answer: the same bytes for all, and how long an HTTP/1.1 answer
is."""

import json

PLAIN, STREAM = "bench-plain", "bench-stream"
"""The two models: a plain call goes to the static upstream, a streamed one to the paced upstream."""
BODY_BYTES = 1024
_WORDS = "The quick brown fox jumps over the lazy dog while the gateway counts every token that passes. "


def plain_body() -> bytes:
    """A chat request of exactly BODY_BYTES."""

    def body(question: str) -> bytes:
        system = "You answer in one short sentence and never explain yourself."
        messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        return json.dumps({"model": PLAIN, "messages": messages, "max_tokens": 64, "temperature": 0.2}).encode()

    room = BODY_BYTES - len(body(""))
    return body((_WORDS * (room // len(_WORDS) + 1))[:room])


def stream_body(rate: int) -> bytes:
    """A streamed chat request that asks the paced upstream for `rate` events a second (0: none after the first)."""
    question = f"rate={rate} {_WORDS * 8}"
    fields = {"messages": [{"role": "user", "content": question}], "max_tokens": 60_000, "stream": True}
    return json.dumps({"model": STREAM, **fields, "stream_options": {"include_usage": True}}).encode()


def plain_answer() -> bytes:
    """The static upstream's JSON, about 300 bytes."""
    message = {"role": "assistant", "content": "The fox jumps, the dog sleeps, and the tokens are counted."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 212, "completion_tokens": 14, "total_tokens": 226}
    fields = {"id": "chatcmpl-bench", "object": "chat.completion", "created": 1767225600, "model": PLAIN}
    return json.dumps({**fields, "choices": [choice], "usage": usage}, separators=(",", ":")).encode()


def request(port: int, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """The whole request, for keep-alive."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer_size(data: bytes) -> int | None:
    """The length of the answer at the front of `data`; None while it is not whole. Enough for answers without trailers.
    Raises ValueError for one without a length."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[: end + 2].lower()
    if (at := head.find(b"\r\ncontent-length:")) >= 0:
        size = end + 4 + int(head[at + 17 : head.index(b"\r\n", at + 2)])
        return size if len(data) >= size else None
    if b"\r\ntransfer-encoding: chunked\r\n" not in head:
        raise ValueError("an answer without a length")
    at = end + 4
    while (line := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line].partition(b";")[0], 16)
        at = line + 2 + size + 2
        if size == 0:
            return at if len(data) >= at else None
    return None


class Unchunker:
    """The body of a chunked answer, piece by piece."""

    def __init__(self) -> None:
        self._rest = b""
        self._left = 0  # bytes of the chunk that are still to come, its CRLF included
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """What `data` holds of the body. Raises ValueError for bytes that are no chunks."""
        data = self._rest + data if self._rest else data
        at, pieces = 0, []
        while at < len(data) and not self.ended:
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                pieces.append(piece if self._left >= 2 else piece[: len(piece) + self._left - 2])
                continue
            line = data.find(b"\r\n", at)
            if line < 0:
                break
            size = int(data[at:line].partition(b";")[0], 16)
            self.ended = size == 0
            self._left = size + 2 if size else 0
            at = line + 2
        self._rest = data[at:]
        return b"".join(pieces)
