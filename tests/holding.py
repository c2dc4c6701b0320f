"""What objects hold: for tests that look for what must not be kept."""

import gc
from contextlib import suppress


def held_by(*roots: object) -> set[str]:
    """Every text that these objects hold at any depth, bytes as Latin-1; code, classes and modules aside."""
    seen: dict[int, object] = {}
    left = list(roots)
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type) or type(one).__name__ in ("module", "function", "frame"):
            continue
        seen[id(one)] = one
        left += gc.get_referents(one)
        for kind in type(one).__mro__:  # what the collector does not follow
            for names in (vars(kind).get("__slots__"), vars(kind).get("__struct_fields__")):
                for name in names if isinstance(names, (tuple, list)) else ():
                    with suppress(AttributeError, TypeError, ValueError, RuntimeError):  # a slot that hides
                        left.append(object.__getattribute__(one, name))
    texts = {one for one in seen.values() if isinstance(one, str)}
    return texts | {bytes(one).decode("latin1") for one in seen.values() if isinstance(one, (bytes, bytearray))}
