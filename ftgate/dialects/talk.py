"""The neutral words between a dialect and the gate: what was asked, what comes, what it used.

Every dialect, a module or a package, has the same names:

    NAME KIND                               its name, and what its models are for: chat, embeddings
    ROUTES ADDRESS                          the paths its callers use; what is appended to a provider's prefix
    HEADERS FORWARDED                       what its upstreams are always told; a caller's headers that go up to them
    ID_HEADERS                              where clients look for the id of their request
    CAP_FIELDS                              the request fields that cap an answer
    KEEPALIVE                               what a client that waits for a stream is told, between two events
    read_request(body) -> Ask               raises errors.InvalidRequest
    render(ask, aim) -> bytes               the request for an upstream that speaks this dialect
    read_answer(body, meter)                a whole answer; raises NotAnAnswer
    read_error(body) -> Complaint           an upstream's error body
    stream_of(body) -> bytes                a whole answer as a stream; raises NotAnAnswer
    whole_of(body) -> bytes                 a stream as a whole answer; raises NotAnAnswer
    StreamReader                            feed(bytes), end() -> bytes; state; complaint; tail(...), failure(...)
    error(error, id) -> status, headers, body   an error answer
    error_event(error, id, note, ask) -> bytes  an error in a stream that says nothing else

and, for translation between the dialects of one KIND (dialects/neutral):

    talk_of(ask) -> Talk                    a request in neutral words; raises errors.InvalidRequest
    render_talk(talk) -> fields             a request in this dialect's words; raises errors.InvalidRequest
    Events                                  read(data) -> neutral events of a stream's next event
    events_of(body) -> neutral events       those of a whole answer
    Writer                                  write(events), tail(...), failure(...) -> bytes; whole(...) -> bytes
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from ftgate.core import estimate
from ftgate.core.estimate import ZERO, Count
from ftgate.core.habits import Habits
from ftgate.core.usage import NONE_USED, Usage
from ftgate.dialects.content import without_embedded
from ftgate.dialects.neutral import CHAT_SEAL, Event, Talk, Tool
from ftgate.dialects.states import State
from ftgate.errors import GateError, MethodNotAllowed

Headers = list[tuple[bytes, bytes]]
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Bytes of an answer that are held in memory at once: all of a whole one, or one event of a stream. Pictures come in
both, and an upstream may answer either way, so there is one limit for both; past it, it is no answer."""
SMALL_TEXT = 256
"""Characters of a piece that hold no picture worth looking for."""
MAX_RETRY_AFTER_S = 31 * 86_400
"""A longer Retry-After tells a client nothing; an upstream's own may be any number, infinite too."""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """A request as read. `fields` are its top-level JSON fields as raw bytes, in order: what we do not know passes as
    it came.

    `names` are the models asked for, in order: `model` first, then `models`. `cap` is the output limit the caller set,
    in tokens, or None. `answers` is n. `prompt` counts text and tool definitions, `images`, `audios` and `files` the
    parts that text does not measure. Of several `prompts` in one request a model reads each by itself, and `longest`
    counts the longest (None: there is one). `prompt_field` is what the caller calls the prompt. `talk` is what
    the fields say, where they are no caller's but say in this dialect what was asked in another.
    """

    fields: Mapping[str, msgspec.Raw]
    names: tuple[str, ...]
    routing: str
    stream: bool
    wants_usage: bool
    cap: int | None
    answers: int
    prompt: Count
    images: int = 0
    audios: int = 0
    files: int = 0
    has_tools: bool = False
    prompts: int = 1
    longest: Count | None = None
    prompt_field: str = "messages"
    talk: Talk | None = None


class Aim(msgspec.Struct, frozen=True, gc=False):
    """Where a request goes, as far as its text depends on that. `model` is the provider's name for it; `cap` what one
    answer may take at the most, in tokens (None: nobody caps it), and `cap_field` the field that says so there (None:
    that model knows none); `usage`: a stream is to tell its usage; `drop` fields that are to be left out; `most` what
    the model can write, in tokens, for a dialect that must be told a cap where there is none; `maker` whose seals it
    can read, among the upstreams of one dialect; `thinks` whether it can be told how much to think (None: nobody said);
    `bare`: what was thought in earlier turns is left out, for an upstream that cannot read it; `habits` what it wants
    of every request (core.habits.follow); `thinking` how it is told to think, where it takes one form only: budget or
    adaptive.
    """

    model: str
    cap: int | None = None
    cap_field: str | None = None
    usage: bool = False
    drop: tuple[str, ...] = ()
    most: int | None = None
    maker: str = ""
    thinks: bool | None = None
    bare: bool = False
    habits: Habits | None = None
    thinking: str = ""


