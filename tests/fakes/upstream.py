"""A scripted LLM upstream over real sockets: what every black-box test of ftgate talks to.

    async with trio.open_nursery() as nursery:
        fake = FakeUpstream({"slow": Script(piece_delay_s=0.1)})
        await nursery.start(fake.run)                  # fake.url is http://127.0.0.1:<port chosen by the OS>
        ...
        nursery.cancel_scope.cancel()

or `async with FakeUpstream(...).serving() as fake:`, or as a process: `python tests/fakes/upstream.py --port 0`, which
prints `ready http://127.0.0.1:<port>`, takes scripts as JSON (`--scripts FILE`, or POST /_fake/scripts) and tells what
it saw at GET /_fake/state.

Rules:
- The request's `model` chooses the Script; an unknown one, or a body that is not JSON, gets `default`. Scripts may be
  changed while it runs. A POST path that ends in /messages answers in Anthropic's shape, one in /responses in that of
  OpenAI's Responses, every other one in OpenAI's chat shape; GET .../models lists the scripts.
- What came in is kept: `fake.requests` (with how far each answer got) and `fake.connections` (with who closed when).
  All times are time.monotonic(), so a test can say "the upstream's socket was closed within 250 ms".
- One task per connection only reads, so a peer that leaves is seen at once, also while the script sleeps or hangs.
- The default usage is deterministic: prompt_tokens() of the request's text, and one completion token for each piece.

A *piece* is one event that carries content, reasoning or a tool call; the role chunk, the finish chunk, usage and
[DONE] are not pieces. `cut_after=2` means two pieces went out.
"""

import argparse
import contextlib
import gzip
import json
import math
import signal
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import httptools
import trio

if __package__:
    from tests.fakes import messages, responses
else:  # run as a program, from wherever it lies
    import messages
    import responses

