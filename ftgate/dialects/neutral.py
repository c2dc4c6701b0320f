"""A conversation, and an answer to it, in words of no dialect: what every translation between two dialects goes
through, so that no pair of them is written twice.

    Talk      what is asked: system, turns of parts, tools, how to choose among them, sampling, thinking, output format
    events    what is answered, in the order in which it is said; a whole answer *is* its events

What the words of one dialect mean is said where they are read (its talk_of, its Events) and where they are written (its
render_talk, its Writer; talk.Dialect has them all). What a dialect cannot say is refused there with
errors.InvalidRequest, whose `param` is the caller's own path to it: that is why parts carry theirs. `cache` is the
cache_control that stood beside a part, raw.
"""

from typing import Literal

import msgspec

from ftgate.dialects.logprobs import Tokens

Raw = msgspec.Raw
RESPONSES_SEAL = "rs1."
"""How a seal begins that an upstream of OpenAI's Responses made. No upstream of another kind can read it."""
CHAT_SEAL = "cs1."
"""The same for one that an upstream of chat made (openai_chat/seals)."""


class Text(msgspec.Struct, frozen=True, gc=False):
    text: str
    cache: Raw | None = None


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """What a model said in an earlier turn in place of an answer."""

    text: str


class Thinking(msgspec.Struct, frozen=True, gc=False):
    """What a model thought in an earlier turn. `signature` seals the text, for the kind of upstream that it came from;
    `sealed` is thought that only that upstream can read, and then there is no text."""

    text: str = ""
    signature: str = ""
    sealed: str = ""


class Image(msgspec.Struct, frozen=True, gc=False):
    """A picture: base64 `data` of a `media` type, or at a `url` (http, https). `detail` as OpenAI has it, "" unsaid."""

    data: str = ""
    media: str = ""
    url: str = ""
    detail: str = ""
    cache: Raw | None = None
    path: str = ""


class Document(msgspec.Struct, frozen=True, gc=False):
    """A file: base64 `data` of a `media` type, plain `text`, or at a `url`. `context` is what is said of a text
    beside its name."""

    data: str = ""
    media: str = ""
    text: str = ""
    url: str = ""
    name: str = ""
    context: str = ""
    cache: Raw | None = None
    path: str = ""

    @property
    def words(self) -> str:
        """A document of text as one text, for models that are shown no documents: what it is called leads."""
        return "\n\n".join(filter(None, (self.name, self.context, self.text)))


class Audio(msgspec.Struct, frozen=True, gc=False):
    """Sound: base64 `data` in a `format` (wav, mp3)."""

    data: str
    format: str
    path: str = ""


class ToolUse(msgspec.Struct, frozen=True, gc=False):
    """A call that a model made. `arguments` is the JSON text of an object, however the caller wrote it."""

    id: str
    name: str
    arguments: str
    cache: Raw | None = None


class ToolResult(msgspec.Struct, frozen=True, gc=False):
    """What a call brought: it belongs to the ToolUse of this `id`, in the assistant's turn before. `name` is the tool's
    where the caller says it."""

    id: str
    parts: tuple["Text | Image | Document", ...]
    failed: bool = False
    name: str = ""
    cache: Raw | None = None
    path: str = ""


Part = Text | Refusal | Thinking | Image | Document | Audio | ToolUse | ToolResult


