"""What a Responses upstream answers, in neutral words: Events for a stream, events_of for a whole answer.

A stream's events come here as StreamReader passes them on, the last one too. What an upstream sealed of its thinking is
the seal of the thought (envelope.seal_of), and goes back to its kind alone.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from ftgate.core.usage import count
from ftgate.dialects.fields import dumps, loads, text_of
from ftgate.dialects.logprobs import Tokens, tokens_of
from ftgate.dialects.neutral import (
    Began,
    CallBegan,
    CallPart,
    Event,
    Finished,
    Reason,
    Refused,
    Said,
    Sealed,
    Signed,
    Thought,
)  # fmt: skip
from ftgate.dialects.openai_responses.answer import items_of
from ftgate.dialects.openai_responses.envelope import seal_of

_SAYS: Mapping[str, type[Said] | type[Refused] | type[Thought]] = {
    "response.output_text.delta": Said,
    "response.refusal.delta": Refused,
    "response.reasoning_summary_text.delta": Thought,
    "response.reasoning_text.delta": Thought,
}
_CALLS = ("function_call", "custom_tool_call")
_INCOMPLETE: Mapping[str, Reason] = {"max_output_tokens": "length", "content_filter": "filter"}


_TEXT = b'{"type":"response.output_text.delta",'
"""How a piece of text begins, as OpenAI and most others write it."""


class _Piece(msgspec.Struct, gc=False):
    output_index: int
    delta: str
    logprobs: list[object] = []


_piece = msgspec.json.Decoder(_Piece)


class Events:
    """Reads one stream (talk.Events)."""

    def __init__(self) -> None:
        self._began = False
        self._told: set[int] = set()  # items of which pieces have come
        self._calls: dict[int, str] = {}  # items that are calls: their type
        self._thinks: dict[int, str] = {}  # items that think: the event whose pieces are read
        self._finished = False

    def read(self, data: bytes) -> Iterable[Event]:
        if self._began and data.startswith(_TEXT):  # nearly every event
            try:
                piece = _piece.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
            else:
                self._told.add(piece.output_index)
                if piece.logprobs:
                    return (Said(piece.delta, tokens_of(piece.logprobs)),)
                return (Said(piece.delta),) if piece.delta else ()
        said = loads(data)
        return self._read(said) if isinstance(said, dict) else ()

    def _read(self, said: Mapping[str, object]) -> Iterator[Event]:
        kind, index = text_of(said.get("type")), count(said.get("output_index")) or 0
        response, item = said.get("response"), said.get("item")
        if not self._began:
            self._began = True
            yield Began(text_of(response.get("model")) if isinstance(response, dict) else "")
        if kind in _SAYS:
            yield from self._piece(kind, index, text_of(said.get("delta")), tokens_of(said.get("logprobs")))
        elif kind == "response.function_call_arguments.delta":
            if index in self._calls:  # of one that has not said its name, all is told when it is whole
                self._told.add(index)
                yield CallPart(index, text_of(said.get("delta")))
        elif kind == "response.reasoning_summary_part.added" and count(said.get("summary_index")):
            yield Thought("\n\n")
        elif kind == "response.output_item.added" and isinstance(item, dict):
            yield from self._call(index, item)
        elif kind == "response.output_item.done" and isinstance(item, dict):
            yield from self._done(index, item)
        elif kind in ("response.completed", "response.incomplete") and isinstance(response, dict):
            yield from self._end(response)

    def _piece(self, kind: str, index: int, text: str, logprobs: Tokens) -> Iterator[Event]:
        says = _SAYS[kind]
        if says is Thought and self._thinks.setdefault(index, kind) != kind:
            return  # the same thought, in its summary and in full
        self._told.add(index)
        if text or logprobs:
            yield Said(text, logprobs) if says is Said else says(text)

    def _call(self, index: int, item: Mapping[str, object], *, whole: bool = False) -> Iterator[Event]:
        """A call that begins: when it has a name, or when it is whole and has none, since what it holds is not lost."""
        kind, name = text_of(item.get("type")), text_of(item.get("name"))
        if kind in _CALLS and index not in self._calls and (name or whole):
            self._calls[index] = kind
            yield CallBegan(index, text_of(item.get("call_id")) or text_of(item.get("id")) or f"call_{index}", name)

    def _done(self, index: int, item: Mapping[str, object]) -> Iterator[Event]:
        """An item that is whole: what its pieces have not told is told now."""
        kind = item.get("type")
        if kind in _CALLS:
            yield from self._call(index, item, whole=True)
        if kind == "reasoning":
            thoughts = [] if index in self._told else [Thought(text) for text in _thoughts(item)]
            yield from thoughts
            if sealed := text_of(item.get("encrypted_content")):
                yield Signed(seal_of(sealed)) if thoughts or index in self._told else Sealed(seal_of(sealed))
        elif index not in self._told:
            if kind == "message":
                yield from _message(item)
            elif kind == "function_call" and (arguments := text_of(item.get("arguments"))):
                yield CallPart(index, arguments)
            elif kind == "custom_tool_call":
                yield CallPart(index, dumps({"input": text_of(item.get("input"))}).decode())
        self._told.add(index)

    def _end(self, response: Mapping[str, object]) -> Iterator[Event]:
        if self._finished:
            return
        self._finished = True
        if not self._told:  # some bring everything at the end
            for index, item in enumerate(items_of(response)):
                yield from self._done(index, item)
        details = response.get("incomplete_details")
        if response.get("status") == "incomplete":
            reason = details.get("reason") if isinstance(details, dict) else None
            yield Finished(_INCOMPLETE.get(text_of(reason), "length"))
        else:
            yield Finished("calls" if self._calls else "end")


def events_of(body: bytes) -> Iterator[Event]:
    """The events of a whole answer that read_answer has looked through."""
    said = loads(body)
    assert isinstance(said, dict)
    yield Began(text_of(said.get("model")))
    yield from Events()._end(said)


def _thoughts(item: Mapping[str, object]) -> list[str]:
    """What is shown of a thought: its summary, else what it was."""
    for name in ("summary", "content"):
        parts = item.get(name)
        texts = (
            [text_of(part.get("text")) for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
        )
        if any(texts):
            return ["\n\n".join(filter(None, texts))]
    return []


def _message(item: Mapping[str, object]) -> Iterator[Event]:
    parts = item.get("content")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict):
            text, logprobs = text_of(part.get("text")), tokens_of(part.get("logprobs"))
            if text or logprobs:
                yield Said(text, logprobs)
            if refusal := text_of(part.get("refusal")):
                yield Refused(refusal)