COMPUTED: Any = "computed"
"""The default of Script.usage: counted from the request and the pieces."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """How one model answers. The defaults are a short, healthy answer. Delays may be math.inf."""

    # What it says.
    content: tuple[str, ...] = ("Hello", ", ", "world")
    reasoning: tuple[str, ...] = ()
    tool_calls: tuple[Mapping[str, Any], ...] = ()  # {"id", "name", "arguments"}; each streams as one piece
    offered: bool = (
        False  # the first of tool_calls that the request offers in place of the content; once, then the content
    )
    deltas: tuple[Mapping[str, Any], ...] = ()  # of any shape; each streams as one piece, before the content
    repeat: int = 1  # the content pieces this many times over
    finish_reason: str | None = "stop"  # None: never said
    role_chunk: bool = True  # the empty first delta of a stream, sent together with the head
    done: bool = True  # data: [DONE]
    usage: Any = COMPUTED  # any JSON value is sent as it is: a dict, None, "12", -1, 1e18
    usage_place: Literal["last_chunk", "final_choice", "choice_usage", "every_chunk", "none"] = "last_chunk"
    usage_unasked: bool = False  # last_chunk also without stream_options.include_usage, as OpenRouter does

    # When it says it.
    head_delay_s: float = 0.0
    first_delay_s: float = 0.0  # from head (and role chunk) to first piece
    piece_delay_s: float = 0.0
    hang_after: int | None = None  # this many pieces, then silence with the connection open

    # How it fails.
    status: int = 200
    error_body: Any = None  # the JSON of a status >= 400; default: OpenAI's envelope
    retry_after: str | int | None = None
    location: str | None = None  # for a 3xx
    fail_first: tuple[int, int] | None = (
        None  # (n, status): the model's first n requests fail; status 0 drops the connection
    )
    refuse: tuple[int, tuple[str, ...]] | None = (
        None  # (status, fields): that for a request that has all of these fields
    )
    drop: Literal["close", "rst"] | None = None  # in place of the head
    cut_after: int | Literal["end"] | None = (
        None  # pieces, then the connection breaks; "end": all sent, only the ending lacks
    )
    cut: Literal["close", "rst"] = "close"
    error_event: Any = None  # a JSON value sent as an event in the stream
    error_after: int | None = None  # pieces before it (nothing follows); None: after all pieces
    early: bool = False  # answer at the request's head, before its body (only of `default`: the model is not known yet)

    # How it is written.
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str | None = None
    framing: Literal["chunked", "length", "close"] | None = (
        None  # default: chunked for streams, length for plain answers
    )
    gzip: bool = False
    crlf: bool = False  # \r\n as the line end of events
    comment: str | None = None  # a comment event before each piece, as OpenRouter and DeepSeek keep a connection alive
    events_per_write: int = 1
    write_size: int | None = None  # cut the body into writes (and chunks) of this many bytes, wherever that falls
    raw_body: bytes | None = None  # in place of the body
    raw_response: bytes | None = None  # in place of the whole response; the connection closes after it
    keep_alive: bool = True  # False: says Connection: close and does it
    close_idle_after_s: float | None = None  # after a complete answer, close the idle connection unannounced


@dataclass(eq=False)
class Connection:
    """One accepted connection and its fate, in time.monotonic() seconds."""

    number: int
    opened: float
    requests: int = 0
    closed_by_peer_at: float | None = None
    closed_by_peer_how: Literal["fin", "rst"] | None = None
    closed_by_us_at: float | None = None

    @property
    def is_open(self) -> bool:
        return self.closed_by_peer_at is None and self.closed_by_us_at is None


@dataclass(eq=False)
class Seen:
    """One request as it came and how far its answer got."""

    method: str
    path: str
    headers: list[tuple[str, str]]  # names in lower case, in order
    connection: Connection
    at: float
    body: bytes = b""
    json: Any = None  # None where the body is not JSON
    keep_alive: bool = True
    head_sent_at: float | None = None
    pieces_sent: int = 0
    finished_at: float | None = None  # the whole answer went out; None for one that was cut or left
    number: int = 0  # of the calls; a test's own looks are none

    @property
    def control(self) -> bool:
        """A test's own look, no call."""
        return self.path.startswith("/_fake/")

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name.lower()), None)

    @property
    def model(self) -> str | None:
        model = self.json.get("model") if isinstance(self.json, dict) else None
        return model if isinstance(model, str) else None

    @property
    def is_messages(self) -> bool:
        return self.path.partition("?")[0].endswith("/messages")

    @property
    def is_responses(self) -> bool:
        return self.path.partition("?")[0].endswith("/responses")

    @property
    def stream(self) -> bool:
        return isinstance(self.json, dict) and self.json.get("stream") is True


def prompt_tokens(body: Any) -> int:
    """The fake's count of a prompt: characters of all message text // 4 + 3."""
    if not isinstance(body, dict):
        return 3
    return sum(map(_text_length, (body.get(name) for name in ("messages", "prompt", "input", "system")))) // 4 + 3


def _text_length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_text_length, value))
    if isinstance(value, dict):
        return _text_length(value.get("content")) + _text_length(value.get("text"))
    return 0


def answering(script: Script, body: Any) -> Script:
    """What a script whose `offered` is set says to this request: one call, or its content when a result has come."""
    turns = body.get("messages", body.get("input")) if isinstance(body, dict) else None
    last = turns[-1] if isinstance(turns, list) and turns else {}
    parts = last.get("content") if isinstance(last.get("content"), list) else []
    returned = last.get("role") == "tool" or str(last.get("type")).endswith("_call_output")
    if returned or any(part.get("type") == "tool_result" for part in parts):
        return replace(script, tool_calls=())
    names = {(tool.get("function") or tool).get("name") for tool in responses.offered(body)}
    call = next((call for call in script.tool_calls if call.get("name") in names), None)
    if call is None:
        return replace(script, tool_calls=())
    return replace(script, tool_calls=(call,), content=(), finish_reason="tool_calls")


