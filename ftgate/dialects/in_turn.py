"""An answer whose calls were made side by side, told one thing behind the other, for dialects in which an item ends
before the next begins.

A call ends only when its arguments are whole: some upstreams send the fragments of two calls in turn, or speak between
them. What does not belong to the open call waits until then, or for the end of the answer, in the order in which it
came; a call that waits gathers its own fragments. Each event is looked at twice at the most, however many calls there
are and however small their fragments.
"""

import re
from collections import deque
from collections.abc import Iterable

from ftgate.dialects.fields import loads
from ftgate.dialects.neutral import CallBegan, CallPart, Event

_NOT_BLANK = re.compile(r"[^ \t\r\n]")
_IN_TEXT = re.compile(r'["\\]')
_OUTSIDE = re.compile(r'["{}\[\]]')


class Arguments:
    """The JSON text of a call's arguments as it comes."""

    __slots__ = ("_behind", "_depth", "_escaped", "_pieces", "_quoted", "_read", "_spoiled", "_whole")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._read = 0  # of these
        self._depth = 0  # of braces and brackets that are open
        self._quoted = self._escaped = False  # within a text; behind a backslash there
        self._behind = False  # the outermost brace has been closed
        self._whole = False  # and what is within them is an object
        self._spoiled = False  # it is no object, whatever comes

    def add(self, text: str) -> None:
        self._pieces.append(text)

    def whole(self) -> bool:
        """Whether they are an object by now. Reads each piece once, and the whole text once, when it is all there."""
        if self._read < len(self._pieces) and not self._spoiled:
            self._take("".join(self._pieces[self._read :]))
            self._read = len(self._pieces)
        if self._behind and not self._whole and not self._spoiled:
            self._whole = self._is_object()
            self._spoiled = not self._whole
        return self._whole and not self._spoiled

    def _take(self, text: str) -> None:
        """Follow the text as far as it says where the object ends."""
        at, end = 0, len(text)
        while at < end:
            if self._escaped:
                self._escaped, at = False, at + 1
                continue
            found = (_IN_TEXT if self._quoted else _OUTSIDE if self._depth else _NOT_BLANK).search(text, at)
            if found is None:
                return
            at, mark = found.end(), found[0]
            if mark == "\\":
                self._escaped = True
            elif self._quoted or (self._depth and mark == '"'):
                self._quoted = not self._quoted
            elif self._depth:
                self._depth += 1 if mark in "{[" else -1
                self._behind = not self._depth
            elif mark == "{" and not self._behind:
                self._depth = 1
            else:
                self._spoiled = True
                return

    def _is_object(self) -> bool:
        try:
            return isinstance(loads("".join(self._pieces).encode("utf-8", "surrogatepass")), dict)
        except ValueError:
            return False


class _Call:
    """A call that waits."""

    __slots__ = ("began", "parts")

    def __init__(self, began: CallBegan) -> None:
        self.began = began
        self.parts: list[CallPart] = []


class InTurn:
    """Puts the events of one answer in that order. A call is open from its CallBegan to the next event that is no part
    of it."""

    def __init__(self) -> None:
        self._open: Arguments | None = None
        self._key = -1  # of the open call
        self._waiting: deque[Event | _Call] = deque()
        self._calls: dict[int, _Call] = {}  # those among them

    def take(self, event: Event) -> Iterable[Event]:
        """What can be told now that this has come. Parts of a call that has ended are left out: behind a whole object
        only blanks come."""
        if isinstance(event, CallPart):
            return self._part(event)
        if self._open is None:
            if isinstance(event, CallBegan):
                self._open, self._key = Arguments(), event.key
            return (event,)
        if isinstance(event, CallBegan):
            self._calls[event.key] = call = _Call(event)
            self._waiting.append(call)
        else:
            self._waiting.append(event)
        return self._release() if self._open.whole() else ()

    def _part(self, part: CallPart) -> Iterable[Event]:
        if self._open is None:
            return ()
        if part.key != self._key:
            if part.key in self._calls:
                self._calls[part.key].parts.append(part)
            return ()
        self._open.add(part.text)
        if self._waiting and self._open.whole():
            return (part, *self._release())
        return (part,)

    def _release(self) -> list[Event]:
        """The open call has ended: what waited for that, up to a call that is not whole."""
        told: list[Event] = []
        self._open = None
        while self._waiting and (self._open is None or self._open.whole()):
            self._tell(self._waiting.popleft(), told)
        return told

    def _tell(self, waited: Event | _Call, told: list[Event]) -> None:
        self._open = None
        if not isinstance(waited, _Call):
            told.append(waited)
            return
        self._open, self._key = Arguments(), waited.began.key
        if self._calls.get(self._key) is waited:
            del self._calls[self._key]
        told.append(waited.began)
        for part in waited.parts:
            self._open.add(part.text)
            told.append(part)

    def finish(self) -> list[Event]:
        """Nothing more comes: all that waited, each call with its parts, whole or not."""
        told: list[Event] = []
        while self._waiting:
            self._tell(self._waiting.popleft(), told)
        self._open = None
        return told
