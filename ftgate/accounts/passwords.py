"""Passwords, hashed with scrypt: slow and large on purpose, because people choose them."""

import base64
import hashlib
import hmac
import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import trio

from ftgate.accounts.turns import Turns

_COST = {"n": 2**14, "r": 8, "p": 5}
"""What a new hash costs (OWASP Password Storage Cheat Sheet: N=2^14, r=8, p=5): 16 MiB and some tenths of a second."""
_ENOUGH: tuple[dict[str, int], ...] = (
    {"n": 2**17, "r": 8, "p": 1},
    {"n": 2**16, "r": 8, "p": 2},
    {"n": 2**15, "r": 8, "p": 3},
    _COST,
)
"""Costs that OWASP holds for the same; a hash that cost less is made anew at its owner's next login."""
_MOST_MEMORY = 256 * 1024 * 1024
"""Bytes that a hash may take: twice what the largest of those does. OpenSSL's own limit is below that."""
NICENESS = {True: 7, False: 12}
"""How far such a thread gives way, as setpriority(2) has it, from 0 to 19; a stranger's also to that of one who is
known."""
T = TypeVar("T")


class Hasher:
    """Hashes and verifies beside the event loop, a few at a time (turns.Turns), in threads that give way to all others:
    who guesses passwords must not slow those who call. `names` and `known` say whose turn it is."""

    def __init__(self) -> None:
        self.turns = Turns()
        self._nobody = hash_of(secrets.token_bytes(64), secrets.token_bytes(16))

    async def hash(self, password: str, *names: str, known: bool = True) -> str:
        """A new hash of it. Raises Overloaded."""
        async with self.turns.turn(*names, known=known):
            return await self._apart(known, hash_password, password)

    async def verify(self, password: str, hashed: str, *names: str, known: bool = True) -> bool:
        """Whether it is the password of this hash. It takes as long where there is no hash (""), which no password
        fits. Raises Overloaded."""
        async with self.turns.turn(*names, known=known):
            return await self._apart(known, verify_password, password, hashed or self._nobody)

    async def _apart(self, known: bool, work: Callable[..., T], *arguments: str) -> T:
        """Do it in a thread of its own: a thread that once gives way does so for ever, and trio's are for all."""
        loop, ended = trio.lowlevel.current_trio_token(), trio.Event()
        results: list[T] = []

        def run() -> None:
            with suppress(OSError, AttributeError):  # where threads have no priority of their own
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS[known])
            try:
                results.append(work(*arguments))
            finally:
                with suppress(trio.RunFinishedError):
                    loop.run_sync_soon(ended.set)

        threading.Thread(target=run, name="password", daemon=True).start()
        with trio.CancelScope(shield=True):  # some tenths of a second: the place stays taken until it has ended
            await ended.wait()
        return results[0]


def hash_password(password: str) -> str:
    """scrypt with its parameters and salt in the text. Call it in a worker thread, off the hot path."""
    salt = secrets.token_bytes(16)
    return hash_of(_digest(password, salt, **_COST), salt)


def hash_of(digest: bytes, salt: bytes) -> str:
    """A digest of today's cost as it is kept."""
    parameters = (str(_COST[name]) for name in ("n", "r", "p"))
    return "$".join(["scrypt", *parameters, base64.b64encode(salt).decode(), base64.b64encode(digest).decode()])


def verify_password(password: str, hashed: str) -> bool:
    """Whether `hashed` was made of this password, at the parameters that stand in it, which may be older ones. A text
    that is no hash of ours (an account without a password has "") fits none. As slow as hash_password."""
    try:
        kind, n, r, p, salt, digest = hashed.split("$")
        if kind != "scrypt":
            return False
        made = _digest(password, base64.b64decode(salt, validate=True), n=int(n), r=int(r), p=int(p))
        return hmac.compare_digest(made, base64.b64decode(digest, validate=True))
    except ValueError:
        return False


def is_weak(hashed: str) -> bool:
    """Whether a hash cost less than new ones do."""
    _, n, r, p, *_ = hashed.split("$")
    return {"n": int(n), "r": int(r), "p": int(p)} not in _ENOUGH


def _digest(password: str, salt: bytes, *, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MOST_MEMORY)
