"""SQL of ours, which is SQLite's, in PostgreSQL's words.

Most of it is words that both know, since it was written so; and what SQLite calls by a name that PostgreSQL does not
know, the schema defines there (store/postgres/schema.py: instr, strftime, json_replace, max of two). What is left are
RULES, which are applied once to each text.

Values are put into the text: so PostgreSQL sees a number as a number and finds the type of a string by what it stands
beside, as SQLite does, and a statement is one trip. It is meant for sessions with `standard_conforming_strings`.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bIS NOT (?!NULL\b|DISTINCT\b)"), "IS DISTINCT FROM "),
    (re.compile(r"\bIS (?!NOT\b|NULL\b|DISTINCT\b)"), "IS NOT DISTINCT FROM "),
    (re.compile(r"\bLIKE\b"), "ILIKE"),
    (re.compile(r"\bCAST\((\w+) AS BLOB\)"), r"convert_to(\1, 'UTF8')"),
    (re.compile(r"\bjson_each\("), "listed("),
    (re.compile(r"\bjson\("), "("),
)
"""What to look for between strings, and what stands there instead. `LIKE` of SQLite does not tell a from A."""
WHOLE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"PRAGMA secure_delete = ON"), "SELECT 1"),
    (re.compile(r"DROP TRIGGER (\w+)_never_updated"), r"ALTER TABLE \1 DISABLE TRIGGER \1_kept"),
    (re.compile(r"CREATE TRIGGER (\w+)_never_updated .*", re.DOTALL), r"ALTER TABLE \1 ENABLE TRIGGER \1_kept"),
)
"""Statements that mean another one: how what is never changed is opened for a moment (accounts/forgetting.py)."""
_STRING = re.compile(r"('(?:[^']|'')*')")
_PLACE = re.compile(r"\?(\d*)|(?<!:):([a-z_]\w*)")
_LARGEST = 2**63
Value = int | float | str | bytes | bytearray | memoryview | None
Values = Sequence[Value] | Mapping[str, Value]


@lru_cache(1000)
def parsed(sql: str) -> tuple[str | int, ...]:
    """The text in PostgreSQL's words, in pieces: between two pieces of text what stands for a value, by its number from
    0 on, or as a text behind a colon (":name")."""
    for pattern, words in WHOLE:
        if found := pattern.fullmatch(sql):
            return (found.expand(words),)
    pieces: list[str | int] = [""]
    last = 0
    for piece in _STRING.split(sql):
        if piece.startswith("'"):
            pieces[-1] = f"{pieces[-1]}{piece}"
            continue
        for pattern, words in RULES:
            piece = pattern.sub(words, piece)
        at = 0
        for place in _PLACE.finditer(piece):
            number, name = place.groups()
            pieces[-1] = f"{pieces[-1]}{piece[at : place.start()]}"
            at = place.end()
            if name is None:  # as SQLite numbers them: one without a number is the next after the largest
                this = int(number) if number else last + 1
                last = max(last, this)
                pieces += [this - 1, ""]
            else:
                pieces += [f":{name}", ""]
        pieces[-1] = f"{pieces[-1]}{piece[at:]}"
    return tuple(pieces)


def bound(sql: str, values: Values = ()) -> str:
    """The text with its values in it, for PostgreSQL to execute. Raises OverflowError, as SQLite does, for a number of
    more than 64 bits; KeyError or IndexError where a value is missing."""
    texts: list[str] = []
    for at, piece in enumerate(parsed(sql)):
        if not at % 2:
            texts.append(str(piece))
        elif isinstance(values, Mapping):
            texts.append(literal(values[str(piece)[1:]]))
        else:
            assert isinstance(piece, int), piece
            texts.append(literal(values[piece]))
    return "".join(texts)


def storable(text: str) -> str:
    """What becomes of a text: none of PostgreSQL's holds a NUL."""
    return text.replace("\0", "\ufffd")


def literal(value: Value) -> str:
    """A value as it stands in a text. Flags are 0 and 1."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + storable(value).replace("'", "''") + "'"
    if isinstance(value, int):
        if not -_LARGEST <= value < _LARGEST:
            raise OverflowError("a number of more than 64 bits")
        return f"({int(value)})" if value < 0 else str(int(value))
    if isinstance(value, float):
        return f"'{value!r}'::float8"
    return f"'\\x{bytes(value).hex()}'::bytea"
