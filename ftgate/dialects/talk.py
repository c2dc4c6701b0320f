"""The neutral words between a dialect and the gate: what was asked, what comes, what it used.

Every dialect, a module or a package, has the same names:

    NAME KIND                               its name, and what its models are for: chat, embeddings
    ROUTES ADDRESS                          the paths its callers use; what is appended to a provider's prefix
    CAP_FIELDS                              the request fields that cap an answer
    read_request(body) -> Ask               raises errors.InvalidRequest
    render(ask, model, ...) -> bytes        the request for an upstream that speaks this dialect
    read_answer(body, meter)                a whole answer; raises NotAnAnswer
    read_error(body) -> Complaint           an upstream's error body
    stream_of(body) -> bytes                a whole answer as a stream; raises NotAnAnswer
    StreamReader                            feed(bytes), end() -> list[Piece]; finished; tail(...) -> bytes
    error_body(error, request_id) -> bytes  an error answer
    error_event(error, request_id) -> bytes an error inside a stream
"""

import math
from collections.abc import Mapping
from typing import Protocol

import msgspec

from ftgate.core import estimate
from ftgate.core.estimate import ZERO, Count
from ftgate.core.usage import Usage
from ftgate.errors import GateError, MethodNotAllowed

Headers = list[tuple[bytes, bytes]]
MAX_RETRY_AFTER_S = 86_400
"""A longer Retry-After tells a client nothing; an upstream's own may be any number, infinite too."""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """A request as read. `fields` are its top-level JSON fields as raw bytes, in order: what we do not know passes as
    it came.

    `names` are the models asked for, in order: `model` first, then `models`. `cap` is the output limit the caller set,
    in tokens, or None. `answers` is n. `prompt` counts text and tool definitions, `images`, `audios` and `files` the
    parts that text does not measure.
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


class Complaint(msgspec.Struct, frozen=True):
    """An upstream's error as it said it."""

    message: str = ""
    kind: str | None = None
    code: str | None = None
    param: str | None = None

    @property
    def words(self) -> str:
        return " ".join(part for part in (self.message, self.kind, self.code) if part)


class NotAnAnswer(Exception):
    """A 200 that holds no answer: an error object, nothing, or no sense. `complaint` says what it held."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.message)
        self.complaint = complaint


class Piece(msgspec.Struct, frozen=True, gc=False):
    """Something of a stream to pass on. `raw` are its bytes; `content` says that it carries an answer (text, reasoning,
    a tool call, a finish), so that after it no second attempt may be made; `complaint` is an error inside the
    stream."""

    raw: bytes
    content: bool
    complaint: Complaint | None = None


class Meter:
    """What an attempt has brought so far, filled before each piece is passed on. Text is kept in parts and measured
    only when the upstream leaves the usage out or lies: joining at the end is one pass, counting each piece would be
    thousands."""

    __slots__ = ("_counted", "_notes", "_parts", "_size", "content_seen", "malformed", "reported")

    FOLD_AT = 65_536  # characters kept before they are folded into the count, so that a long stream holds no long text

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self._notes = 0
        self._counted = ZERO
        self.content_seen = False
        self.reported: Usage | None = None
        self.malformed = False

    def note(self, text: str) -> None:
        self._parts.append(text)
        self._notes += 1
        self._size += len(text)
        if self._size > self.FOLD_AT:
            self._fold()

    def _fold(self) -> None:
        self._counted = self._counted + estimate.text("".join(self._parts))
        self._parts.clear()
        self._size = 0

    def counted(self) -> Count:
        """The text so far, by the estimator."""
        self._fold()
        return self._counted

    def output(self, counted: Count | None = None) -> int:
        """Tokens delivered so far, where the text is `counted` (scaled for its model; by default as it is); at least
        one once content was seen. An upstream streams a token or more a piece, so many small pieces are as many tokens,
        unless somebody cut them by characters: hence at most twice."""
        likely = (counted or self.counted()).likely
        return max(likely, min(self._notes, 2 * likely), 1 if self.content_seen else 0)


class Reader(Protocol):
    """Watches a stream of one dialect. `finished`: its finish_reason was seen; `done`: its end marker was."""

    finished: bool
    done: bool

    def feed(self, data: bytes) -> list[Piece]: ...

    def end(self) -> list[Piece]: ...

    def tail(self, usage: Usage, *, exact: bool, cost: int | None, balance: int | None) -> bytes: ...


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
    def CAP_FIELDS(self) -> tuple[str, ...]: ...

    def read_request(self, body: bytes) -> Ask: ...

    def render(
        self, ask: Ask, *, model: str, cap: int | None, cap_field: str | None, ask_usage: bool, drop: tuple[str, ...]
    ) -> bytes: ...

    def read_answer(self, body: bytes, meter: Meter) -> None: ...

    def read_error(self, body: bytes) -> Complaint: ...

    def stream_of(self, body: bytes) -> bytes: ...

    def StreamReader(self, meter: Meter, *, show_usage: bool) -> Reader: ...

    def error_body(self, error: GateError, request_id: str) -> bytes: ...

    def error_event(self, error: GateError, request_id: str) -> bytes: ...


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