class Turn(msgspec.Struct, frozen=True):
    """One side's parts, in order. Turns of one side may follow each other; results stand in a user's turn, and a
    system's turn is one in the midst of the conversation. `path` is the caller's for it."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]
    path: str = ""


class Tool(msgspec.Struct, frozen=True):
    """A function that the model may call. `name` is as it goes up; `schema` its parameters as JSON Schema, raw.

    `own` is the caller's name for it and `space` the namespace it stands in there, where these differ from `name`.
    `free`: a tool of free text (Responses' custom tools), which goes up as a function of one text named `input`."""

    name: str
    schema: Raw
    description: str = ""
    strict: bool | None = None
    own: str = ""
    space: str = ""
    free: bool = False
    cache: Raw | None = None


class Choice(msgspec.Struct, frozen=True, gc=False):
    """How tools are chosen: `any` is one at least, `tool` the one of this `name` (as it goes up)."""

    how: Literal["auto", "any", "none", "tool"]
    name: str = ""


class Format(msgspec.Struct, frozen=True):
    """The answer is JSON: of any shape (no schema), or of this one."""

    schema: Raw | None = None
    name: str = ""
    description: str = ""
    strict: bool | None = None


class Effort(msgspec.Struct, frozen=True, gc=False):
    """How much is to be thought. `level` is one of none, minimal, low, medium, high, xhigh, max; "" unsaid. `budget` in
    tokens. `adaptive`: the model decides. All unsaid: as the model does by itself. `shown`: the thinking is to be
    seen (None unsaid)."""

    level: str = ""
    budget: int | None = None
    adaptive: bool = False
    shown: bool | None = None


NO_EFFORT = Effort()


class Logprobs(msgspec.Struct, frozen=True, gc=False):
    """How likely each token was is to be told, and how likely so many others were in its place (`top`). `path` is the
    caller's to this wish where he is not to be answered without; "" where an answer without is one."""

    top: int = 0
    path: str = ""


class Talk(msgspec.Struct, frozen=True):
    """A request in neutral words. None and empty are unsaid.

    `known` are tools that stand in the history and are no longer offered, beside those that are: their calls come back
    under their own names. `user` is the caller's word for who asks, `safety` his word for the same that says nothing
    of who that is, `cache_key` his word for prompts that begin alike."""

    turns: tuple[Turn, ...]
    system: tuple[Text, ...] = ()
    tools: tuple[Tool, ...] = ()
    known: tuple[Tool, ...] = ()
    choice: Choice | None = None
    parallel: bool | None = None
    stop: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    effort: Effort = NO_EFFORT
    format: Format | None = None
    verbosity: str = ""
    logprobs: Logprobs | None = None
    user: str = ""
    safety: str = ""
    cache_key: str = ""

    @property
    def says(self) -> bool:
        """Whether anything is said but blanks, by anybody."""
        said = (part for turn in self.turns for part in turn.parts)
        return any(not isinstance(part, Text) or part.text.strip() for part in (*self.system, *said))


# An answer. Each reader says Began first, once, and Finished last, once, unless the answer breaks off before.


class Began(msgspec.Struct, frozen=True, gc=False):
    """The answer has begun; `model` is what the upstream calls itself, "" where it does not say."""

    model: str = ""


class Said(msgspec.Struct, frozen=True, gc=False):
    """A piece of text. `logprobs` says how likely its tokens were (dialects/logprobs), where the upstream tells it; a
    token may have no text."""

    text: str
    logprobs: Tokens = ()


class Thought(msgspec.Struct, frozen=True, gc=False):
    text: str


class Signed(msgspec.Struct, frozen=True, gc=False):
    """The seal of the thought that was just thought."""

    signature: str


class Sealed(msgspec.Struct, frozen=True, gc=False):
    """A thought that only its upstream can read, whole."""

    data: str


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Text that says why there is no answer."""

    text: str


class CallBegan(msgspec.Struct, frozen=True, gc=False):
    """A call of a tool begins. `key` tells the calls of one answer apart while their parts come; `id` and `name` are
    whole, and never empty."""

    key: int
    id: str
    name: str


class CallPart(msgspec.Struct, frozen=True, gc=False):
    """More of the JSON text of a call's arguments. Parts of several calls may come in turn."""

    key: int
    text: str


Reason = Literal["end", "length", "calls", "stop_sequence", "filter", "refusal", "pause", "context"]


class Finished(msgspec.Struct, frozen=True, gc=False):
    """Why the answer ended. `sequence` is the stop sequence that ended it, where it is known. `details` is what an
    upstream says of its refusal, raw."""

    reason: Reason
    sequence: str = ""
    details: Raw | None = None


Event = Began | Said | Thought | Signed | Sealed | Refused | CallBegan | CallPart | Finished