def piece_count(script: Script) -> int:
    told = len(script.reasoning) + len(script.deltas) + len(script.tool_calls)
    return told + len(script.content) * script.repeat


def usage_of(script: Script, body: Any, *, pieces: int | None = None) -> Any:
    """The usage that `script` reports for the request `body` after `pieces` pieces (default: all)."""
    if script.usage is not COMPUTED:
        return script.usage
    prompt, completion = prompt_tokens(body), piece_count(script) if pieces is None else pieces
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if script.reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": min(completion, len(script.reasoning))}
    return usage


class _Cut(Exception):
    """The script breaks the connection here."""

    def __init__(self, how: Literal["close", "rst"]) -> None:
        self.how = how


# ---- answers as bytes; no I/O below this line until FakeUpstream ----


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _tool_call(index: int, call: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": call.get("name", "f"), "arguments": call.get("arguments", "{}")}
    sealed = {name: call[name] for name in ("extra_content",) if name in call}
    return {"index": index, "id": call.get("id", f"call_{index}"), "type": "function", "function": function, **sealed}


def _deltas(script: Script) -> Iterator[dict[str, Any]]:
    yield from ({"reasoning_content": text} for text in script.reasoning)
    yield from map(dict, script.deltas)
    for _ in range(script.repeat):
        yield from ({"content": text} for text in script.content)
    yield from ({"tool_calls": [_tool_call(index, call)]} for index, call in enumerate(script.tool_calls))


def _shape(body: Any, kind: str) -> dict[str, Any]:
    model = body.get("model", "fake") if isinstance(body, dict) else "fake"
    return {"id": "chatcmpl-fake", "object": kind, "created": 1_700_000_000, "model": model}


def stream_events(script: Script, body: Any) -> Iterator[tuple[str, bytes]]:
    """The answer's events as (kind, bytes); kind is role, comment, piece, error, finish, usage or done."""
    end = "\r\n" if script.crlf else "\n"
    options = body.get("stream_options") if isinstance(body, dict) else None
    asked = isinstance(options, dict) and options.get("include_usage") is True
    place = script.usage_place
    last_chunk = place == "last_chunk" and (asked or script.usage_unasked)
    base = _shape(body, "chat.completion.chunk")

    def event(data: str) -> bytes:
        return f"data: {data}{end}{end}".encode()

    def chunk(delta: dict[str, Any], *, pieces: int, finish: str | None = None) -> bytes:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": finish}
        value = {**base, "choices": [choice]}
        if finish is not None and place == "choice_usage":
            choice["usage"] = usage_of(script, body)
        if place == "every_chunk":
            value["usage"] = usage_of(script, body, pieces=pieces)
        elif finish is not None and place == "final_choice":
            value["usage"] = usage_of(script, body)
        elif last_chunk:
            value["usage"] = None
        return event(_compact(value))

    if script.role_chunk:
        yield "role", chunk({"role": "assistant", "content": ""}, pieces=0)
    pieces = 0
    for delta in _deltas(script):
        if script.error_event is not None and script.error_after == pieces:
            yield "error", event(_compact(script.error_event))
            return
        if script.comment is not None:
            yield "comment", f": {script.comment}{end}{end}".encode()
        pieces += 1
        yield "piece", chunk(delta, pieces=pieces)
    if script.error_event is not None:
        yield "error", event(_compact(script.error_event))
        return
    if script.finish_reason is not None:
        yield "finish", chunk({}, pieces=pieces, finish=script.finish_reason)
    if last_chunk:
        yield "usage", event(_compact({**base, "choices": [], "usage": usage_of(script, body)}))
    if script.done:
        yield "done", event("[DONE]")


def plain_body(script: Script, body: Any) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(script.content) * script.repeat}
    if script.reasoning:
        message["reasoning_content"] = "".join(script.reasoning)
    if script.tool_calls:
        calls = [_tool_call(index, call) for index, call in enumerate(script.tool_calls)]
        message["tool_calls"] = [{key: value for key, value in call.items() if key != "index"} for call in calls]
        message["content"] = message["content"] or None
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": script.finish_reason}
    value = {**_shape(body, "chat.completion"), "choices": [choice]}
    if script.usage_place == "choice_usage":
        choice["usage"] = usage_of(script, body)
    elif script.usage_place != "none":
        value["usage"] = usage_of(script, body)
    return _compact(value).encode()


