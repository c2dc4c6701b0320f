"""What a chat upstream answers, in neutral words: Events for a stream, events_of for a whole answer.

A stream's events come here as StreamReader passes them on: chunks that can be read, usage and end marker taken out.
Calls come in fragments told apart by an index. Some providers give every call the same one, and each its own id, or no
id either; some send an id late, a new one with each fragment, or one for all calls; some put a fragment under another
index than its call's. No call may take another's arguments, or lose its own (Events._belongs).

What is sealed (seals.py) is said before the call or the text that it belongs to, or once it comes. A text's own seal is
said when it comes before the text: behind it, it would be the last block of an answer whose last block clients take for
what was said.
"""

from collections.abc import Iterable, Iterator, Mapping

from ftgate.core.usage import count
from ftgate.dialects.fields import dumps, loads
from ftgate.dialects.in_turn import Arguments
from ftgate.dialects.logprobs import tokens_of
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
    Thought,
)
from ftgate.dialects.openai_chat.answer import UNKNOWN, Message, ends, plain
from ftgate.dialects.openai_chat.seals import DETAILS, FIELD, Details, seal_of

_REASONS: Mapping[str, Reason] = {
    "stop": "end",
    "length": "length",
    "tool_calls": "calls",
    "function_call": "calls",
    "content_filter": "filter",
    "max_tokens": "length",
    "model_length": "context",
    "model_context_window_exceeded": "context",
    "sensitive": "filter",
    "safety": "filter",
    "recitation": "filter",
}
"""OpenAI's, then those of Gemini, Mistral and Zhipu."""


class _Call:
    """A call while its fragments come."""

    __slots__ = ("arguments", "began", "brought", "id", "key", "name", "told", "waiting")

    def __init__(self, key: int) -> None:
        self.key = key
        self.id = ""
        self.name = ""
        self.arguments = Arguments()
        self.waiting = ""  # arguments that came before the name
        self.began = False
        self.told = ""  # the id under which it has begun
        self.brought: Mapping[str, object] = {}  # the fragment beside which its seal stands


class Events:
    """Reads one stream (talk.Events). Of several answers (n) the first is read."""

    def __init__(self) -> None:
        self._began = False
        self._answer = ""  # the upstream's id of the answer
        self._calls: dict[int, _Call] = {}  # by index: the call that its fragments belong to
        self._last: _Call | None = None  # of which a fragment came
        self._ids: set[str] = set()  # under which calls have begun
        self._made = 0
        self._said = False  # some text has come
        self._details = Details()

    def read(self, data: bytes) -> Iterable[Event]:
        """A text alone, as nearly every event is, is read in one go."""
        if self._began:
            try:
                (choice,) = plain.decode(data).choices
            except (*UNKNOWN, ValueError):
                pass
            else:
                text = None
                if choice.index == 0 and not choice.finish_reason and choice.logprobs is None:
                    text = _just_text(choice.delta)
                if text is not None and not self._details.sealed:
                    self._said = self._said or bool(text)
                    return (Said(text),) if text else ()
        said = loads(data)
        return self._read(said, "delta") if isinstance(said, dict) else ()

    def _read(self, said: Mapping[str, object], place: str) -> Iterator[Event]:
        """An answer or a chunk of any shape; `place` is where its choices hold their message."""
        if not self._began:
            self._began = True
            self._answer = _text(said.get("id"))
            yield Began(_text(said.get("model")))
        choices = said.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict) or (count(choice.get("index")) or 0) != 0:
                continue
            message = choice.get(place) or choice.get("message") or choice.get("delta")
            if isinstance(message, dict):
                told = choice.get("logprobs")
                yield from self._message(message, told.get("content") if isinstance(told, dict) else None)
            elif choice.get("text"):
                yield Said(_text(choice["text"]))
            if ends(finish := choice.get("finish_reason")):
                yield from self._finish(_text(finish))

    def _message(self, message: Mapping[str, object], logprobs: object) -> Iterator[Event]:
        """What one message or delta says; `logprobs` are its text's. Those of a refusal have no place elsewhere."""
        yield from map(Thought, _thoughts(message))
        self._details.take(message.get(DETAILS))
        if not self._said and (seal := seal_of(message, "")):
            yield Sealed(seal)
        text, tokens = _text(message.get("content")), tokens_of(logprobs)
        if text or tokens:
            self._said = self._said or bool(text)
            yield from self._sealed()
            yield Said(text, tokens)
        if refusal := _text(message.get("refusal")):
            yield Refused(refusal)
        calls = message.get("tool_calls")
        for at, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                index = count(call.get("index"))
                yield from self._call(at if index is None else index, call)
        if isinstance(function := message.get("function_call"), dict):
            yield from self._call(0, {"function": function})

    def _sealed(self) -> Iterator[Event]:
        if seal := self._details.seal():
            yield Sealed(seal)

    def _call(self, index: int, said: Mapping[str, object]) -> Iterator[Event]:
        id, function = _text(said.get("id")), said.get("function")
        made = function if isinstance(function, dict) else {}
        name, arguments = _text(made.get("name")), _arguments(made.get("arguments"))
        call = self._calls.get(index)
        if call is None and not (id or name) and self._last is not None and not self._last.arguments.whole():
            call = self._last
        elif call is None or not _belongs(call, id, name, arguments):
            if call is not None:
                yield from self._begin(call)
            call = self._calls[index] = _Call(self._made)
            self._made += 1
        self._last = call
        call.id, call.name = call.id or id, call.name or name
        if arguments:
            call.arguments.add(arguments)
        if FIELD in said and not seal_of(call.brought, ""):
            call.brought = said
            if call.began and (seal := seal_of(said, call.told)):
                yield Sealed(seal)
        if not call.began:
            call.waiting += arguments
            if call.name and (call.id or call.waiting):
                yield from self._begin(call)
        elif arguments:
            yield CallPart(call.key, arguments)

    def _begin(self, call: _Call) -> Iterator[Event]:
        """Say that a call has begun, if that has not been said and there is a name to it."""
        if call.began or not call.name:
            return
        call.began = True
        call.told = call.id or f"call_{self._answer or 'none'}_{call.key}"
        if call.told in self._ids:
            call.told = f"{call.told}_{call.key}"
        self._ids.add(call.told)
        yield from self._sealed()
        if seal := seal_of(call.brought, call.told):
            yield Sealed(seal)
        yield CallBegan(call.key, call.told, call.name)
        if call.waiting:
            yield CallPart(call.key, call.waiting)

    def _finish(self, finish: str) -> Iterator[Event]:
        for call in self._calls.values():
            yield from self._begin(call)
        reason = _REASONS.get(finish.lower().partition(":")[0], "end")  # Gemini's layer says why behind a colon
        called = any(call.began for call in self._calls.values())
        if called:
            yield from self._sealed()
        yield Finished("calls" if reason == "end" and called else reason)


