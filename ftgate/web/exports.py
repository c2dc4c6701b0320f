"""Exports: answers that read a whole table while they are sent. An account has a few at one time, so that nobody's
export slows everybody's calls."""

import weakref
from collections import Counter
from collections.abc import AsyncIterator

import trio
from quart import Response

from ftgate.errors import RateLimited

EACH = 2
"""How many of one account are under way."""
AT_ONCE = 2
"""Of how many, whose ever they are, a piece is made at one time."""
AGAIN_S = 5.0


class Exports:
    """Gives them out."""

    def __init__(self) -> None:
        self.of: Counter[int] = Counter()
        self.making = trio.CapacityLimiter(AT_ONCE)

    def sent(self, account: int, pieces: AsyncIterator[bytes], kind: str, name: str) -> Response:
        """One for this account, as the file `name`. Raises RateLimited where it has as many as it may."""
        if self.of[account] >= EACH:
            words = f"{EACH} exports of this account are being sent: take another one when one has ended"
            raise RateLimited(words, retry_after_s=AGAIN_S)
        answer = Response(_Export(self, account, pieces), content_type=kind)
        answer.timeout = None  # Quart's own 60 s would cut a long export without a word
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer

    def end(self, account: int) -> None:
        self.of[account] -= 1
        if not self.of[account]:
            del self.of[account]


class _Export:
    """One under way, until it has been sent or closed; or until nobody holds it, as where a client left before the
    first piece."""

    def __init__(self, exports: Exports, account: int, pieces: AsyncIterator[bytes]) -> None:
        exports.of[account] += 1
        self.pieces = pieces
        self.making = exports.making
        self.over = weakref.finalize(self, exports.end, account)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            async with self.making:
                return await anext(self.pieces)
        except BaseException:
            self.over()
            raise

    async def aclose(self) -> None:
        self.over()
        if (close := getattr(self.pieces, "aclose", None)) is not None:
            await close()
