"""Targets of what is said: request bodies, answers and streams of each dialect, events, lists of prices, configs."""

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from ftgate import config, dialects
from ftgate.dialects import sse
from ftgate.dialects.talk import Dialect, Meter, NotAnAnswer
from ftgate.errors import ConfigFaults, GateError, InvalidRequest
from ftgate.providers import lists
from tests.config.reading import CHANNEL, ENVIRON
from tests.fuzz.bending import pieces

_TALK = {
    "model": "m", "stream": True, "temperature": 0.5, "stop": ["x"], "max_tokens": 9, "tool_choice": "auto",
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hi 😀"},
                                     {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}}]},
        {"role": "assistant", "content": None,
         "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    "routing": "cheapest", "provider_key": {"provider": "deepseek", "api_key": "sk-1234567890"},
}  # fmt: skip
_MESSAGES = {
    "model": "m", "max_tokens": 9, "system": [{"type": "text", "text": "s"}], "stream": True, "stop_sequences": ["x"],
    "thinking": {"type": "enabled", "budget_tokens": 1024}, "metadata": {"user_id": "u"},
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"},
                                          {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1",
                                      "content": [{"type": "text", "text": "r"}]}]},
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}],
}  # fmt: skip
_RESPONSES = {
    "model": "m", "instructions": "s", "max_output_tokens": 99, "stream": True, "reasoning": {"effort": "low"},
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "gAAAA"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
    ],
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    "text": {"format": {"type": "text"}},
}  # fmt: skip
BODIES: Mapping[str, tuple[bytes, ...]] = {
    "openai_chat": (json.dumps(_TALK).encode(), b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'),
    "anthropic_messages": (json.dumps(_MESSAGES).encode(),),
    "openai_responses": (json.dumps(_RESPONSES).encode(), b'{"model":"m","input":"hi"}'),
    "openai_completions": (b'{"model":"m","prompt":["a","b"],"max_tokens":5,"suffix":null,"echo":false,"n":1}',),
    "openai_embeddings": (b'{"model":"m","input":["a",[1,2]],"encoding_format":"base64","dimensions":8}',),
}


TRANSLATED = ("openai_chat", "anthropic_messages", "openai_responses")


def body_of(name: str) -> Callable[[bytes], None]:
    """A request body in this dialect is read or refused in words, and what is read can be said in each other one."""
    dialect = dialects.ALL[name]

    def body(data: bytes) -> None:
        try:
            ask = dialect.read_request(data)
        except InvalidRequest as refused:
            assert refused.message and refused.status in (400, 404, 413)
            return
        assert ask.prompt.likely >= 0 and ask.answers >= 0 and (ask.cap is None or ask.cap >= 0)
        if name in TRANSLATED:
            try:
                talk = dialect.talk_of(ask)
                for other in TRANSLATED:
                    _said(dialects.ALL[other], talk)
            except InvalidRequest:
                return

    return body


def _said(other: Dialect, talk: object) -> None:
    try:
        fields = other.render_talk(talk)  # type: ignore[arg-type]
    except InvalidRequest:
        return
    assert isinstance(fields, dict)


_USED = '"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}'
WHOLE: Mapping[str, tuple[bytes, ...]] = {
    "openai_chat": (
        b'{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},'
        b'"finish_reason":"stop"}],%s}' % _USED.encode(),
        b'{"error":{"message":"no","type":"x","code":429}}',
    ),
    "anthropic_messages": (
        b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],'
        b'"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}',
    ),
    "openai_responses": (
        b'{"id":"resp_1","object":"response","status":"completed","output":[{"type":"message","role":"assistant","id":"m",'
        b'"content":[{"type":"output_text","text":"hi","annotations":[]}]}],"usage":{"input_tokens":3,"output_tokens":2}}',
    ),
    "openai_completions": (
        b'{"id":"x","choices":[{"index":0,"text":"hi","finish_reason":"stop"}],%s}' % _USED.encode(),
    ),
    "openai_embeddings": (b'{"data":[{"index":0,"embedding":[0.5]}],"usage":{"prompt_tokens":3,"total_tokens":3}}',),
}
STREAMS: Mapping[str, tuple[bytes, ...]] = {
    "openai_chat": (
        b'data: {"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"he"},"finish_reason":null}]}\n\n'
        b'data: {"id":"x","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f",'
        b'"arguments":"{}"}}]},"finish_reason":"stop"}]}\n\ndata: {"choices":[],%s}\n\ndata: [DONE]\n\n'
        % _USED.encode(),
    ),
    "anthropic_messages": (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant",'
        b'"content":[],"model":"m","usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text",'
        b'"text":""}}'
        b'\n\nevent: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
        b'"text":"hi"}}\n\nevent: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
        b'"usage":{"output_tokens":2}}'
        b'\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
    ),
    "openai_responses": (
        b'event: response.created\ndata: {"type":"response.created","response":{"id":"r","status":"in_progress",'
        b'"output":[]}}'
        b'\n\nevent: response.output_item.added\ndata: {"type":"response.output_item.added","output_index":0,'
        b'"item":{"type":"message","id":"m","role":"assistant"'
        b',"content":[]}}\n\nevent: response.output_text.delta\ndata: {"type":'
        b'"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"delta":"hi"}\n\n'
        b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"r","status":"completed",'
        b'"output":[],"usage":{"input_tokens":3,"output_tokens":2}}}\n\n',
    ),
    "openai_completions": (
        b'data: {"id":"x","choices":[{"index":0,"text":"hi","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    ),
}


def whole_of(name: str) -> Callable[[bytes], None]:
    """A whole answer is one or is none, and an error's words can be read whatever they are."""
    dialect = dialects.ALL[name]

    def whole(data: bytes) -> None:
        meter = Meter()
        try:
            dialect.read_answer(data, meter)
        except NotAnAnswer:
            return
        finally:
            dialect.read_error(data)
        if name in STREAMS:
            try:
                dialect.stream_of(data)
                if dialect.NAME in TRANSLATED:
                    list(dialect.events_of(data))
            except NotAnAnswer:
                return

    return whole


def stream_of(name: str) -> Callable[[bytes], None]:
    """A stream that comes in pieces is read to its end, and says no more than one that comes at once."""
    dialect = dialects.ALL[name]

    def read(parts: list[bytes]) -> tuple[bytes, object]:
        meter = Meter()
        reader = dialect.StreamReader(meter, show_usage=True)
        passed = b"".join([*(reader.feed(part) for part in parts if part), reader.end()])
        assert meter.output() >= 0 and (meter.reported is None or meter.reported.output >= 0)
        return passed, (reader.state, meter.reported, reader.complaint is None)

    def stream(data: bytes) -> None:
        at_once = read([data])
        in_parts = read(pieces(data, random.Random(len(data))))
        assert at_once == in_parts, (data, at_once, in_parts)

    return stream


def events(data: bytes) -> None:
    """However a stream of events is cut, its events are the same and no byte of it is lost."""

    def read(parts: list[bytes]) -> tuple[list[bytes], bytes]:
        reader = sse.Reader()
        raws = [event.raw for part in parts for event in reader.feed(part)]
        return raws, reader.rest()

    at_once, left = read([data])
    in_parts, cut_left = read(pieces(data, random.Random(len(data))))
    assert b"".join(at_once) + left == b"".join(in_parts) + cut_left == data


EVENTS = (
    b"data: x\n\n: c\n\nevent: e\r\ndata: a\r\ndata: b\r\n\r\n", b"\xef\xbb\xbfdata: x\r\rdata:y\n\r\n",
    b"data\n\nid: 1\n\n",
    'data: {"a":"\u2028\x85"}\n\n'.encode(),
)  # fmt: skip
PRICES: Mapping[str, tuple[bytes, ...]] = {
    "litellm": (
        b'{"deepseek/x":{"litellm_provider":"deepseek","mode":"chat","input_cost_per_token":1e-06,'
        b'"output_cost_per_token":2e-06,"max_input_tokens":1000,"input_cost_per_token_above_128k_tokens":2e-06}}',
        b'{"a/b":{"litellm_provider":"a","mode":"chat","input_cost_per_token":1e-06,"output_cost_per_token":1e-06,'
        b'"off_peak_pricing":{"input_cost_per_token":5e-07,"windows":[{"hours_utc":"16:00-00:00","weekdays":[1,2]}]}}}',
    ),
    "models.dev": (
        b'{"deepseek":{"models":{"x":{"cost":{"input":1,"output":2,"cache_read":0.1},"limit":{"context":1000,"output":9}}}}}',
    ),
    "openrouter": (
        b'{"data":[{"id":"deepseek/x","pricing":{"prompt":"0.000001","completion":"0.000002"},"context_length":1000}]}',
    ),
}


def prices_of(format: str) -> Callable[[bytes], None]:
    """A list of prices is read or refused in words; no price of it is negative."""

    def prices(data: bytes) -> None:
        try:
            found = lists.read(format, data.decode("utf-8", "replace"))
        except ValueError as refused:
            assert str(refused)
            return
        assert found and all(isinstance(one.trouble, str) for rows in found.values() for one in rows.values())

    return prices


CONFIGS = (
    CHANNEL.encode(),
    b'[server]\nhost = "127.0.0.1"\nport = 8080\npublic_url = "https://x.example"\ntrusted_proxies = ["10.0.0.0/8"]\n'
    + CHANNEL.encode(),
    b"[limits]\ndefault_rps = 5\n[plans.pro]\nmultiplier = 0.5\n[aliases]\na = 'm'\n" + CHANNEL.encode(),
)
_FOLDER = TemporaryDirectory()


def configured(data: bytes) -> None:
    """A config is one, or all that is wrong with it is said."""
    path = Path(_FOLDER.name) / "ftgate.toml"
    path.write_bytes(data)
    try:
        config.load(path, ENVIRON, None)
    except ConfigFaults as faulty:
        assert faulty.faults and not any(secret in str(faulty.faults) for secret in ENVIRON.values())
    except GateError as refused:
        assert refused.message
