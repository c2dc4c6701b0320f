"""How a setting is declared: what stands beside its name, type and default."""

import msgspec

YEAR_S = 31_536_000
LARGEST = 2**63 - 1
"""The largest INTEGER of SQLite."""


class Note(msgspec.Struct, frozen=True):
    """What a declaration adds to a field. `kind` names its reader in values.py where the type alone does not. `low` and
    `high` bound numbers (`low` itself is refused when `above` is set). `shown` is an example for settings without a
    default."""

    help: str
    reason: str
    kind: str = ""
    low: int = 0
    high: int = LARGEST
    above: bool = False
    choices: tuple[str, ...] = ()
    shown: str = ""
