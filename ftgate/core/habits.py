"""What an upstream wants of every request, beside the words of its dialect: values within bounds, fields that are there
by default, and what only code can say.

Found once, when the settings are read; a request of an upstream without any never comes here.
"""

import re
from collections.abc import Callable, Mapping

import msgspec

Quirk = Callable[[dict[str, object]], None]
"""Changes the fields of a request that is about to be written; the values are raw JSON or such as can be written."""
_NUMBER = re.compile(rb"\s*-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?\s*")


class Bound(msgspec.Struct, frozen=True):
    """Between which values, these included, a field's number has to be."""

    field: str
    low: float
    high: float


class Habits(msgspec.Struct, frozen=True):
    """What is wanted of every request at an address; a model's own quirks are done before it (`beside`). `fill` are
    fields that are put where the caller said nothing, each with its value."""

    clamp: tuple[Bound, ...] = ()
    fill: Mapping[str, object] = {}
    quirks: tuple[Quirk, ...] = ()


def beside(habits: Habits | None, quirks: tuple[Quirk, ...]) -> Habits | None:
    """An address's habits with those of a model before them."""
    if not quirks:
        return habits
    return msgspec.structs.replace(habits or Habits(), quirks=(*quirks, *(habits.quirks if habits else ())))


def follow(fields: dict[str, object], habits: Habits) -> None:
    """Put the fields of a request as the upstream wants them. A number outside of its bounds becomes the nearest that
    is within; what is no number is the upstream's to refuse."""
    for bound in habits.clamp:
        said = fields.get(bound.field)
        if said is None:
            continue
        raw = bytes(said) if isinstance(said, msgspec.Raw) else msgspec.json.encode(said)
        if _NUMBER.fullmatch(raw):
            value = float(raw)
            if not bound.low <= value <= bound.high:
                fields[bound.field] = bound.low if value < bound.low else bound.high
    for name, default in habits.fill.items():
        fields.setdefault(name, default)
    for quirk in habits.quirks:
        quirk(fields)
