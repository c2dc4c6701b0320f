"""A completion by a chat model: the prompt is what its user says, the text is what it answers.

Libraries that have known nothing else ask for completions, and most models of today only chat. What a chat cannot do
for them (several prompts, tokens for a prompt, a text to end in, the prompt said again, probabilities) is refused; what
it thinks on the way has no place in a completion and is left out.
"""

from collections.abc import Iterable, Mapping

import msgspec

from ftgate.core.usage import Usage
from ftgate.dialects import sse
from ftgate.dialects.fields import anything, dumps, typed
from ftgate.dialects.neutral import Began, Event, Finished, Reason, Refused, Said, Talk, Text, Turn
from ftgate.dialects.openai_chat.answer import DONE
from ftgate.dialects.openai_chat.asked import stops
from ftgate.dialects.openai_chat.errors import error_event
from ftgate.dialects.openai_chat.usage import usage_object
from ftgate.dialects.openai_chat.written import HOLE, Frame, frame
from ftgate.dialects.talk import Ask, Told
from ftgate.errors import GateError, InvalidRequest

OBJECT = "text_completion"
_NOTHING = (b"null", b"false", b"0", b"1", b'""', b"{}", b"[]")
_CANNOT: Mapping[str, str] = {
    "suffix": "ends in no text of the caller's",
    "echo": "does not say the prompt again",
    "logprobs": "gives no probabilities here",
    "n": "gives one answer here",
    "best_of": "gives one answer here",
    "logit_bias": "weighs no tokens here",
}
"""Fields that ask for what a chat model does not do, but for values that ask for nothing."""
_FINISH: Mapping[Reason, str] = {"length": "length", "context": "length", "filter": "content_filter",
                                 "refusal": "content_filter"}  # fmt: skip


def talk_of(ask: Ask) -> Talk:
    """Raises InvalidRequest for what a chat model cannot complete."""
    fields = ask.fields
    for name, cannot in _CANNOT.items():
        if name in fields and bytes(fields[name]).strip() not in _NOTHING:
            raise InvalidRequest(f"`{name}`: a chat model {cannot}; leave it out", param=name)
    number = "a number"
    return Talk(
        turns=(Turn("user", (Text(_prompt(ask)),), "prompt"),),
        stop=stops(fields),
        temperature=typed(fields, "temperature", float, number),
        top_p=typed(fields, "top_p", float, number),
        seed=typed(fields, "seed", int, "a whole number"),
        frequency_penalty=typed(fields, "frequency_penalty", float, number),
        presence_penalty=typed(fields, "presence_penalty", float, number),
        user=typed(fields, "user", str, "a text") or "",
    )


def _prompt(ask: Ask) -> str:
    prompt = anything.decode(ask.fields["prompt"])
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        words = "one text (several prompts, or one as tokens, are for a model of completions)"
        raise InvalidRequest(f"`prompt`: a chat model completes {words}", param="prompt")
    return prompt


class Writer:
    """Writes one completion (talk.Writer)."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.finish = "stop"
        self.model = told.model
        self._frame: Frame | None = None

    def write(self, events: Iterable[Event]) -> bytes:
        """Texts that come together go together; the first thing said begins the stream, be it a text or none."""
        text = self._take(events)
        if self._frame is None:
            self._frame = frame({**self._head(), "choices": [self._choice(HOLE, None)]})
        elif not text:
            return b""
        return self._frame[0] + dumps(text) + self._frame[1]

    def _take(self, events: Iterable[Event]) -> str:
        """The text of these events; what else they say is kept."""
        texts: list[str] = []
        for event in events:
            if isinstance(event, (Said, Refused)):
                texts.append(event.text)
            elif isinstance(event, Began):
                self.model = event.model or self.model
            elif isinstance(event, Finished):
                self.finish = _FINISH.get(event.reason, "stop")
        return "".join(texts)

    @staticmethod
    def _choice(text: object, finish: str | None) -> dict[str, object]:
        return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}

    def _head(self) -> dict[str, object]:
        told = self.told
        return {"id": f"cmpl-{told.mark}", "object": OBJECT, "created": told.created, "model": self.model}

    def _chunk(self, choices: list[dict[str, object]], **more: object) -> bytes:
        return sse.event(dumps({**self._head(), "choices": choices, **more}))

    def tail(self, usage: Usage, *, exact: bool, cost: int | None, note: str) -> bytes:
        end = self._chunk([self._choice("", self.finish)])
        if self.told.ask.wants_usage:
            end += sse.event(msgspec.json.encode({**self._head(), "choices": [], "usage": usage_object(usage, cost)}))
        return end + (sse.comment(note) if note else b"") + DONE

    def failure(self, error: GateError, request_id: str, note: str) -> bytes:
        return error_event(error, request_id, note)

    def whole(self, events: Iterable[Event], usage: Usage, *, exact: bool, cost: int | None) -> bytes:
        text = self._take(events)
        return dumps({**self._head(), "choices": [self._choice(text, self.finish)], "usage": usage_object(usage)})
