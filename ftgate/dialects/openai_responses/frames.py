"""Events of a Responses stream as they stand on the wire: named, and numbered from 0 without a gap."""

from collections.abc import Mapping

from ftgate.dialects.fields import dumps


class Frames:
    """Writes events, and keeps those that nobody has taken yet."""

    __slots__ = ("_made", "number")

    def __init__(self, number: int = 0) -> None:
        self.number = number  # of the next event
        self._made: list[bytes] = []

    def say(self, kind: bytes, fields: bytes) -> None:
        """One event. `fields` is JSON without its braces and without a line end: what stands beside type and number."""
        self._made.append(
            b'event: %b\ndata: {"type":"%b",%b,"sequence_number":%d}\n\n' % (kind, kind, fields, self.number)
        )
        self.number += 1

    def take(self) -> bytes:
        made = self._made[0] if len(self._made) == 1 else b"".join(self._made)
        self._made.clear()
        return made


def inner(fields: Mapping[str, object]) -> bytes:
    """A JSON object without its braces."""
    return dumps(fields)[1:-1]
