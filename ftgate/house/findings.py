"""What was looked at and found: how it is and, where it is not well, what to do."""

from typing import Literal, NamedTuple

State = Literal["ok", "look", "wrong"]


class Finding(NamedTuple):
    """`look` is worth a look and nothing that keeps a server from serving; `wrong` is to be mended."""

    state: State
    subject: str
    words: str