class Told(msgspec.Struct, frozen=True):
    """What a writer must know of the call whose answer it writes: the caller's `ask` and what it means as `talk`; `id`
    is our own for the call (ids of messages and items are made of it, so that no two answers share one), `created` Unix
    seconds, `model` the name that was asked for, `prompt` the tokens it likely has (the upstream says the right number
    at its end), `now` tells the Unix second in which it is asked, `maker` who seals what is thought in this answer (Aim
    has it)."""

    ask: Ask
    talk: Talk
    id: str
    created: int
    model: str
    prompt: int
    now: Callable[[], int]
    maker: str = ""

    def kept(self, seal: str) -> str:
        """A seal as the caller keeps it: with its maker, where upstreams of its dialect make seals of several kinds."""
        if not seal.startswith(CHAT_SEAL):
            return seal
        return f"{CHAT_SEAL}{self.maker}.{seal.removeprefix(CHAT_SEAL)}"

    def tool(self, name: str) -> Tool | None:
        """The tool that goes up under this name."""
        return next((tool for tool in (*self.talk.tools, *self.talk.known) if tool.name == name), None)

    @property
    def mark(self) -> str:
        """The part of `id` that makes other ids unique."""
        return self.id.removeprefix("req_")


_RETRY_DELAY = re.compile(rb'"retryDelay": ?"([0-9]{1,9}(?:\.[0-9]{1,9})?)s"')


class Complaint(msgspec.Struct, frozen=True):
    """An upstream's error as it said it. `status` is the one that it names or stands for, whatever HTTP said; `details`
    what it says beside the words, as JSON."""

    message: str = ""
    kind: str | None = None
    code: str | None = None
    param: str | None = None
    status: int | None = None
    details: bytes | None = None

    @property
    def words(self) -> str:
        return " ".join(part for part in (self.message, self.kind, self.code) if part)

    @property
    def wait_s(self) -> float | None:
        """After how many seconds it says to ask again, as Google's errors do it beside their words (RetryInfo)."""
        said = _RETRY_DELAY.search(self.details or b"") if b"RetryInfo" in (self.details or b"") else None
        return float(said[1]) if said else None


class NotAnAnswer(Exception):
    """A 200 that holds no answer: an error object, nothing, or no sense. `complaint` says what it held."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.message)
        self.complaint = complaint


class Meter:
    """What an attempt has brought so far, filled before each piece is passed on. Text is kept in parts and measured
    only when the upstream leaves the usage out or lies: joining at the end is one pass, counting each piece would be
    thousands."""

    __slots__ = ("_counted", "_notes", "_parts", "_size", "content_seen", "malformed", "media", "reported", "unread")

    FOLD_AT = 65_536  # characters kept before they are folded into the count, so that a long stream holds no long text

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self._notes = 0
        self._counted = ZERO
        self.media = 0  # tokens that its pictures and sound likely stand for
        self.unread = 0  # events that were no JSON, and did not pretend to be; they were not passed on
        self.content_seen = False
        self.reported: Usage | None = None
        self.malformed = False

    def note(self, text: str) -> None:
        if len(text) > SMALL_TEXT and ";base64," in text:
            text, tokens = without_embedded(text)
            self.media += tokens
        self._parts.append(text)
        self._notes += 1
        self._size += len(text)
        if self._size > self.FOLD_AT:
            self._fold()

    def note_media(self, tokens: int) -> None:
        self.media += tokens

    def report(self, usage: Usage) -> bool:
        """Take a usage that the upstream reports. The last one counts, but a half of it (prompt, output) that says zero
        replaces none that was told before. Whether what is reported now is this usage as it is."""
        known = self.reported
        if usage == NONE_USED and (known is not None or self.malformed):
            return False
        told = usage
        if known is not None and not usage.prompt:
            told = msgspec.structs.replace(known, output=usage.output, reasoning=usage.reasoning)
        elif known is not None and not usage.output:
            told = msgspec.structs.replace(usage, output=known.output, reasoning=known.reasoning)
        self.reported, self.malformed = told, False
        return told is usage

    def misreport(self) -> None:
        """The upstream has told a usage of which no sense can be made: it is not believed, nor what it said before."""
        self.reported, self.malformed = None, True

    def _fold(self) -> None:
        self._counted = self._counted + estimate.text("".join(self._parts))
        self._parts.clear()
        self._size = 0

    def counted(self) -> Count:
        """The text so far, by the estimator."""
        self._fold()
        return self._counted

    def seen(self) -> Count:
        """The same for who only looks: what is kept stays as it is, so that no charge depends on it."""
        return self._counted + estimate.text("".join(self._parts))

    def output(self, counted: Count | None = None) -> int:
        """Tokens delivered so far, where the text is `counted` (scaled for its model; by default as it is); at least
        one once content was seen. An upstream streams a token or more a piece, so many small pieces are as many tokens,
        unless somebody cut them by characters: hence at most twice."""
        likely = (counted or self.counted()).likely
        return max(max(likely, min(self._notes, 2 * likely)) + self.media, 1 if self.content_seen else 0)


class Reader(Protocol):
    """Watches a stream of one dialect as it passes. What feed() and end() return is to be passed on; while `state` is
    pending they return nothing. `complaint` is what the upstream said went wrong, in failed and broken. `closing` is
    the upstream's last event where that waits for tail() and says how the answer ended; else nothing."""

    @property
    def state(self) -> State: ...

    @property
    def complaint(self) -> Complaint | None: ...

    @property
    def closing(self) -> bytes: ...

    def feed(self, data: bytes) -> bytes: ...

    def end(self) -> bytes:
        """The clean end of the body."""
        ...

    def tail(self, usage: Usage, *, exact: bool, cost: int | None, note: str) -> bytes:
        """What closes a whole stream: the usage where it was asked for, and `note`, if there is one, in the end
        marker's own block. A cost of None is not known yet."""
        ...

    def failure(self, error: GateError, request_id: str, note: str) -> bytes:
        """What closes a stream that broke: the error, with `note` in its own block."""
        ...


