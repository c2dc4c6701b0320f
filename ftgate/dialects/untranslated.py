"""What a dialect has in place of translation where it is alone in its kind, or where no other is translated into it:
nobody asks for any of this (dialects.translating)."""

from collections.abc import Iterable

from ftgate.dialects.neutral import Event, Talk
from ftgate.dialects.talk import Ask, Told
from ftgate.dialects.talk import Events as EventsOf
from ftgate.dialects.talk import Writer as WriterOf


def talk_of(ask: Ask) -> Talk:
    raise AssertionError("nothing is translated out of this dialect")


def render_talk(talk: Talk) -> dict[str, object]:
    raise AssertionError("nothing is translated into this dialect")


def Events() -> EventsOf:
    raise AssertionError("nothing is translated into this dialect")


def events_of(body: bytes) -> Iterable[Event]:
    raise AssertionError("nothing is translated into this dialect")


def Writer(told: Told) -> WriterOf:
    raise AssertionError("nothing is translated out of this dialect")
