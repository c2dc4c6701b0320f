"""What translation costs, in one process and without a socket: a request, and an event of a stream, in every direction,
beside what each costs where both sides speak one dialect. `scripts/translation`.

A stream is short texts, one event each. It is fed one event a piece, as models send them, and twenty a piece, as a busy
network hands them over. Each figure is the best of several rounds, in which all directions take turns.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial

from ftgate import dialects
from ftgate.dialects.talk import Aim, Dialect, Meter, Reader, Told
from ftgate.line.passing import Translated
from ftgate.line.translation import said_in

NAMES = ("openai_chat", "anthropic_messages", "openai_responses")
CALLERS = (*NAMES, "openai_completions")
Said = dict[str, object]
WORD = " token"
TURNS = [
    {"role": role, "content": "A question, or an answer, of some ten words. " * 8} for role in ("user", "assistant")
]
SCHEMA = {"type": "object", "properties": {name: {"type": "string"} for name in ("path", "old", "new")}}
TOOL = {"name": "edit", "description": "Edits a file. " * 10}
ASKED: dict[str, dict[str, object]] = {
    "openai_chat": {
        "messages": [{"role": "system", "content": "Be brief. " * 100}, *TURNS * 10, TURNS[0]],
        "tools": [{"type": "function", "function": {**TOOL, "parameters": SCHEMA}}] * 10,
    },
    "anthropic_messages": {
        "system": "Be brief. " * 100, "messages": [*TURNS * 10, TURNS[0]], "max_tokens": 1000,
        "tools": [{**TOOL, "input_schema": SCHEMA}] * 10,
    },
    "openai_responses": {
        "instructions": "Be brief. " * 100, "input": [*TURNS * 10, TURNS[0]],
        "tools": [{"type": "function", **TOOL, "parameters": SCHEMA}] * 10,
    },
    "openai_completions": {"prompt": "Be brief. " * 900},
}  # fmt: skip
"""A request of some ten kilobytes in each dialect."""


def stream(name: str, events: int) -> tuple[bytes, list[bytes]]:
    """What an upstream streams before its first text, and its texts."""
    match name:
        case "openai_chat":
            head = (
                '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"big","choices":[{"index":0,'
            )
            text = f'data: {head}"delta":{{"content":"{WORD}"}},"finish_reason":null}}]}}\n\n'
            return f'data: {head}"delta":{{"role":"assistant"}},"finish_reason":null}}]}}\n\n'.encode(), [
                text.encode()
            ] * events
        case "anthropic_messages":
            usage = {"input_tokens": 9, "output_tokens": 1}
            message: Said = {"id": "msg_1", "type": "message", "role": "assistant", "model": "big", "content": [],
                       "stop_reason": None, "stop_sequence": None, "usage": usage}  # fmt: skip
            block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
            first = _named({"type": "message_start", "message": message}) + _named(block)
            delta = {"type": "text_delta", "text": WORD}
            return first, [_named({"type": "content_block_delta", "index": 0, "delta": delta})] * events
        case _:
            response: Said = {
                "id": "resp_1",
                "object": "response",
                "status": "in_progress",
                "model": "big",
                "output": [],
            }
            item: Said = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
            part: Said = {"type": "output_text", "text": "", "annotations": []}
            place: Said = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
            first = b"".join(map(_named, (
                {"type": "response.created", "sequence_number": 0, "response": response},
                {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": item},
                {"type": "response.content_part.added", "sequence_number": 2, **place, "part": part},
            )))  # fmt: skip
            piece: Said = {"type": "response.output_text.delta", **place, "delta": WORD, "logprobs": []}
            return first, [_named({**piece, "sequence_number": 3 + at}) for at in range(events)]


def _named(said: dict[str, object]) -> bytes:
    return f"event: {said['type']}\ndata: {json.dumps(said, separators=(',', ':'))}\n\n".encode()


def _body(name: str) -> bytes:
    return json.dumps({"model": "m", "stream": True, **ASKED[name]}).encode()


def reader(caller: str, upstream: str) -> Reader:
    """As the line makes it for a caller and an upstream of these dialects."""
    own, other = dialects.ALL[caller], dialects.ALL[upstream]
    passing = other.StreamReader(Meter(), show_usage=True)
    if caller == upstream:
        return passing
    ask = own.read_request(_body(caller))
    told = Told(ask=ask, talk=own.talk_of(ask), id="req_1", created=1, model="m", prompt=9, now=lambda: 1)
    return Translated(other, passing, own.Writer(told))


def event_s(caller: str, upstream: str, pieces: list[bytes], head: bytes, events: int) -> float:
    """Seconds an event."""
    feed = reader(caller, upstream).feed
    feed(head)
    start = time.perf_counter()
    for piece in pieces:
        feed(piece)
    return (time.perf_counter() - start) / events


def request_s(caller: str, upstream: str, times: int) -> float:
    """Seconds a request, from the caller's body to the upstream's."""
    own, other, body = dialects.ALL[caller], dialects.ALL[upstream], _body(caller)
    aim = Aim("up", 1000, other.CAP_FIELDS[0], usage=True)
    start = time.perf_counter()
    for _ in range(times):
        _render(own, other, body, aim)
    return (time.perf_counter() - start) / times


def _render(own: Dialect, other: Dialect, body: bytes, aim: Aim) -> bytes:
    ask = own.read_request(body)
    return other.render(ask if own is other else said_in(other, ask, own.talk_of(ask)), aim)


def best(runs: dict[tuple[str, str], Callable[[], float]], rounds: int) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for _ in range(rounds):
        for way, run in runs.items():
            found[way] = min(found.get(way, 1.0), run())
    return found


def tables(events: int, rounds: int) -> Iterator[str]:
    """Markdown, a table each."""
    ways = [(caller, name) for name in NAMES for caller in (name, *(one for one in CALLERS if one != name))]
    for size in (1, 20):
        runs: dict[tuple[str, str], Callable[[], float]] = {}
        for caller, name in ways:
            head, texts = stream(name, events)
            pieces = [b"".join(texts[at : at + size]) for at in range(0, events, size)]
            runs[caller, name] = partial(event_s, caller, name, pieces, head, events)
        yield _table(f"An event of a stream, {size} a piece", best(runs, rounds))
    asked: dict[tuple[str, str], Callable[[], float]] = {
        way: partial(request_s, *way, max(events // 100, 1)) for way in ways
    }
    yield _table("A request of ten kilobytes", best(asked, rounds))


def _table(title: str, found: dict[tuple[str, str], float]) -> str:
    lines = [f"## {title}", "", "| upstream | caller | µs | of untouched | a second |", "|---|---|---:|---:|---:|"]
    for (caller, name), seconds in found.items():
        times = f"{found[name, name] / seconds:.0%}"
        lines.append(f"| {name} | {caller} | {seconds * 1e6:.2f} | {times} | {1 / seconds:,.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/translation", description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--events", type=int, default=5000, help="in each stream [5000]")
    parser.add_argument("--rounds", type=int, default=7, help="of which the best counts [7]")
    chosen = parser.parse_args()
    for table in tables(chosen.events, chosen.rounds):
        print(table)


if __name__ == "__main__":
    main()