def error_body(status: int) -> bytes:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return _compact({"error": {"message": f"scripted {status}", "type": kind, "param": None, "code": None}}).encode()


def events_for(script: Script, seen: Seen) -> Iterator[tuple[str, bytes]]:
    """The events of a streamed answer, in the protocol of the path that was asked."""
    if seen.is_responses:
        return responses.stream_events(script, seen.json, responses_usage(script, seen.json))
    if not seen.is_messages:
        return stream_events(script, seen.json)
    return messages.stream_events(script, seen.json, messages_usage(script, seen.json), prompt_tokens(seen.json))


def messages_usage(script: Script, body: Any) -> Any:
    """The usage of an answer in Anthropic's shape: as the script says it, else as usage_of counts it."""
    own = None if script.usage is COMPUTED else script.usage
    return messages.usage_of(own, prompt_tokens(body), piece_count(script))


def responses_usage(script: Script, body: Any) -> Any:
    """The usage of an answer in Responses' shape: as the script says it, else as usage_of counts it."""
    own = None if script.usage is COMPUTED else script.usage
    return responses.usage_of(own, prompt_tokens(body), piece_count(script))


def head(status: int, headers: list[tuple[str, str]]) -> bytes:
    known = status in HTTPStatus._value2member_map_
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase if known else 'Scripted'}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class _Parsed:
    """httptools' callbacks; turns bytes into Seen requests, pipelined ones too."""

    def __init__(self, connection: Connection, at_head: Callable[[Seen], None], at_end: Callable[[Seen], None]) -> None:
        self._connection, self._at_head, self._at_end = connection, at_head, at_end
        self._parser = httptools.HttpRequestParser(self)
        self._seen: Seen | None = None
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._seen, self._body = Seen("", "", [], self._connection, time.monotonic()), bytearray()

    def on_url(self, url: bytes) -> None:
        assert self._seen is not None
        self._seen.path += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        assert self._seen is not None
        self._seen.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        assert self._seen is not None
        self._seen.method = self._parser.get_method().decode()
        self._seen.keep_alive = self._parser.should_keep_alive()
        self._at_head(self._seen)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        assert self._seen is not None
        self._seen.body = bytes(self._body)
        with contextlib.suppress(ValueError, RecursionError):
            self._seen.json = json.loads(self._seen.body)
        self._at_end(self._seen)


