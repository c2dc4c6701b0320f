"""Names of tools that every dialect takes: 64 letters, digits, `_` and `-`. What a caller calls otherwise goes up under
such a name, and comes back under his own. Names are made anew for each request, by one rule: what stands in its history
goes through the same.
"""

import hashlib
import re

MAX_NAME = 64
_STRANGE = re.compile(r"[^A-Za-z0-9_-]")


class Names:
    """The names that go up, of one request."""

    __slots__ = ("_made", "_taken")

    def __init__(self) -> None:
        self._made: dict[str, str] = {}
        self._taken: set[str] = set()

    def __repr__(self) -> str:
        return f"<Names {self._made}>"

    def up(self, own: str, key: str = "") -> str:
        """The name that goes up for a tool that is called `own`; `key` tells it from others that are called so. It is
        the tool's own where that can go up and no other has it, and the same each time."""
        key = key or own
        made = self._made.get(key)
        if made is None:
            made = _STRANGE.sub("_", own)
            if len(made) > MAX_NAME or made in self._taken:
                mark = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:8]
                made = f"{made[: MAX_NAME - 9]}_{mark}"
            self._made[key] = made
            self._taken.add(made)
        return made
