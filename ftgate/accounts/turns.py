"""Who may have a password hashed next: hashes are slow on purpose, so that a crowd of guessers must not stand before
everybody else.

Two lines wait. In one are those who are known: they log in from where their account has logged in lately, or have shown
already who they are. In the other are all others: strangers, whether the name that they tell exists or not. One place
is never a stranger's, so that who is known waits for none of them. The strangers' line is short, and no name and no
address has more than a few in it: past that they are told to come again (503), before anything is looked at.
"""

from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ftgate.errors import Overloaded

AT_ONCE = 2
"""Hashes that are made at one time: logins must not take all processors from calls."""
STRANGERS = 32
"""Strangers that wait, at the most: the last of them waits for some seconds."""
KNOWN = 256
"""The same of those who are known."""
EACH = 10
"""How many of one name, or from one address, wait in a line or are at it: as many as an address may make accounts in an
hour."""
AGAIN_S = 5.0


class _Waiting:
    def __init__(self, known: bool) -> None:
        self.known = known
        self.called = trio.Event()


class Turns:
    """Gives out AT_ONCE places."""

    def __init__(self) -> None:
        self.known: deque[_Waiting] = deque()
        self.strangers: deque[_Waiting] = deque()
        self.at_it: Counter[bool] = Counter()  # by whether they are known
        self.of: Counter[tuple[bool, str]] = Counter()  # by that, and by their names and addresses

    def __repr__(self) -> str:
        waiting = f"{len(self.known)} known and {len(self.strangers)} strangers wait"
        return f"<Turns {self.at_it.total()} at it, {waiting}>"

    @asynccontextmanager
    async def turn(self, *names: str, known: bool = True) -> AsyncIterator[None]:
        """Wait for a place and hold it. `names` are what somebody may have only a few of in a line: the name and the
        address. Raises Overloaded where too many wait."""
        mine = [(known, name) for name in names]
        line, most = (self.known, KNOWN) if known else (self.strangers, STRANGERS)
        if len(line) >= most or any(self.of[one] >= EACH for one in mine):
            raise Overloaded("Too many passwords are being checked now; try again soon", retry_after_s=AGAIN_S)
        waiting = _Waiting(known)
        line.append(waiting)
        self.of.update(mine)
        self._call()
        try:
            await waiting.called.wait()
            yield
        finally:
            if waiting.called.is_set():
                self.at_it[known] -= 1
            else:
                line.remove(waiting)
            for one in mine:
                self.of[one] -= 1
                if not self.of[one]:
                    del self.of[one]
            self._call()

    def _call(self) -> None:
        """Give the places that are free to those who are next."""
        while self.at_it.total() < AT_ONCE:
            if self.known:
                called = self.known.popleft()
            elif self.strangers and self.at_it[False] < AT_ONCE - 1:
                called = self.strangers.popleft()
            else:
                return
            self.at_it[called.known] += 1
            called.called.set()
