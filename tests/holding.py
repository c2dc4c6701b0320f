"""What objects hold: for tests that look for what must not be kept."""

import gc


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
        named = (*getattr(type(one), "__slots__", ()), *getattr(type(one), "__struct_fields__", ()))
        left += [getattr(one, name) for name in named if isinstance(name, str) and hasattr(one, name)]
    texts = {one for one in seen.values() if isinstance(one, str)}
    return texts | {bytes(one).decode("latin1") for one in seen.values() if isinstance(one, (bytes, bytearray))}
