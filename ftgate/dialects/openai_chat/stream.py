"""Streams: what of one passes, what is held back, what counts as content, and how it is closed. The states stand in
dialects/states; this file makes signs of chunks.

Nearly every chunk is a short text in one field, and thousands come in a second: those are read in one go
(answer.Plain). All others are looked through as JSON of any shape.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from ftgate.core.usage import Usage, count
from ftgate.dialects import sse
from ftgate.dialects.complaints import complaint_in
from ftgate.dialects.fields import ABSENT, NULL, Fields, fields_of, loads, rewrite, there
from ftgate.dialects.openai_chat.answer import (
    CHUNK,
    DONE,
    FAILED_ENDS,
    UNKNOWN,
    Plain,
    choice_complaint,
    ends,
    note_choice,
    plain,
)
from ftgate.dialects.openai_chat.errors import error_event
from ftgate.dialects.openai_chat.usage import note_usage, usage_object, with_cost
from ftgate.dialects.states import OVER, TABLE, Sign, State
from ftgate.dialects.talk import Meter
from ftgate.dialects.watching import MARK, Watcher
from ftgate.errors import GateError

KEEPALIVE = sse.comment("keepalive")
"""Without a blank line of its own: some clients take a block of comments alone for an event without data."""


class StreamReader(Watcher):
    """Watches a stream as it passes (talk.Reader)."""

    OBJECT = CHUNK

    def __init__(self, meter: Meter, *, show_usage: bool) -> None:
        super().__init__(meter)
        self.show_usage = show_usage
        self._open: set[int] = set()  # answers that have begun and not ended
        self._ended: set[int] = set()
        self._first = b""  # the first chunk, for what all chunks say of themselves
        self._told = b""  # the chunk that told the usage which counts

    # Events

    def _read(self, event: sse.Event) -> None:
        data = event.data
        if data is None:
            return  # a comment, `retry:` or `id:` alone: ours replace them
        if self.state in OVER:
            self._read_past_the_end(data)
            return
        if event.name is None and not event.stray:
            try:
                chunk = plain.decode(data)
            except UNKNOWN:
                pass
            else:
                if chunk.choices and self._read_plain(chunk, event.raw, data):
                    return
        self._read_other(event, data)

    def _read_plain(self, chunk: Plain, raw: bytes, data: bytes) -> bool:
        """Whether a chunk could be read as what nearly all are."""
        usage = None
        if chunk.usage is not None and (usage := chunk.usage.neutral()) is None:
            return False
        for choice in chunk.choices:
            if choice.finish_reason in FAILED_ENDS or choice.message is not None:
                return False
        self._first = self._first or data
        content = False
        for choice in chunk.choices:
            if choice.note(self.meter):
                content = True
            if choice.finish_reason or choice.index not in self._open:
                self._follow(choice.index, ended=ends(choice.finish_reason))
        if usage is not None:
            before = self.meter.reported
            self._keep_told(before, data, alone=self.meter.report(usage))
            raw = _without_usage(data)
        self._pass(raw, self._sign(content))
        return True

    def _read_other(self, event: sse.Event, data: bytes) -> None:
        """Whatever is no plain chunk."""
        if data.strip() == MARK:
            self.state = TABLE[self.state][Sign.mark]
        else:
            self._read_any(event, data)

    def _read_said(self, said: Mapping[str, object], event: sse.Event, data: bytes) -> None:
        self._read_chunk(said, event.raw if not event.stray else sse.event(data), data)

    def _read_chunk(self, said: Mapping[str, object], raw: bytes, data: bytes) -> None:
        """A chunk of any shape; `data` is its JSON as it came, `raw` its event."""
        if (complaint := complaint_in(said)) is not None:
            self._fail(complaint)
            return
        self._first = self._first or data
        choices = said.get("choices")
        choices = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
        content = has_usage = False
        if said.get("usage") is not None:
            has_usage = True
            self._note_usage(said["usage"], data)
        for choice in choices:
            if (complaint := choice_complaint(choice)) is not None:
                self._fail(complaint)
                return
            content |= note_choice(choice, self.meter)
            if choice.get("usage") is not None:
                has_usage = True
                self._note_usage(choice["usage"], data)
            self._follow(count(choice.get("index")) or 0, ended=ends(choice.get("finish_reason")))
        if has_usage and not choices:
            return  # shown at the end, if at all
        self._pass(_without_usage(data) if has_usage else raw, self._sign(content) if choices else Sign.quiet)

    def _read_past_the_end(self, data: bytes) -> None:
        """Behind the end marker nothing is passed on; but some put their usage there."""
        if self.state is not State.done:
            return
        try:
            said = loads(data)
        except ValueError:
            return
        if isinstance(said, dict) and said.get("usage") is not None:
            self._note_usage(said["usage"], data)

    def _note_usage(self, usage: object, data: bytes) -> None:
        """Keep the usage that counts, and the chunk it came in, to be shown at the end as it was said."""
        before = self.meter.reported
        self._keep_told(before, data, alone=note_usage(usage, self.meter))

    def _keep_told(self, before: Usage | None, data: bytes, *, alone: bool) -> None:
        if alone:
            self._told = data
        elif self.meter.reported is not before:  # put together of two, or not believed: ours is shown
            self._told = b""

    def _follow(self, index: int, *, ended: bool) -> None:
        """Keep account of which answers have begun and which have ended: with n > 1 the first finish is not the end."""
        if ended:
            self._ended.add(index)
            self._open.discard(index)
        elif index not in self._ended:
            self._open.add(index)

    def _sign(self, content: bool) -> Sign:
        if self._ended and not self._open:
            return Sign.finish
        if self.state is State.finished:
            return Sign.more
        return Sign.content if content else Sign.quiet

    # The end

    def tail(self, usage: Usage, *, exact: bool, cost: int | None, note: str) -> bytes:
        """What closes a whole stream: the usage chunk if the client asked, then the note and the end marker in one
        block (some clients take a comment in a block of its own for an event without data)."""
        shown = self._usage_event(usage, exact=exact, cost=cost) if self.show_usage else b""
        return shown + (sse.comment(note) if note else b"") + DONE

    def failure(self, error: GateError, request_id: str, note: str) -> bytes:
        return error_event(error, request_id, note)

    def usage_told(self) -> bytes:
        """The usage as the upstream told it, in an event of its own; nothing where it told none."""
        told = self.meter.reported
        return b"" if told is None else self._usage_event(told, exact=True, cost=None)

    def _usage_event(self, usage: Usage, *, exact: bool, cost: int | None) -> bytes:
        """The usage as the upstream told it, or ours where it told none that is believed; with its cost."""
        fields, inner = _usage_told(self._told) if exact else ({}, {})
        if not inner:
            own = _said_of_all(self._first)
            fields = {"id": own.pop("id"), "object": self.OBJECT, **own}
            inner = usage_object(usage)
        return sse.event(msgspec.json.encode({**fields, "choices": [], "usage": with_cost(inner, cost)}))


def _said_of_all(chunk: bytes) -> dict[str, object]:
    """What every chunk says of itself, in one that can be written anew."""
    said = loads(chunk) if chunk else {}
    known = {name: said.get(name) for name in ("id", "created", "model")} if isinstance(said, dict) else {}
    plain = {name: value for name, value in known.items() if isinstance(value, (str, int))}
    return {
        "id": "",
        **{n: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for n, v in plain.items()},
    }


def _usage_told(chunk: bytes) -> tuple[dict[str, object], dict[str, object]]:
    """The fields of a chunk that told a usage, and those of its usage; empty where they cannot be read."""
    try:
        fields = fields_of.decode(chunk)
        places = [fields, *(msgspec.json.decode(fields.get("choices", NULL), type=list[Fields] | None) or [])]
        told = next(place["usage"] for place in places if there(place.get("usage", ABSENT)))
        return dict(fields), dict(fields_of.decode(told))
    except (msgspec.DecodeError, UnicodeDecodeError, StopIteration):
        return {}, {}


def _without_usage(data: bytes) -> bytes:
    """A chunk's event without its usage, wherever that stood; all other values keep their bytes."""
    try:
        return sse.event(rewrite(data, _usage_taken_out))
    except (msgspec.DecodeError, UnicodeDecodeError):  # JSON that only Python's reader takes
        said: Any = loads(data)
        for place in (said, *said["choices"]):
            if isinstance(place, dict):
                place.pop("usage", None)
        return sse.event(json.dumps(said, separators=(",", ":")).encode())


def _usage_taken_out(data: bytes) -> bytes:
    fields = fields_of.decode(data)
    kept: dict[str, object] = {name: raw for name, raw in fields.items() if name != "usage"}
    choices = msgspec.json.decode(fields["choices"], type=list[Fields])
    if any("usage" in choice for choice in choices):
        kept["choices"] = [{name: raw for name, raw in choice.items() if name != "usage"} for choice in choices]
    return msgspec.json.encode(kept)