def _belongs(call: _Call, id: str, name: str, arguments: str) -> bool:
    """Whether a fragment under a call's index is one of its own, and does not begin another call. A fragment without a
    name never begins one that could be told, unless its id says so where the call before is whole."""
    if id and call.id and id != call.id:
        return not name and not call.arguments.whole()
    if not (name and call.name) or (id and id == call.id):
        return True
    return not ((arguments or name != call.name) and call.arguments.whole())


def _thoughts(message: Mapping[str, object]) -> list[str]:
    """What a message or a delta says of thinking, under whichever name: one thought may stand under several."""
    for name in ("reasoning_content", "reasoning"):
        if thought := _text(message.get(name)):
            return [thought]
    parts, details = message.get("content"), message.get(DETAILS)
    among = [
        _text(part.get("thinking"))
        for part in (parts if isinstance(parts, list) else ())
        if isinstance(part, dict) and part.get("type") == "thinking"
    ]
    told = [
        _text(detail.get("text")) or _text(detail.get("summary"))
        for detail in (details if isinstance(details, list) else ())
        if isinstance(detail, dict)
    ]
    return [thought for thought in (among if any(among) else told) if thought]


def _arguments(value: object) -> str:
    """The text of a call's arguments, which some send as the object itself."""
    return dumps(value).decode() if isinstance(value, dict) else _text(value)


def events_of(body: bytes) -> Iterator[Event]:
    """The events of a whole answer that read_answer has looked through. One that does not say why it ended has ended
    all the same."""
    said = loads(body)
    assert isinstance(said, dict)
    finished = False
    reader = Events()
    for event in reader._read(said, "message"):
        finished = finished or isinstance(event, Finished)
        yield event
    if not finished:
        yield from reader._finish("stop")


def _just_text(delta: Message | None) -> str | None:
    """The text of a delta that holds nothing else, as nearly all do."""
    if delta is None or delta.tool_calls or delta.reasoning_content or delta.reasoning or delta.refusal:
        return None
    return delta.content or ""


def _text(value: object) -> str:
    """A text, or the texts of a list of parts; thinking that stands among them is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_text(part.get("text")) for part in value if isinstance(part, dict))
    return ""
