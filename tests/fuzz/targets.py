"""Every target by its name: what is called, and with what it begins."""

from collections.abc import Callable, Mapping, Sequence

from tests.fuzz import house, wire, words

Target = Callable[[bytes], None]
TARGETS: Mapping[str, tuple[Target, Sequence[bytes]]] = {
    "head": (wire.head, wire.HEADS),
    "chunks": (wire.chunks, wire.CHUNKS),
    "answer-head": (wire.answer, wire.ANSWERS),
    "forwarded": (wire.forwarded, wire.LISTS),
    "path": (wire.path, wire.PATHS),
    "shown": (wire.shown, wire.SHOWN),
    "events": (words.events, words.EVENTS),
    **{f"body-{name}": (words.body_of(name), seeds) for name, seeds in words.BODIES.items()},
    **{f"whole-{name}": (words.whole_of(name), seeds) for name, seeds in words.WHOLE.items()},
    **{f"stream-{name}": (words.stream_of(name), seeds) for name, seeds in words.STREAMS.items()},
    **{f"prices-{name}": (words.prices_of(name), seeds) for name, seeds in words.PRICES.items()},
    "config": (words.configured, words.CONFIGS),
    "signed": (house.signed, house.SIGNED),
    "token": (house.token, house.TOKENS),
    "fields": (house.fields, house.FIELDS),
    "cursor": (house.cursor, house.CURSORS),
    "line": (house.line, house.LINES),
    "site": (house.site, house.ASKED),
}
SLOW: Mapping[str, int] = {"site": 25, "config": 40}
"""Examples with the tests of those that take milliseconds each; of the others it is FEW."""
FEW = 100