class FakeUpstream:
    """The server. `run` serves until it is cancelled; `requests` and `connections` keep what it saw."""

    def __init__(
        self,
        scripts: Mapping[str, Script] | None = None,
        *,
        default: Script | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.scripts: dict[str, Script] = dict(scripts or {})
        self.default = default or Script()
        self.get_answers: dict[str, Any] = {}  # path -> JSON, for GETs other than .../models
        self.requests: list[Seen] = []
        self.calls = 0
        self.connections: list[Connection] = []
        self.port = 0
        self._ssl_context = ssl_context
        self._failed: dict[str | None, int] = {}

    @property
    def url(self) -> str:
        return f"{'http' if self._ssl_context is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> list[Connection]:
        return [connection for connection in self.connections if connection.is_open]

    async def until(self, condition: Callable[[], Any], *, within_s: float = 2.0) -> None:
        """Wait until `condition()` holds; trio.TooSlowError after `within_s`. Looks every 2 ms."""
        with trio.fail_after(within_s):
            while not condition():
                await trio.sleep(0.002)

    async def run(
        self, *, port: int = 0, task_status: trio.TaskStatus["FakeUpstream"] = trio.TASK_STATUS_IGNORED
    ) -> None:
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1", backlog=2048)
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started(self)
        await trio.serve_listeners(self._serve_connection, listeners)

    @contextlib.asynccontextmanager
    async def serving(self, *, port: int = 0) -> AsyncIterator["FakeUpstream"]:
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(self.run, port=port))
            yield self
            nursery.cancel_scope.cancel()

    # ---- one connection ----

    async def _serve_connection(self, tcp: trio.SocketStream) -> None:
        connection = Connection(len(self.connections), time.monotonic())
        self.connections.append(connection)
        stream: trio.abc.Stream = tcp
        try:
            if self._ssl_context is not None:
                stream = trio.SSLStream(tcp, self._ssl_context, server_side=True, https_compatible=True)
            async with trio.open_nursery() as nursery:
                send, receive = trio.open_memory_channel[Seen](math.inf)
                nursery.start_soon(self._read_requests, stream, connection, send, nursery.cancel_scope)
                try:
                    async for seen in receive:
                        await self._answer(stream, seen)
                        if not seen.keep_alive:
                            break
                except _Cut as cut:
                    if cut.how == "rst":
                        tcp.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    # A failed write: the reader is about to say how the peer left.
                    await trio.sleep(0.05)
                nursery.cancel_scope.cancel()
        finally:
            if connection.closed_by_peer_at is None:
                connection.closed_by_us_at = time.monotonic()
            # Only the TCP socket: a TLS goodbye could wait for a peer that is gone.
            tcp.socket.close()

    async def _read_requests(
        self,
        stream: trio.abc.Stream,
        connection: Connection,
        send: trio.MemorySendChannel[Seen],
        scope: trio.CancelScope,
    ) -> None:
        early = False

        def at_head(seen: Seen) -> None:
            nonlocal early
            self.requests.append(seen)
            self.calls += not seen.control
            seen.number = self.calls
            connection.requests += 1
            early = seen.method == "POST" and self.default.early
            if early:
                seen.keep_alive = False
                send.send_nowait(seen)

        def at_end(seen: Seen) -> None:
            if not early:
                send.send_nowait(seen)

        parsed = _Parsed(connection, at_head, at_end)
        how: Literal["fin", "rst"] = "fin"
        try:
            while data := await stream.receive_some(65536):
                parsed.feed(bytes(data))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            how = "rst"
        except httptools.HttpParserError:
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                await stream.send_all(head(400, [("content-length", "0"), ("connection", "close")]))
            scope.cancel()
            return
        connection.closed_by_peer_at, connection.closed_by_peer_how = time.monotonic(), how
        scope.cancel()

    # ---- one answer ----

    def _script_for(self, seen: Seen) -> Script:
        script = self.scripts.get(seen.model, self.default) if seen.model is not None else self.default
        if script.fail_first is not None:
            times, status = script.fail_first
            failed = self._failed.get(seen.model, 0)
            if failed < times:
                self._failed[seen.model] = failed + 1
                if status == 0:
                    return Script(drop="close")
                return Script(
                    status=status, error_body=script.error_body, retry_after=script.retry_after, headers=script.headers
                )  # fmt: skip
        if script.refuse is not None and isinstance(seen.json, dict) and set(script.refuse[1]) <= seen.json.keys():
            return Script(status=script.refuse[0])
        return answering(script, seen.json) if script.offered else script

    async def _answer(self, stream: trio.abc.Stream, seen: Seen) -> None:
        if seen.control or seen.method != "POST":
            await self._answer_control(stream, seen)
            return
        script = self._script_for(seen)
        seen.keep_alive = seen.keep_alive and script.keep_alive
        await trio.sleep(script.head_delay_s)
        if script.drop is not None:
            raise _Cut(script.drop)
        if script.raw_response is not None:
            for data in _sliced(script.raw_response, script.write_size):
                await stream.send_all(data)
            seen.finished_at = time.monotonic()
            raise _Cut("close")
        await self._answer_scripted(stream, seen, script)
        seen.finished_at = time.monotonic()
        if script.early and isinstance(stream, trio.SocketStream):
            # Closing with unread bytes would send a reset that can overtake the answer.
            await stream.send_eof()
            await trio.sleep(5)
        if script.close_idle_after_s is not None:
            await trio.sleep(script.close_idle_after_s)
            raise _Cut("close")

    async def _answer_scripted(self, stream: trio.abc.Stream, seen: Seen, script: Script) -> None:
        streamed = seen.stream and script.status == 200 and script.raw_body is None and not script.gzip
        framing = script.framing or ("chunked" if streamed else "length")
        whole = b"" if streamed else self._whole_body(seen, script)
        length = len(whole)
        if streamed and framing == "length":
            length = sum(len(event) for _, event in events_for(script, seen))
        kind = "text/event-stream" if seen.stream and script.status == 200 else "application/json"
        headers = [("content-type", script.content_type or kind), ("x-request-id", f"req_{seen.number}")]
        headers += script.headers
        headers += [("content-encoding", "gzip")] * script.gzip
        headers += [("retry-after", str(script.retry_after))] * (script.retry_after is not None)
        headers += [("location", str(script.location))] * (script.location is not None)
        if framing == "chunked":
            headers.append(("transfer-encoding", "chunked"))
        elif framing == "length":
            headers.append(("content-length", str(length)))
        else:
            seen.keep_alive = False
        headers += [("connection", "close")] * (not seen.keep_alive)
        await stream.send_all(head(script.status, headers))
        seen.head_sent_at = time.monotonic()

        async def write(data: bytes) -> None:
            for part in _sliced(data, script.write_size):
                await stream.send_all(b"%x\r\n%b\r\n" % (len(part), part) if framing == "chunked" else part)

        if streamed:
            await self._write_events(write, seen, script)
        else:
            await self._write_whole(write, whole, script)
        if script.cut_after == "end":
            raise _Cut(script.cut)
        if framing == "chunked":
            await stream.send_all(b"0\r\n\r\n")

    def _whole_body(self, seen: Seen, script: Script) -> bytes:
        if script.raw_body is not None:
            body = script.raw_body
        elif script.error_body is not None:
            body = _compact(script.error_body).encode()
        elif script.status >= 400:
            body = messages.error_body(script.status) if seen.is_messages else error_body(script.status)
        elif script.status >= 300 or script.status == 204:
            body = b""
        elif seen.stream:
            body = b"".join(event for _, event in events_for(script, seen))
        elif seen.is_messages:
            body = messages.plain_body(script, seen.json, messages_usage(script, seen.json))
        elif seen.is_responses:
            body = responses.plain_body(script, seen.json, responses_usage(script, seen.json))
        else:
            body = plain_body(script, seen.json)
        return gzip.compress(body, mtime=0) if script.gzip else body

    async def _write_whole(self, write: Callable[[bytes], Any], body: bytes, script: Script) -> None:
        """A body that is not a stream of events: cut_after and hang_after count as "half of it"."""
        await trio.sleep(script.first_delay_s)
        if isinstance(script.cut_after, int) or script.hang_after is not None:
            await write(body[: len(body) // 2])
            if script.hang_after is not None:
                await trio.sleep_forever()
            raise _Cut(script.cut)
        if body:
            await write(body)

    async def _write_events(self, write: Callable[[bytes], Any], seen: Seen, script: Script) -> None:
        waiting: list[bytes] = []
        pieces = 0  # of them seen.pieces_sent are written

        async def flush() -> None:
            if waiting:
                data = b"".join(waiting)
                waiting.clear()
                await write(data)
            seen.pieces_sent = pieces

        for kind, event in events_for(script, seen):
            if kind != "role":
                if pieces == script.cut_after:
                    await flush()
                    raise _Cut(script.cut)
                if pieces == script.hang_after:
                    await flush()
                    await trio.sleep_forever()
                if kind == "piece" and (delay_s := script.piece_delay_s if pieces else script.first_delay_s):
                    await flush()
                    await trio.sleep(delay_s)
            waiting.append(event)
            pieces += kind == "piece"
            if len(waiting) >= script.events_per_write or kind == "role":
                await flush()
        await flush()

    async def _answer_control(self, stream: trio.abc.Stream, seen: Seen) -> None:
        """GETs, and the control routes of a fake that runs as a process."""
        status, value = 200, None
        path = seen.path.partition("?")[0]
        if path == "/_fake/state":
            value = self.state()
        elif path == "/_fake/scripts" and isinstance(seen.json, dict):
            self.scripts.update(scripts_from_json(seen.json))
            value = {"models": sorted(self.scripts)}
        elif path == "/_fake/answers" and isinstance(seen.json, dict):
            self.get_answers.update(seen.json)
            value = {"paths": sorted(self.get_answers)}
        elif path in self.get_answers:
            value = self.get_answers[path]
        elif seen.method == "GET" and path.endswith("/models"):
            data = [
                {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "fake"} for name in self.scripts
            ]
            value = {"object": "list", "data": data}
        else:
            status, value = 404, json.loads(error_body(404))
        body = _compact(value).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
        await stream.send_all(head(status, headers) + body)
        seen.finished_at = time.monotonic()

    def state(self) -> dict[str, Any]:
        """What it saw, as JSON: for tests in another process (control requests are left out)."""
        requests = [
            {
                "method": seen.method,
                "path": seen.path,
                "headers": seen.headers,
                "json": seen.json,
                "connection": seen.connection.number,
                "at": seen.at,
                "pieces_sent": seen.pieces_sent,
                "finished_at": seen.finished_at,
            }
            for seen in self.requests
            if not seen.control
        ]
        connections = [vars(connection) for connection in self.connections]
        return {"now": time.monotonic(), "requests": requests, "connections": connections}


def _sliced(data: bytes, size: int | None) -> Iterator[bytes]:
    if size is None:
        yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]


def scripts_from_json(value: Mapping[str, Mapping[str, Any]]) -> dict[str, Script]:
    """{"model": {"content": ["a", "b"], "status": 200, ...}} -> scripts; lists become tuples, raw_* are latin-1
    text."""

    def knob(name: str, given: Any) -> Any:
        if name in ("raw_body", "raw_response"):
            return given.encode("latin-1")
        if name == "headers":
            return tuple((key, text) for key, text in given)
        return tuple(given) if isinstance(given, list) and name not in ("usage", "error_body", "error_event") else given

    return {
        model: Script(**{name: knob(name, given) for name, given in knobs.items()}) for model, knobs in value.items()
    }


async def _main(port: int, scripts: dict[str, Script], context: ssl.SSLContext | None) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with FakeUpstream(scripts, ssl_context=context).serving(port=port) as fake:
            print(f"ready {fake.url}", flush=True)
            async for _ in signals:
                break


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="A scripted LLM upstream on 127.0.0.1")
    arguments.add_argument("--port", type=int, default=0, help="0: chosen by the OS")
    arguments.add_argument("--scripts", type=Path, help="JSON file: model -> knobs of Script")
    arguments.add_argument("--cert", type=Path, help="PEM chain: speak TLS, with --key")
    arguments.add_argument("--key", type=Path)
    given = arguments.parse_args()
    secure = None
    if given.cert:
        secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        secure.load_cert_chain(given.cert, given.key)
    trio.run(
        _main, given.port, scripts_from_json(json.loads(given.scripts.read_text())) if given.scripts else {}, secure
    )