class Events(Protocol):
    """Reads the events of one stream, as a StreamReader passes them on, in neutral words."""

    def read(self, data: bytes) -> Iterable[Event]:
        """`data` is that of the next event."""
        ...


class Writer(Protocol):
    """Writes one answer in a caller's dialect, as a stream or whole. Made with a Told."""

    def write(self, events: Iterable[Event]) -> bytes:
        """More of a stream; b"" while nothing is to be said of it."""
        ...

    def tail(self, usage: Usage, *, exact: bool, cost: int | None, note: str) -> bytes:
        """As Reader.tail."""
        ...

    def failure(self, error: GateError, request_id: str, note: str) -> bytes:
        """As Reader.failure."""
        ...

    def whole(self, events: Iterable[Event], usage: Usage, *, exact: bool, cost: int | None) -> bytes:
        """A whole answer. A cost of None is not known yet."""
        ...


class Dialect(Protocol):
    """The names every dialect module has."""

    @property
    def NAME(self) -> str: ...

    @property
    def KIND(self) -> str: ...

    @property
    def ROUTES(self) -> tuple[str, ...]: ...

    @property
    def ADDRESS(self) -> str: ...

    @property
    def HEADERS(self) -> Headers: ...

    @property
    def FORWARDED(self) -> frozenset[bytes]: ...

    @property
    def ID_HEADERS(self) -> tuple[bytes, ...]: ...

    @property
    def CAP_FIELDS(self) -> tuple[str, ...]: ...

    @property
    def KEEPALIVE(self) -> bytes: ...

    def read_request(self, body: bytes) -> Ask: ...

    def render(self, ask: Ask, aim: Aim) -> bytes: ...

    def read_answer(self, body: bytes, meter: Meter) -> None: ...

    def read_error(self, body: bytes) -> Complaint: ...

    def stream_of(self, body: bytes) -> bytes: ...

    def whole_of(self, body: bytes) -> bytes: ...

    def StreamReader(self, meter: Meter, *, show_usage: bool) -> Reader: ...

    def status_of(self, error: GateError) -> int:
        """The status that this dialect's clients know for an error, and get with it."""
        ...

    def error(self, error: GateError, request_id: str) -> tuple[int, Headers, bytes]:
        """An error answer: status_of() it, and the words that this dialect's clients know for it."""
        ...

    def error_event(self, error: GateError, request_id: str, note: str, ask: Ask) -> bytes:
        """An error as all that a stream says, with `note` in its own block."""
        ...

    def talk_of(self, ask: Ask) -> Talk: ...

    def render_talk(self, talk: Talk) -> dict[str, object]:
        """Fields as they go up, but for the model, the cap, whether it is a stream and what is our own."""
        ...

    def Events(self) -> Events: ...

    def events_of(self, body: bytes) -> Iterable[Event]: ...

    def Writer(self, told: Told) -> Writer: ...


NOTHING = Ask(fields={}, names=(), routing="auto", stream=False, wants_usage=False, cap=None, answers=1, prompt=ZERO)
"""The ask of a call that has not been read yet."""


def error_headers(error: GateError) -> Headers:
    """Retry-After in whole seconds, rounded up, and Allow, where the error has them."""
    headers: Headers = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(math.ceil(min(error.retry_after_s, MAX_RETRY_AFTER_S)), 1)))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode()))
    return headers
